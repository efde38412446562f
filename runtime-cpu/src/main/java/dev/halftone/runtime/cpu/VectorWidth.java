package dev.halftone.runtime.cpu;

import dev.halftone.core.HalftoneException;
import java.lang.System.Logger.Level;

/// Which kernels serve: the vector width asked for by the system property `halftone.cpu.vector-bits` (`128`, `256`,
/// `512` or `scalar`), or the processor's own; plain loops where the vector module is missing.
final class VectorWidth {
    static final String PROPERTY = "halftone.cpu.vector-bits";
    static final String SCALAR = "scalar";

    private static final String MODULE = "jdk.incubator.vector";
    private static final System.Logger LOGGER = System.getLogger(VectorWidth.class.getName());
    private static boolean warned;

    private VectorWidth() {}

    /// The property's value, or null for the processor's own width.
    static String requested() {
        String value = System.getProperty(PROPERTY);
        return value == null || value.isBlank() ? null : value.strip();
    }

    static boolean isModulePresent() {
        return ModuleLayer.boot().findModule(MODULE).isPresent();
    }

    /// The kernels of this process.
    ///
    /// @throws HalftoneException if the property asks for a width that cannot be had
    static Kernels kernels() {
        String requested = requested();
        if (requested != null
                && !requested.equals(SCALAR)
                && !requested.equals("128")
                && !requested.equals("256")
                && !requested.equals("512")) {
            throw new HalftoneException(
                    HalftoneException.Kind.USAGE,
                    "the system property " + PROPERTY + " is not a vector width",
                    "found '" + requested + "', expected 128, 256, 512 or " + SCALAR,
                    "leave it out to use the processor's own width");
        }
        if (SCALAR.equals(requested)) {
            return new ScalarKernels();
        }
        if (!isModulePresent()) {
            return withoutModule(requested);
        }
        int preferred = Lanes.preferredBits();
        if (requested != null && Integer.parseInt(requested) > preferred) {
            throw new HalftoneException(
                    HalftoneException.Kind.USAGE,
                    "this processor has no vectors of " + requested + " bits",
                    "its widest have " + preferred,
                    "set -D" + PROPERTY + "=" + preferred + " or leave it out");
        }
        return new VectorKernels();
    }

    private static synchronized Kernels withoutModule(String requested) {
        if (requested != null) {
            throw new HalftoneException(
                    HalftoneException.Kind.USAGE,
                    "vectors of " + requested + " bits need the module " + MODULE,
                    "this JVM was started without it",
                    "start java with --add-modules " + MODULE);
        }
        if (!warned) {
            warned = true;
            LOGGER.log(
                    Level.WARNING,
                    "The module {0} is not loaded: the CPU backend computes in plain loops, many times slower. "
                            + "Start java with --add-modules {0}",
                    MODULE);
        }
        return new ScalarKernels();
    }
}

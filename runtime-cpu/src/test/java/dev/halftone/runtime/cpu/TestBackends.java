package dev.halftone.runtime.cpu;

import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Assumptions;

/// Backends for tests; a vector width that this processor lacks skips the suite and says so once.
final class TestBackends {
    private static final AtomicBoolean MENTIONED = new AtomicBoolean();
    private static final AtomicBoolean ONEDNN_MENTIONED = new AtomicBoolean();

    private static DigitKernels withoutTiles;

    private TestBackends() {}

    /// The quickest there is where a processor has no tiles, which this one is taken for; skips where there is no
    /// machine code.
    static CpuBackend openWithoutTiles(int threads) {
        requireMachineCode();
        return new CpuBackend(
                VectorWidth.kernels(), withoutTiles(), threads, ProductMode.QUICK, CpuLinear.SMALL_ROWS + 1);
    }

    private static synchronized DigitKernels withoutTiles() {
        if (withoutTiles == null) {
            withoutTiles = new DigitKernels(false); // its code stays for the life of the process
        }
        return withoutTiles;
    }

    static CpuBackend open(int threads) {
        requireWidth();
        return new CpuBackend(threads);
    }

    /// With oneDNN for all that is not few rows; skips, and says so once, where it does not load.
    static CpuBackend open(int threads, ProductMode mode) {
        requireWidth();
        requireOneDnn();
        return new CpuBackend(VectorWidth.kernels(), threads, mode, CpuLinear.SMALL_ROWS + 1);
    }

    static void requireOneDnn() {
        try {
            OneDnnLibrary.load();
        } catch (OneDnnUnavailable problem) {
            if (ONEDNN_MENTIONED.compareAndSet(false, true)) {
                System.out.println("Skipped: tests with oneDNN; " + problem.getMessage());
            }
            Assumptions.abort("no oneDNN: " + problem.getMessage());
        }
    }

    /// Skips, and says so, where the kernels of this process have no machine code beside them.
    static void requireMachineCode() {
        requireWidth();
        boolean suits = DigitKernels.suits(VectorWidth.kernels());
        if (!suits || DigitKernels.load() == null) {
            String reason = suits ? DigitKernels.refusal() : "vectors have other widths";
            System.out.println("Skipped: tests of machine code; " + reason);
            Assumptions.abort("no machine code: " + reason);
        }
    }

    static void requireWidth() {
        String requested = VectorWidth.requested();
        if (requested == null || requested.equals(VectorWidth.SCALAR)) {
            return;
        }
        boolean wide = Integer.parseInt(requested) > Lanes.preferredBits();
        if (wide && MENTIONED.compareAndSet(false, true)) {
            System.out.println("Skipped: tests with vectors of " + requested + " bits; this processor's widest have "
                    + Lanes.preferredBits());
        }
        Assumptions.assumeFalse(wide, "no vectors of " + requested + " bits");
    }
}

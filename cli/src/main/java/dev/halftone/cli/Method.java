package dev.halftone.cli;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.quantize.WeightQuantizer;
import dev.halftone.gptq.ColumnOrder;
import dev.halftone.gptq.GptqOptions;
import dev.halftone.gptq.GptqQuantizer;
import dev.halftone.gptq.Target;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/// The methods there are: the one table that a new method adds a row to. The demo runs all of them.
enum Method {
    RTN(List.of()) {
        @Override
        WeightQuantizer create(Settings settings) {
            return new RoundToNearest();
        }
    },
    GPTQ(List.of("--damping", "--order", "--target", "--sweeps")) {
        @Override
        WeightQuantizer create(Settings settings) {
            GptqOptions options = GptqOptions.DEFAULT;
            if (settings.damping() != null) {
                double damping = settings.damping();
                if (!(damping > 0 && damping <= 1)) {
                    throw Usage.fault("--damping must be above 0 and at most 1, found " + damping, "--damping 0.01");
                }
                options = options.withDamping(damping);
            }
            if (settings.order() != null) {
                options = options.withOrder(constant(ColumnOrder.class, "order", settings.order(), "group-aware"));
            }
            if (settings.target() != null) {
                options = options.withTarget(constant(Target.class, "target", settings.target(), "float-outputs"));
            }
            if (settings.sweeps() != null) {
                if (settings.sweeps() < 0) {
                    throw Usage.fault("--sweeps must not be negative, found " + settings.sweeps(), "--sweeps 4");
                }
                options = options.withSweeps(settings.sweeps());
            }
            return new GptqQuantizer(options);
        }

        private static <E extends Enum<E>> E constant(Class<E> type, String option, String word, String example) {
            E[] constants = type.getEnumConstants();
            for (E constant : constants) {
                if (spelled(constant).equals(word)) {
                    return constant;
                }
            }
            String known = Arrays.stream(constants).map(Method::spelled).collect(Collectors.joining(", "));
            throw Usage.fault(option + " '" + word + "' is unknown; known: " + known, "--" + option + " " + example);
        }
    };

    /// What a command line says about methods; null where it says nothing.
    record Settings(Double damping, String order, String target, Integer sweeps) {
        static final Settings DEFAULT = new Settings(null, null, null, null);

        /// @throws HalftoneException for an option that another method has
        void requireOnly(Method method) {
            requireIf(damping != null, "--damping", method);
            requireIf(order != null, "--order", method);
            requireIf(target != null, "--target", method);
            requireIf(sweeps != null, "--sweeps", method);
        }

        private static void requireIf(boolean given, String option, Method method) {
            if (given && !method.options.contains(option)) {
                throw Usage.fault(
                        option + " means nothing to method " + method.word(),
                        "without " + option + ", or --method gptq");
            }
        }
    }

    private final List<String> options;

    Method(List<String> options) {
        this.options = options;
    }

    String word() {
        return spelled(this);
    }

    private static String spelled(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /// @throws HalftoneException if a setting is out of its range
    abstract WeightQuantizer create(Settings settings);

    static Method of(String word) {
        for (Method method : values()) {
            if (method.word().equals(word)) {
                return method;
            }
        }
        String known = Arrays.stream(values()).map(Method::word).collect(Collectors.joining(", "));
        throw Usage.fault("method '" + word + "' is unknown; known: " + known, "--method gptq");
    }
}

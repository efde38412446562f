package dev.halftone.cli;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.quantize.WeightQuantizer;
import dev.halftone.gptq.ColumnOrder;
import dev.halftone.gptq.GptqOptions;
import dev.halftone.gptq.GptqQuantizer;
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
    GPTQ(List.of("--damping", "--order")) {
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
            return new GptqQuantizer(settings.order() == null ? options : options.withOrder(order(settings.order())));
        }

        private static ColumnOrder order(String word) {
            for (ColumnOrder order : ColumnOrder.values()) {
                if (spelled(order).equals(word)) {
                    return order;
                }
            }
            String known =
                    Arrays.stream(ColumnOrder.values()).map(Method::spelled).collect(Collectors.joining(", "));
            throw Usage.fault("order '" + word + "' is unknown; known: " + known, "--order group-aware");
        }
    };

    /// What a command line says about methods; null where it says nothing.
    record Settings(Double damping, String order) {
        static final Settings DEFAULT = new Settings(null, null);

        /// @throws HalftoneException for an option that another method has
        void requireOnly(Method method) {
            requireIf(damping != null, "--damping", method);
            requireIf(order != null, "--order", method);
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

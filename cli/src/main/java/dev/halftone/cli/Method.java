package dev.halftone.cli;

import dev.halftone.awq.AwqClipping;
import dev.halftone.awq.AwqScaling;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.layout.PackedLayout;
import dev.halftone.core.quantize.BlockTransform;
import dev.halftone.core.quantize.Recipe;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.quantize.WeightQuantizer;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.gptq.ColumnOrder;
import dev.halftone.gptq.GptqOptions;
import dev.halftone.gptq.GptqQuantizer;
import dev.halftone.gptq.Target;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// The methods there are: the one table that a new method adds a row to, each a list of transforms and a quantizer.
/// The demo runs all of them.
enum Method {
    RTN("rtn", List.of(), settings -> new RoundToNearest()),
    GPTQ("gptq", List.of(), Settings::gptq, Settings.DAMPING, Settings.ORDER, Settings.TARGET, Settings.SWEEPS),
    AWQ("awq", List.of(AwqScaling::new), settings -> new AwqClipping()),
    AWQ_GPTQ(
            "awq+gptq",
            List.of(AwqScaling::new),
            Settings::gptq,
            Settings.DAMPING,
            Settings.ORDER,
            Settings.TARGET,
            Settings.SWEEPS);

    /// What a command line says about methods; null where it says nothing.
    record Settings(Double damping, String order, String target, Integer sweeps) {
        static final Settings DEFAULT = new Settings(null, null, null, null);

        private static final String DAMPING = "--damping";
        private static final String ORDER = "--order";
        private static final String TARGET = "--target";
        private static final String SWEEPS = "--sweeps";

        /// @throws HalftoneException for an option that another method has
        void requireOnly(Method method) {
            requireIf(damping != null, DAMPING, method);
            requireIf(order != null, ORDER, method);
            requireIf(target != null, TARGET, method);
            requireIf(sweeps != null, SWEEPS, method);
        }

        private static void requireIf(boolean given, String option, Method method) {
            if (given && !method.options.contains(option)) {
                String others = Arrays.stream(values())
                        .filter(other -> other.options.contains(option))
                        .map(other -> "--method " + other.word)
                        .collect(Collectors.joining(" or "));
                throw Usage.fault(
                        option + " means nothing to method " + method.word, "without " + option + ", or " + others);
            }
        }

        private GptqQuantizer gptq() {
            GptqOptions options = GptqOptions.DEFAULT;
            if (damping != null) {
                if (!(damping > 0 && damping <= 1)) {
                    throw Usage.fault("--damping must be above 0 and at most 1, found " + damping, "--damping 0.01");
                }
                options = options.withDamping(damping);
            }
            if (order != null) {
                options = options.withOrder(constant(ColumnOrder.values(), ORDER, order, "group-aware"));
            }
            if (target != null) {
                options = options.withTarget(constant(Target.values(), TARGET, target, "float-outputs"));
            }
            if (sweeps != null) {
                if (sweeps < 0) {
                    throw Usage.fault("--sweeps must not be negative, found " + sweeps, "--sweeps 4");
                }
                options = options.withSweeps(sweeps);
            }
            return new GptqQuantizer(options);
        }

        private static <E extends Enum<E>> E constant(E[] constants, String option, String word, String example) {
            for (E constant : constants) {
                if (spelled(constant).equals(word)) {
                    return constant;
                }
            }
            String known = Arrays.stream(constants).map(Settings::spelled).collect(Collectors.joining(", "));
            throw Usage.fault(
                    option.substring(2) + " '" + word + "' is unknown; known: " + known, option + " " + example);
        }

        private static String spelled(Enum<?> constant) {
            return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
        }
    }

    private final String word;
    private final List<Supplier<BlockTransform>> transforms;
    private final Function<Settings, WeightQuantizer> quantizer;
    private final List<String> options;

    /// @param options of [Settings] that it looks at
    Method(
            String word,
            List<Supplier<BlockTransform>> transforms,
            Function<Settings, WeightQuantizer> quantizer,
            String... options) {
        this.word = word;
        this.transforms = transforms;
        this.quantizer = quantizer;
        this.options = List.of(options);
    }

    /// As the command line spells it.
    String word() {
        return word;
    }

    /// @throws HalftoneException if a setting is out of its range
    Recipe recipe(Settings settings, QuantizationScheme scheme, PackedLayout layout) {
        return new Recipe(transforms.stream().map(Supplier::get).toList(), quantizer.apply(settings), scheme, layout);
    }

    static Method of(String word) {
        return Stream.of(values())
                .filter(method -> method.word.equals(word))
                .findFirst()
                .orElseThrow(() -> Usage.fault(
                        "method '" + word + "' is unknown; known: "
                                + Stream.of(values()).map(Method::word).collect(Collectors.joining(", ")),
                        "--method gptq"));
    }
}

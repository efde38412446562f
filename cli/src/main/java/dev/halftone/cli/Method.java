package dev.halftone.cli;

import dev.halftone.awq.AwqClipping;
import dev.halftone.awq.AwqScaling;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.layout.PackedLayout;
import dev.halftone.core.quantize.BlockTransform;
import dev.halftone.core.quantize.InputRounding;
import dev.halftone.core.quantize.Recipe;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.quantize.WeightQuantizer;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.gptq.ColumnOrder;
import dev.halftone.gptq.GptqOptions;
import dev.halftone.gptq.GptqQuantizer;
import dev.halftone.gptq.Target;
import dev.halftone.smoothquant.Smoothing;
import dev.halftone.smoothquant.SmoothingOptions;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.BiFunction;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// The methods there are: the one table that a new method adds a row to, each a list of transforms and a quantizer. The
/// demo runs all of them that leave inputs in floating point.
enum Method {
    RTN("rtn", List.of(), settings -> new RoundToNearest()),
    GPTQ("gptq", List.of(), Settings::gptq, Settings.OF_GPTQ),
    AWQ("awq", List.of((settings, inputs) -> new AwqScaling()), settings -> new AwqClipping()),
    AWQ_GPTQ("awq+gptq", List.of((settings, inputs) -> new AwqScaling()), Settings::gptq, Settings.OF_GPTQ),
    SMOOTHQUANT("smoothquant", List.of(Settings::smoothing), settings -> new RoundToNearest(), Settings.OF_SMOOTHING),
    SMOOTHQUANT_GPTQ(
            "smoothquant+gptq",
            List.of(Settings::smoothing),
            Settings::gptq,
            Stream.concat(Settings.OF_SMOOTHING.stream(), Settings.OF_GPTQ.stream())
                    .toList());

    /// What a command line says about methods; null where it says nothing.
    record Settings(
            Double damping, String order, String target, Integer sweeps, String smoothing, String smoothingFolds) {
        static final Settings DEFAULT = new Settings(null, null, null, null, null, null);

        private static final List<String> OF_GPTQ = List.of("--damping", "--order", "--target", "--sweeps");
        private static final List<String> OF_SMOOTHING = List.of("--smoothing", "--smoothing-folds");

        /// @throws HalftoneException for an option that another method has
        void requireOnly(Method method) {
            requireIf(damping != null, "--damping", method);
            requireIf(order != null, "--order", method);
            requireIf(target != null, "--target", method);
            requireIf(sweeps != null, "--sweeps", method);
            requireIf(smoothing != null, "--smoothing", method);
            requireIf(smoothingFolds != null, "--smoothing-folds", method);
        }

        private static void requireIf(boolean given, String option, Method method) {
            if (given && !method.options.contains(option)) {
                String others = Stream.of(values())
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
                    throw Usage.fault("--damping must be above 0 and at most 1, found " + damping, "--damping 0.5");
                }
                options = options.withDamping(damping);
            }
            if (order != null) {
                options = options.withOrder(constant(ColumnOrder.class, "order", order, "group-aware"));
            }
            if (target != null) {
                options = options.withTarget(constant(Target.class, "target", target, "float-outputs"));
            }
            if (sweeps != null) {
                if (sweeps < 0) {
                    throw Usage.fault("--sweeps must not be negative, found " + sweeps, "--sweeps 4");
                }
                options = options.withSweeps(sweeps);
            }
            return new GptqQuantizer(options);
        }

        private Smoothing smoothing(InputRounding inputs) {
            SmoothingOptions options = smoothing == null || smoothing.equals("auto")
                    ? SmoothingOptions.searched(inputs.kind())
                    : SmoothingOptions.fixed(strength(), inputs.kind());
            return new Smoothing(
                    smoothingFolds == null
                            ? options
                            : options.withFolds(
                                    constant(SmoothingOptions.Folds.class, "smoothing-folds", smoothingFolds, "all")));
        }

        private double strength() {
            double strength;
            try {
                strength = Double.parseDouble(smoothing);
            } catch (NumberFormatException e) {
                strength = Double.NaN;
            }
            if (!(strength >= 0 && strength <= 1)) {
                throw Usage.fault("--smoothing is auto or from 0 to 1, found '" + smoothing + "'", "--smoothing auto");
            }
            return strength;
        }

        private static <E extends Enum<E>> E constant(Class<E> type, String option, String word, String example) {
            E[] constants = type.getEnumConstants();
            for (E constant : constants) {
                if (spelled(constant).equals(word)) {
                    return constant;
                }
            }
            String known = Arrays.stream(constants).map(Settings::spelled).collect(Collectors.joining(", "));
            throw Usage.fault(option + " '" + word + "' is unknown; known: " + known, "--" + option + " " + example);
        }

        private static String spelled(Enum<?> constant) {
            return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
        }
    }

    private final String word;
    private final List<BiFunction<Settings, InputRounding, BlockTransform>> transforms;
    private final Function<Settings, WeightQuantizer> quantizer;
    private final List<String> options;

    Method(
            String word,
            List<BiFunction<Settings, InputRounding, BlockTransform>> transforms,
            Function<Settings, WeightQuantizer> quantizer) {
        this(word, transforms, quantizer, List.of());
    }

    /// @param options of [Settings] that it looks at
    Method(
            String word,
            List<BiFunction<Settings, InputRounding, BlockTransform>> transforms,
            Function<Settings, WeightQuantizer> quantizer,
            List<String> options) {
        this.word = word;
        this.transforms = transforms;
        this.quantizer = quantizer;
        this.options = options;
    }

    /// As the command line spells it.
    String word() {
        return word;
    }

    /// How inputs are rounded unless the user says otherwise: smoothing is for those that are.
    InputRounding usualInputs() {
        return options.containsAll(Settings.OF_SMOOTHING) ? InputRounding.PER_TOKEN : InputRounding.NONE;
    }

    /// @throws HalftoneException if a setting is out of its range
    Recipe recipe(Settings settings, QuantizationScheme scheme, PackedLayout layout, InputRounding inputs) {
        return new Recipe(
                transforms.stream()
                        .map(transform -> transform.apply(settings, inputs))
                        .toList(),
                quantizer.apply(settings),
                scheme,
                layout,
                inputs);
    }

    /// Those that leave inputs in floating point.
    static List<Method> ofWeightsAlone() {
        return Stream.of(values())
                .filter(method -> method.usualInputs().equals(InputRounding.NONE))
                .toList();
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

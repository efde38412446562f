package dev.halftone.cli;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.quantize.InputRange;
import dev.halftone.core.quantize.InputRounding;
import dev.halftone.core.weight.ActivationScheme;
import java.util.Arrays;
import java.util.stream.Collectors;

/// From the words of a command line to the rounding of inputs, and what follows from it for the weights: integers are
/// multiplied before they are scaled, which takes 8-bit weights of one symmetric scale for each output, and one format
/// has a place for them.
record InputOptions(InputRounding rounding) {
    private static final int BITS = 8;
    private static final int PER_CHANNEL = -1;
    private static final String FORMAT = "compressed-tensors";

    /// How `--activations` is spelled.
    private enum Activations {
        NONE("none", ActivationScheme.Kind.NONE),
        PER_TOKEN("per-token", ActivationScheme.Kind.PER_TOKEN),
        PER_TENSOR("per-tensor", ActivationScheme.Kind.PER_TENSOR);

        private final String word;
        private final ActivationScheme.Kind kind;

        Activations(String word, ActivationScheme.Kind kind) {
            this.word = word;
            this.kind = kind;
        }
    }

    /// How `--activation-range` is spelled.
    private enum Range {
        MINMAX("minmax", InputRange.MIN_MAX),
        MOVING_AVERAGE("moving-average", InputRange.MOVING_AVERAGE),
        PERCENTILE("percentile", InputRange.PERCENTILE),
        ENTROPY("entropy", InputRange.ENTROPY),
        MSE("mse", InputRange.SQUARED_ERROR);

        private final String word;
        private final InputRange range;

        Range(String word, InputRange range) {
            this.word = word;
            this.range = range;
        }
    }

    /// Whether a command line asks for rounded inputs by `--activations`, null where it says nothing.
    static boolean round(String activations) {
        return activations != null && kind(activations) != ActivationScheme.Kind.NONE;
    }

    /// @param usual       what the method has where `activations` is null
    /// @param activations null where the command line says nothing
    /// @param range       null where the command line says nothing
    /// @throws HalftoneException for words that are unknown, or a range where there is no scale to find
    static InputOptions of(InputRounding usual, String activations, String range) {
        ActivationScheme.Kind kind = activations == null ? usual.kind() : kind(activations);
        if (range != null && kind != ActivationScheme.Kind.PER_TENSOR) {
            throw Usage.fault(
                    "--activation-range is for the one scale of --activations per-tensor",
                    "without --activation-range, or --activations per-tensor");
        }
        return new InputOptions(
                switch (kind) {
                    case NONE -> InputRounding.NONE;
                    case PER_TOKEN -> InputRounding.PER_TOKEN;
                    case PER_TENSOR -> InputRounding.perTensor(range == null ? InputRange.MIN_MAX : range(range));
                });
    }

    private static ActivationScheme.Kind kind(String word) {
        for (Activations known : Activations.values()) {
            if (known.word.equals(word)) {
                return known.kind;
            }
        }
        throw Usage.fault(
                "activations '" + word + "' are unknown; known: "
                        + Arrays.stream(Activations.values())
                                .map(known -> known.word)
                                .collect(Collectors.joining(", ")),
                "--activations per-token");
    }

    private static InputRange range(String word) {
        for (Range known : Range.values()) {
            if (known.word.equals(word)) {
                return known.range;
            }
        }
        throw Usage.fault(
                "activation range '" + word + "' is unknown; known: "
                        + Arrays.stream(Range.values()).map(known -> known.word).collect(Collectors.joining(", ")),
                "--activation-range minmax");
    }

    private boolean isRounded() {
        return rounding.kind() != ActivationScheme.Kind.NONE;
    }

    /// @param given null where the command line says nothing
    /// @param usual for inputs that stay in floating point
    int bits(Integer given, int usual) {
        requireFitting(given, BITS, "--bits");
        return given != null ? given : isRounded() ? BITS : usual;
    }

    /// Null if the usual one is to be found.
    Integer groupSize(Integer given) {
        requireFitting(given, PER_CHANNEL, "--group-size");
        return isRounded() ? Integer.valueOf(PER_CHANNEL) : given;
    }

    /// Null if the usual one is to be found.
    String format(String given) {
        requireFitting(given, FORMAT, "--format");
        return isRounded() ? FORMAT : given;
    }

    void requireSymmetric(boolean asymmetric) {
        if (isRounded() && asymmetric) {
            throw Usage.fault(
                    "inputs rounded to integers are multiplied by weights without zero points, found --asymmetric",
                    "without --asymmetric, or --activations none");
        }
    }

    /// @param budget null where the command line says nothing
    void requireNoBudget(Double budget) {
        if (isRounded() && budget != null) {
            throw Usage.fault(
                    "inputs rounded to integers take weights of 8 bits everywhere, found --target-bpw " + budget,
                    "without --target-bpw, or --activations none");
        }
    }

    private <T> void requireFitting(T given, T fitting, String option) {
        if (isRounded() && given != null && !given.equals(fitting)) {
            throw Usage.fault(
                    "inputs rounded to integers take " + option + " " + fitting + ", found " + option + " " + given,
                    "without " + option + ", or --activations none");
        }
    }
}

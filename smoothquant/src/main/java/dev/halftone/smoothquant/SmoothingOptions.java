package dev.halftone.smoothquant;

import dev.halftone.core.model.InputSite;
import dev.halftone.core.weight.ActivationScheme;
import java.util.List;
import java.util.Objects;
import java.util.stream.IntStream;

/// How [Smoothing] chooses.
///
/// @param strengths the paper's α: 0 evens out the weights alone, 1 the inputs alone. A single one is taken everywhere;
///                  of several, each site takes the one that is best for it, or none
/// @param folds     where divisors may be folded in
/// @param inputs    how the inputs will be rounded, which the choice among several strengths depends on
public record SmoothingOptions(List<Double> strengths, Folds folds, ActivationScheme.Kind inputs) {
    /// Where divisors may hide.
    public enum Folds {
        /// In the norms, and in the rows of v and up.
        ALL,
        /// In the norms alone, as the paper has it: the inputs of o and down stay as they are.
        NORMS;

        boolean include(InputSite site) {
            return switch (site) {
                case ATTENTION_INPUT, MLP_INPUT -> true;
                case ATTENTION_OUTPUT, MLP_OUTPUT -> this == ALL;
            };
        }
    }

    /// 0.3, 0.35, … 0.95.
    private static final List<Double> SEARCHED =
            IntStream.rangeClosed(6, 19).mapToObj(step -> step / 20.0).toList();

    public SmoothingOptions {
        strengths = List.copyOf(strengths);
        Objects.requireNonNull(folds);
        Objects.requireNonNull(inputs);
        if (strengths.isEmpty()) {
            throw new IllegalArgumentException("no strength to choose from");
        }
        for (double strength : strengths) {
            if (!(strength >= 0 && strength <= 1)) {
                throw new IllegalArgumentException("a strength is between 0 and 1, found " + strength);
            }
        }
    }

    /// The best strength for each site.
    public static SmoothingOptions searched(ActivationScheme.Kind inputs) {
        return new SmoothingOptions(SEARCHED, Folds.ALL, inputs);
    }

    /// One strength for all sites.
    public static SmoothingOptions fixed(double strength, ActivationScheme.Kind inputs) {
        return new SmoothingOptions(List.of(strength), Folds.ALL, inputs);
    }

    public SmoothingOptions withFolds(Folds newFolds) {
        return new SmoothingOptions(strengths, newFolds, inputs);
    }

    boolean isSearched() {
        return strengths.size() > 1;
    }
}

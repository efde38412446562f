package dev.halftone.core.model;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;

/// How the next token is chosen. The restrictions are applied in the order of the components, each to what the one
/// before has left, as transformers does.
///
/// @param temperature divides the logits; 0 takes the likeliest token and leaves nothing to chance
/// @param topK        keeps the k likeliest tokens; 0 keeps all
/// @param topP        keeps the fewest likeliest tokens whose probabilities reach this sum; 1 keeps all
/// @param minP        keeps tokens at least this likely in proportion to the likeliest; 0 keeps all
/// @param seed        equal seeds choose equally
public record SamplingOptions(double temperature, int topK, double topP, double minP, long seed) {
    public SamplingOptions {
        require(temperature >= 0 && temperature < Double.POSITIVE_INFINITY, "temperature", temperature, "from 0 on");
        require(topK >= 0, "top-k", topK, "from 0 on; 0 for all tokens");
        require(topP > 0 && topP <= 1, "top-p", topP, "above 0 and up to 1");
        require(minP >= 0 && minP < 1, "min-p", minP, "from 0 to below 1");
    }

    private static void require(boolean fits, String option, Number found, String expected) {
        if (!fits) {
            throw new HalftoneException(
                    Kind.USAGE,
                    option + " is out of range",
                    "found " + found + ", expected a number " + expected,
                    null);
        }
    }

    /// Always the likeliest token.
    public static SamplingOptions greedy() {
        return new SamplingOptions(0, 0, 1, 0, 0);
    }

    /// By chance among all tokens.
    public static SamplingOptions of(double temperature, long seed) {
        return new SamplingOptions(temperature, 0, 1, 0, seed);
    }

    public SamplingOptions withTopK(int newTopK) {
        return new SamplingOptions(temperature, newTopK, topP, minP, seed);
    }

    public SamplingOptions withTopP(double newTopP) {
        return new SamplingOptions(temperature, topK, newTopP, minP, seed);
    }

    public SamplingOptions withMinP(double newMinP) {
        return new SamplingOptions(temperature, topK, topP, newMinP, seed);
    }
}

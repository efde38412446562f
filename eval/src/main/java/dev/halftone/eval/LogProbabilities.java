package dev.halftone.eval;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;

/// Softmax of one row of logits in double precision.
final class LogProbabilities {
    private LogProbabilities() {}

    /// `log(sum(exp(logits)))` of `count` logits from `offset` on.
    ///
    /// @throws HalftoneException if a logit is not finite
    static double logSumExp(float[] logits, int offset, int count) {
        float maximum = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < count; i++) {
            maximum = Math.max(maximum, logits[offset + i]);
        }
        if (!Float.isFinite(maximum)) {
            throw new HalftoneException(
                    Kind.NUMERICS,
                    "the model computes logits that are not finite",
                    "largest of a row is " + maximum,
                    "check the checkpoint's weights for NaN and infinity");
        }
        double sum = 0;
        for (int i = 0; i < count; i++) {
            double below = (double) logits[offset + i] - maximum;
            // exp(-45) is below half an ulp of a sum that is at least 1, even 49152 times over.
            if (below > -45) {
                sum += Math.exp(below);
            }
        }
        return maximum + Math.log(sum);
    }

    /// Index of the largest logit, the first one on a tie.
    static int argmax(float[] logits, int offset, int count) {
        int best = 0;
        for (int i = 1; i < count; i++) {
            if (logits[offset + i] > logits[offset + best]) {
                best = i;
            }
        }
        return best;
    }
}

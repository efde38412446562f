package dev.halftone.eval;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.util.Arrays;

/// Softmax of one row of logits in double precision.
final class LogProbabilities {
    /// Logarithms below this add less than rounding does: exp(-45) is below half an ulp of a sum that is at least
    /// 1, even 49152 times over.
    static final double NEGLIGIBLE = -45;

    private static final int STEPS = 1024;

    // exp(-i) and exp(-j / STEPS).
    private static final double[] WHOLE = powers((int) -NEGLIGIBLE + 1, 1);
    private static final double[] FRACTION = powers(STEPS, STEPS);

    private LogProbabilities() {}

    private static double[] powers(int count, int steps) {
        double[] powers = new double[count];
        Arrays.setAll(powers, i -> Math.exp((double) -i / steps));
        return powers;
    }

    /// `exp(x)` for `x` from [#NEGLIGIBLE] to 0, to thirteen digits: a vocabulary for each token would keep
    /// [Math#exp] busy for an eighth of an evaluation. Two tables take whole and thousandth part, four terms of the
    /// series the rest.
    static double exp(double x) {
        double scaled = -x * STEPS;
        int step = (int) scaled;
        double rest = (step - scaled) / STEPS;
        double series = 1 + rest * (1 + rest * (1.0 / 2 + rest * (1.0 / 6)));
        return WHOLE[step / STEPS] * FRACTION[step % STEPS] * series;
    }

    /// `log(sum(exp(logits)))` of `count` logits from `offset` on.
    ///
    /// @throws HalftoneException if a logit is not finite
    static double logSumExp(float[] logits, int offset, int count) {
        float maximum = maximum(logits, offset, count);
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
            if (below > NEGLIGIBLE) {
                sum += exp(below);
            }
        }
        return maximum + Math.log(sum);
    }

    /// The largest, NaN if there is one; four at a time, since each comparison waits for the one before.
    private static float maximum(float[] logits, int offset, int count) {
        float first = Float.NEGATIVE_INFINITY;
        float second = first;
        float third = first;
        float fourth = first;
        int end = offset + count;
        int i = offset;
        for (; i + 4 <= end; i += 4) {
            first = Math.max(first, logits[i]);
            second = Math.max(second, logits[i + 1]);
            third = Math.max(third, logits[i + 2]);
            fourth = Math.max(fourth, logits[i + 3]);
        }
        for (; i < end; i++) {
            first = Math.max(first, logits[i]);
        }
        return Math.max(Math.max(first, second), Math.max(third, fourth));
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

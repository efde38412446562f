package dev.halftone.gptq;

import dev.halftone.core.weight.AffineGrid;

/// One column of many rows, each of which is rounded to a grid of its own: the same arithmetic as
/// [AffineGrid#code] and [AffineGrid#restore], to the bit, in loops that the compiler turns into vector instructions.
final class RoundingColumn {
    /// Rows side by side: with 128 columns of a block they fill the first cache.
    static final int ROWS = 64;

    /// Columns of [#addMultiples].
    static final int TOGETHER = 4;

    /// Added to a float far below it and taken off again, this leaves the nearest integer, ties to even.
    private static final float ROUNDING = 0x1.8p23f;

    private final float[] scales = new float[ROWS];
    private final float[] lowest = new float[ROWS]; // code 0 less the zero
    private final float[] highest = new float[ROWS];

    /// The grids to round to.
    ///
    /// @param rows that count; all others restore to 0
    void take(AffineGrid[] grids, int rows) {
        for (int r = 0; r < ROWS; r++) {
            AffineGrid grid = r < rows ? grids[r] : null;
            scales[r] = grid == null ? 1 : grid.scale();
            lowest[r] = grid == null ? 0 : -grid.zero();
            highest[r] = grid == null ? 0 : grid.maximum() - grid.zero();
        }
    }

    /// The codes of `values`, each less its zero.
    void codes(float[] values, float[] codes) {
        for (int r = 0; r < ROWS; r++) {
            float steps = Math.min(Math.max(values[r] / scales[r], lowest[r]), highest[r]);
            codes[r] = steps + ROUNDING - ROUNDING;
        }
    }

    /// Values less what their codes restore to.
    void errors(float[] values, float[] errors) {
        for (int r = 0; r < ROWS; r++) {
            float steps = Math.min(Math.max(values[r] / scales[r], lowest[r]), highest[r]);
            errors[r] = values[r] - scales[r] * (steps + ROUNDING - ROUNDING);
        }
    }

    /// What [#codes] restore to.
    float restored(float code, int row) {
        return scales[row] * code;
    }

    // All arrays are indexed alike: with an offset, by which one might overlap another that is the same array, loops
    // take two to four times as long.

    /// `y += factor·x`.
    static void addMultiple(float factor, float[] x, float[] y) {
        for (int r = 0; r < ROWS; r++) {
            y[r] += factor * x[r];
        }
    }

    /// What [#TOGETHER] calls of [#addMultiple] do, one after another, to the bit; the factors lie `step` apart.
    static void addMultiples(float[] factors, int first, int step, float[][] x, float[] y) {
        float factor0 = factors[first];
        float factor1 = factors[first + step];
        float factor2 = factors[first + 2 * step];
        float factor3 = factors[first + 3 * step];
        float[] x0 = x[0];
        float[] x1 = x[1];
        float[] x2 = x[2];
        float[] x3 = x[3];
        for (int r = 0; r < ROWS; r++) {
            y[r] = y[r] + factor0 * x0[r] + factor1 * x1[r] + factor2 * x2[r] + factor3 * x3[r];
        }
    }
}

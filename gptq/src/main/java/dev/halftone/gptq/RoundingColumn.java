package dev.halftone.gptq;

import dev.halftone.core.weight.AffineGrid;

/// One column of many rows, each of which is rounded to a grid of its own: the same arithmetic as
/// [AffineGrid#code] and [AffineGrid#restore], to the bit, in loops that the compiler turns into vector instructions.
final class RoundingColumn {
    /// Rows side by side: with 128 columns of a block they fill the first cache.
    static final int ROWS = 64;

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

    /// The codes of `values[offset .. offset + ROWS)`, each less its zero.
    void codes(float[] values, int offset, float[] codes) {
        for (int r = 0; r < ROWS; r++) {
            float steps = Math.min(Math.max(values[offset + r] / scales[r], lowest[r]), highest[r]);
            codes[r] = steps + ROUNDING - ROUNDING;
        }
    }

    /// Values less what their codes restore to.
    void errors(float[] values, int offset, float[] errors) {
        for (int r = 0; r < ROWS; r++) {
            float steps = Math.min(Math.max(values[offset + r] / scales[r], lowest[r]), highest[r]);
            errors[r] = values[offset + r] - scales[r] * (steps + ROUNDING - ROUNDING);
        }
    }

    /// What [#codes] restore to.
    float restored(float code, int row) {
        return scales[row] * code;
    }

    /// `y[offset ...] += factor·x`.
    static void addMultiple(float factor, float[] x, float[] y, int offset) {
        for (int r = 0; r < ROWS; r++) {
            y[offset + r] += factor * x[r];
        }
    }
}

package dev.halftone.gptq;

import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.weight.AffineGrid;
import dev.halftone.core.weight.QuantizationScheme;
import java.util.Arrays;

/// Chooses the grid of a group by what rounding to it costs at the outputs, instead of by the group's extremes.
///
/// Let `e` be the errors of rounding the group's live weights and `V` the square of `U` on the diagonal that
/// belongs to the group's columns. With the best compensation by the columns still to come, `e` costs `‖e·V⁻¹‖²`:
/// `Vᵀ·V` is the inverse of the Schur complement of those columns in the moments. So a grid that clips an outlier
/// of a channel that is hardly active wins over one that spends its steps on it. The squared *weight* error knows
/// nothing of this and chooses worse grids than the plain range does.
///
/// Groups longer than a block of the solver are scored block by block, as if the blocks did not interact.
final class GridSearch {
    /// Shares of the range that are tried; above 1 because the ends of a symmetric range fall between two codes.
    private static final float[] SYMMETRIC = {1f, .65f, .7f, .75f, .8f, .84f, .88f, .92f, .96f, 1.05f};

    private static final float[] ASYMMETRIC = {1f, .65f, .72f, .79f, .85f, .9f, .95f, 1.05f};

    /// Columns whose errors are multiplied in one pass over the sums.
    private static final int TOGETHER = RoundingColumn.TOGETHER;

    /// Rows that are looked at side by side.
    static final int ROWS = RoundingColumn.ROWS;

    private final QuantizationScheme scheme;
    private final int length;
    private final int square;
    private final float[] inverse; // [length / square][square, square], inverse of each square of U on the diagonal

    /// @param upper  rows `[length, square]`: the square on the diagonal of `U` beside row `i` begins at column
    ///               `i / square * square` of the group; overwritten
    /// @param length columns of the group, a multiple of `square`
    GridSearch(float[] upper, int length, int square, QuantizationScheme scheme) {
        if (length % square != 0 || upper.length != length * square) {
            throw new IllegalArgumentException(
                    upper.length + " numbers for " + length + " columns in squares of " + square);
        }
        this.scheme = scheme;
        this.length = length;
        this.square = square;
        this.inverse = upper;
        for (int first = 0; first < length; first += square) {
            invert(upper, first * square, square);
        }
    }

    /// Replaces the upper triangular `[n, n]` matrix at `offset` by its inverse, column after column from the left.
    private static void invert(float[] matrix, int offset, int n) {
        for (int j = 0; j < n; j++) {
            double diagonal = 1.0 / matrix[offset + j * n + j];
            for (int i = 0; i < j; i++) {
                double sum = 0;
                for (int k = i; k < j; k++) {
                    // Columns left of j hold the inverse already, column j still the original.
                    sum += (double) matrix[offset + i * n + k] * matrix[offset + k * n + j];
                }
                // Written once nothing of column j below row i is needed any more: rows above i do not read it.
                matrix[offset + i * n + j] = (float) (-sum * diagonal);
            }
            matrix[offset + j * n + j] = (float) diagonal;
        }
    }

    /// Working memory of one thread.
    static final class Scratch {
        private final float[] row;
        private final float[][] weighted; // [square][ROWS]
        private final float[][] errors = new float[TOGETHER][ROWS];
        private final AffineGrid[] ranges = new AffineGrid[ROWS];
        private final AffineGrid[] candidates = new AffineGrid[ROWS];
        private final RoundingColumn rounding = new RoundingColumn();
        private final double[] cost = new double[ROWS];
        private final double[] least = new double[ROWS];

        private Scratch(int length, int square) {
            row = new float[length];
            weighted = new float[square][ROWS];
        }
    }

    /// For this search and all others of groups and squares of this size.
    Scratch scratch() {
        return new Scratch(length, square);
    }

    /// The best grids for the columns of a group of up to [#ROWS] rows at once: what a row costs is a long sum of short
    /// products, so they are computed for all rows side by side.
    ///
    /// @param columns of [#ROWS] each, those of the group from `start` on
    /// @param rows    that count
    /// @param best    receives their grids
    /// @throws ArithmeticException if a value is not finite
    void choose(float[][] columns, int start, int rows, AffineGrid[] best, Scratch scratch) {
        AffineGrid[] ranges = scratch.ranges;
        float[] sign = new float[rows];
        for (int r = 0; r < rows; r++) {
            for (int i = 0; i < length; i++) {
                scratch.row[i] = columns[start + i][r];
            }
            ranges[r] = RoundToNearest.range(scratch.row, 0, length, scheme);
            // The side of a symmetric grid that has one code more is that of the extreme.
            sign[r] = scheme.symmetric() && RoundToNearest.extreme(scratch.row, 0, length) > 0 ? -1 : 1;
            best[r] = ranges[r];
        }
        Arrays.fill(scratch.least, 0, rows, Double.POSITIVE_INFINITY);
        for (float share : scheme.symmetric() ? SYMMETRIC : ASYMMETRIC) {
            // Rounding the end of the range to a code may leave it on either side.
            for (int step = 0; step < (scheme.symmetric() ? 1 : 2); step++) {
                for (int r = 0; r < rows; r++) {
                    float scale = AffineGrid.storable(sign[r] * share * ranges[r].scale(), scheme);
                    scratch.candidates[r] = candidate(ranges[r], scale, step);
                }
                price(columns, start, rows, scratch);
                for (int r = 0; r < rows; r++) {
                    if (scratch.cost[r] < scratch.least[r]) {
                        scratch.least[r] = scratch.cost[r];
                        best[r] = scratch.candidates[r];
                    }
                }
            }
        }
    }

    /// A grid of step `scale`; asymmetric ones keep the share of codes below zero, or take one more.
    private AffineGrid candidate(AffineGrid range, float scale, int step) {
        int zero = scheme.symmetric()
                ? range.zero()
                : Math.clamp(range.zero() + step, scheme.lowestZero(), scheme.maximum());
        return new AffineGrid(scale, zero, range.maximum());
    }

    /// What the candidates cost.
    private void price(float[][] columns, int start, int rows, Scratch scratch) {
        float[][] weighted = scratch.weighted;
        float[][] errors = scratch.errors;
        RoundingColumn rounding = scratch.rounding;
        rounding.take(scratch.candidates, rows);
        Arrays.fill(scratch.cost, 0);
        for (int first = 0; first < length; first += square) {
            for (float[] sums : weighted) {
                Arrays.fill(sums, 0);
            }
            for (int i = 0; i < square; i += TOGETHER) {
                int count = Math.min(TOGETHER, square - i);
                for (int k = 0; k < count; k++) {
                    rounding.errors(columns[start + first + i + k], errors[k]);
                    for (int j = i + k; j < i + count; j++) {
                        RoundingColumn.addMultiple(inverse[(first + i + k) * square + j], errors[k], weighted[j]);
                    }
                }
                // Only the last columns are fewer, and there are none behind them.
                for (int j = i + TOGETHER; j < square; j++) {
                    RoundingColumn.addMultiples(inverse, (first + i) * square + j, square, errors, weighted[j]);
                }
                // Later columns add nothing to these.
                for (int k = 0; k < count; k++) {
                    addSquares(weighted[i + k], scratch.cost);
                }
            }
        }
    }

    /// A loop of its own, so that the compiler turns it into vector instructions.
    private static void addSquares(float[] x, double[] sums) {
        for (int r = 0; r < ROWS; r++) {
            sums[r] += (double) x[r] * x[r];
        }
    }
}

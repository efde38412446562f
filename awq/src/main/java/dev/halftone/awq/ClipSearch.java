package dev.halftone.awq;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.quantize.OutputError;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.weight.AffineGrid;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.Weight;

/// Finds for each group of each row how much of its range to keep. With `e` the errors of a row, `d` what another
/// grid of one group would add to them, and `H` the moments, that grid changes the squared error of the output by
///
/// `d·H·dᵀ + 2·d·H·eᵀ`.
///
/// Groups are visited from left to right, each at the errors that those before left, and a grid is replaced only by
/// one that costs less; so no row ends worse than plain rounding left it. The paper's code judges each group by its
/// own part of the output alone, the first term with `d` for all of the group's errors, as if groups could not make
/// up for each other.
final class ClipSearch {
    /// Shares of the largest magnitude that are kept: `1 - i / 20`.
    static final int SHARES = 10;

    /// Numbers in the errors of all candidates of the rows at hand, so that the scratch stays small for long groups.
    private static final int SCRATCH = 1 << 21;

    private static final int MOST_ROWS = 256;

    private final Weight weight;
    private final QuantizationScheme scheme;
    private final Matrix moments;
    private final Backend backend;
    private final int inputs;
    private final int groupLength;
    private final int groups;
    private final byte[] codes; // [outputs, inputs]
    private final float[] scales; // [outputs, groups]
    private final int[] zeros; // [outputs, groups]
    private final double[] costs; // [outputs]

    private final int most; // rows that are searched at a time
    private final float[] values; // [most, inputs]
    private final float[] errors; // [most, inputs]
    private final float[] slopes; // [most, groupLength]
    private final float[] trials; // [SHARES * most, groupLength], `d` of each candidate
    private final float[] products; // like `trials`

    private ClipSearch(Weight weight, QuantizationScheme scheme, Matrix moments, Backend backend) {
        this.weight = weight;
        this.scheme = scheme;
        this.moments = moments;
        this.backend = backend;
        inputs = weight.inputs();
        groupLength = scheme.groupLength(inputs);
        groups = scheme.groups(inputs);
        codes = new byte[Math.multiplyExact(weight.outputs(), inputs)];
        scales = new float[Math.multiplyExact(weight.outputs(), groups)];
        zeros = new int[scales.length];
        costs = new double[weight.outputs()];
        most = Math.clamp(SCRATCH / (SHARES * groupLength), 1, Math.min(MOST_ROWS, weight.outputs()));
        values = new float[most * inputs];
        errors = new float[most * inputs];
        slopes = new float[most * groupLength];
        trials = new float[SHARES * most * groupLength];
        products = new float[trials.length];
    }

    /// What the search found.
    ///
    /// @param weight codes, scales and zeros
    /// @param errors `[outputs]`: squared output error `e·H·eᵀ` of each row
    record Solution(QuantizedWeight weight, double[] errors) {}

    static Solution solve(Weight weight, QuantizationScheme scheme, Matrix moments, Backend backend) {
        ClipSearch search = new ClipSearch(weight, scheme, moments, backend);
        for (int first = 0; first < weight.outputs(); first += search.most) {
            search.solve(first, Math.min(search.most, weight.outputs() - first));
        }
        QuantizedWeight result = new QuantizedWeight(
                scheme, weight.outputs(), weight.inputs(), search.codes, search.scales, search.zeros, null);
        return new Solution(result, search.costs);
    }

    private void solve(int first, int rows) {
        backend.forRanges(rows, (from, to) -> {
            for (int row = from; row < to; row++) {
                weight.restoreRow(first + row, values, row * inputs);
                for (int group = 0; group < groups; group++) {
                    round(first, row, group, candidate(row, group, 0));
                }
            }
        });
        try (Matrix error = backend.allocate(rows, inputs)) {
            backend.copyIn(errors, 0, error);
            for (int group = 0; group < groups; group++) {
                measure(rows, group, error);
                replace(first, rows, group, error);
            }
        }
        System.arraycopy(OutputError.ofRows(errors, rows, moments, backend), 0, costs, first, rows);
    }

    /// The grid of a group that keeps all but `step / 20` of its largest magnitude; of step 0 that of plain rounding.
    private AffineGrid candidate(int row, int group, int step) {
        int offset = row * inputs + group * groupLength;
        if (step == 0) {
            return RoundToNearest.grid(values, offset, groupLength, scheme);
        }
        float share = 1 - step / 20f;
        if (scheme.symmetric()) {
            return AffineGrid.ofExtreme(share * RoundToNearest.extreme(values, offset, groupLength), scheme);
        }
        float low = 0;
        float high = 0;
        for (int i = offset; i < offset + groupLength; i++) {
            low = Math.min(low, values[i]);
            high = Math.max(high, values[i]);
        }
        float limit = share * Math.max(-low, high);
        return AffineGrid.ofRange(Math.max(low, -limit), Math.min(high, limit), scheme);
    }

    /// Gives a group a grid: codes, and what they miss.
    private void round(int first, int row, int group, AffineGrid grid) {
        int cell = (first + row) * groups + group;
        scales[cell] = grid.scale();
        zeros[cell] = grid.zero();
        int column = group * groupLength;
        for (int i = column; i < column + groupLength; i++) {
            float value = values[row * inputs + i];
            int code = grid.code(value);
            codes[(first + row) * inputs + i] = (byte) code;
            errors[row * inputs + i] = value - grid.restore(code);
        }
    }

    /// Fills `trials` with `d`, `products` with `-d·H`, and `slopes` with `-e·H` in the group's columns.
    private void measure(int rows, int group, Matrix error) {
        int column = group * groupLength;
        backend.forRanges(rows, (from, to) -> {
            for (int row = from; row < to; row++) {
                for (int step = 0; step < SHARES; step++) {
                    AffineGrid grid = candidate(row, group, step);
                    int trial = (step * rows + row) * groupLength;
                    int offset = row * inputs + column;
                    for (int i = 0; i < groupLength; i++) {
                        float value = values[offset + i];
                        trials[trial + i] = value - grid.restore(grid.code(value)) - errors[offset + i];
                    }
                }
            }
        });
        try (Matrix change = backend.allocate(SHARES * rows, groupLength);
                Matrix product = backend.allocate(SHARES * rows, groupLength);
                Matrix slope = backend.allocate(rows, groupLength)) {
            backend.copyIn(trials, 0, change);
            backend.subtractProduct(change, moments.view(column, groupLength, column, groupLength), product);
            backend.copyOut(product, products, 0);
            backend.subtractProduct(error, moments.view(0, inputs, column, groupLength), slope);
            backend.copyOut(slope, slopes, 0);
        }
    }

    /// Takes for each row the grid that lowers its error most, if one does.
    private void replace(int first, int rows, int group, Matrix error) {
        int column = group * groupLength;
        float[] found = new float[rows * groupLength];
        backend.forRanges(rows, (from, to) -> {
            for (int row = from; row < to; row++) {
                int best = -1;
                double least = 0;
                for (int step = 0; step < SHARES; step++) {
                    double change = change((step * rows + row) * groupLength, row * groupLength);
                    if (change < least) {
                        least = change;
                        best = step;
                    }
                }
                if (best >= 0) {
                    round(first, row, group, candidate(row, group, best));
                }
                System.arraycopy(errors, row * inputs + column, found, row * groupLength, groupLength);
            }
        });
        backend.copyIn(found, 0, error.view(0, error.rows(), column, groupLength));
    }

    private double change(int trial, int slope) {
        double change = 0;
        for (int i = 0; i < groupLength; i++) {
            change -= trials[trial + i] * ((double) products[trial + i] + 2.0 * slopes[slope + i]);
        }
        return change;
    }
}

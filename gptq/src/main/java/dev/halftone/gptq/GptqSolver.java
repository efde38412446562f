package dev.halftone.gptq;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.weight.AffineGrid;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.Weight;

/// Rounds a weight column by column, pushing each error onto the columns still to come
/// ([GPTQ](https://arxiv.org/abs/2210.17323), Algorithm 1).
///
/// The columns lie in the order of the factor. Inside a block of columns every row goes its own way on the host; the
/// columns behind the block get the errors of the whole block as one matrix product.
///
/// Where the paper's code reads the grid of a group from the full weight, which lacks the feedback of the running
/// block, this one reads it from the working copy: blocks end where a group begins, so that the copy is always current.
final class GptqSolver {
    /// Most columns between two products: the block of `U` and one row stay in the first caches.
    private static final int BLOCK = 128;

    /// Rows that are rounded side by side.
    private static final int TILE = RoundingColumn.ROWS;

    /// Rows that are copied at a time where the whole weight passes by: whole tiles.
    private static final int ROWS = 4 * TILE;

    private final Weight weight;
    private final QuantizationScheme scheme;
    private final InverseFactor factor;
    private final GridRule rule;
    private final Backend backend;
    private final int outputs;
    private final int inputs;
    private final int groupLength;
    private final int groups;
    private final byte[] codes; // [outputs, inputs], original column order
    private final AffineGrid[] grids; // [outputs, groups]
    private final double[] errors; // [outputs]

    private GptqSolver(Weight weight, QuantizationScheme scheme, InverseFactor factor, GridRule rule, Backend backend) {
        this.weight = weight;
        this.scheme = scheme;
        this.factor = factor;
        this.rule = rule;
        this.backend = backend;
        outputs = weight.outputs();
        inputs = weight.inputs();
        groupLength = scheme.groupLength(inputs);
        groups = scheme.groups(inputs);
        codes = new byte[Math.multiplyExact(outputs, inputs)];
        grids = new AffineGrid[Math.multiplyExact(outputs, groups)];
        errors = new double[outputs];
    }

    /// What the solver found.
    ///
    /// @param weight codes, scales and zeros
    /// @param errors `[outputs]`: squared output error `d·H·dᵀ` of each row `d` of the change, undamped
    record Solution(QuantizedWeight weight, double[] errors) {}

    /// @param factor of the moments of the inputs of `weight`, made with the same group length
    static Solution solve(
            Weight weight, QuantizationScheme scheme, InverseFactor factor, GptqOptions options, Backend backend) {
        if (factor.order().length != weight.inputs()) {
            throw new IllegalArgumentException("weight [" + weight.outputs() + ", " + weight.inputs() + "], moments of "
                    + factor.order().length + " inputs");
        }
        GptqSolver solver = new GptqSolver(weight, scheme, factor, options.grid(), backend);
        solver.run(options.order());
        return new Solution(solver.result(), solver.errors);
    }

    private void run(ColumnOrder order) {
        boolean fixedGrids = order == ColumnOrder.ACTIVATION;
        // Only the orders that keep the columns of a group together can read its grid when they reach it.
        try (Matrix live = backend.allocate(outputs, inputs);
                Matrix blockErrors = backend.allocate(outputs, Math.min(BLOCK, inputs))) {
            fill(live, fixedGrids);
            int to;
            for (int from = 0; from < inputs; from = to) {
                to = fixedGrids ? Math.min(from + BLOCK, inputs) : blockEnd(from);
                int count = to - from;
                if (!fixedGrids && from % groupLength == 0 && groupLength > count) {
                    measureLongGroup(live, from);
                }
                float[] block = new float[outputs * count];
                backend.copyOut(live.view(0, outputs, from, count), block, 0);
                roundBlock(block, from, count, !fixedGrids && groupLength <= count);
                if (to < inputs) {
                    Matrix blockError = blockErrors.view(0, outputs, 0, count);
                    backend.copyIn(block, 0, blockError);
                    backend.subtractProduct(
                            blockError,
                            factor.upper().view(from, count, to, inputs - to),
                            live.view(0, outputs, to, inputs - to));
                }
            }
        }
        subtractDamping();
    }

    /// A block holds whole groups, or a part of one longer group.
    private int blockEnd(int from) {
        if (groupLength <= BLOCK) {
            return Math.min(from + BLOCK / groupLength * groupLength, inputs);
        }
        int groupEnd = (from / groupLength + 1) * groupLength;
        return Math.min(from + BLOCK, groupEnd);
    }

    /// `live` = the weight with its columns in the factor's order and dead columns zero.
    private void fill(Matrix live, boolean measure) {
        int[] order = factor.order();
        boolean[] dead = factor.dead();
        float[] permuted = new float[Math.min(ROWS, outputs) * inputs];
        for (int first = 0; first < outputs; first += ROWS) {
            int firstRow = first;
            int count = Math.min(ROWS, outputs - first);
            backend.forRanges(count, (from, to) -> {
                float[] row = new float[inputs];
                for (int r = from; r < to; r++) {
                    weight.restoreRow(firstRow + r, row, 0);
                    for (int i = 0; i < inputs; i++) {
                        if (dead[i]) {
                            row[i] = 0;
                        }
                    }
                    for (int group = 0; measure && group < groups; group++) {
                        grids[(firstRow + r) * groups + group] =
                                RoundToNearest.range(row, group * groupLength, groupLength, scheme);
                    }
                    for (int i = 0; i < inputs; i++) {
                        permuted[r * inputs + i] = row[order[i]];
                    }
                }
            });
            backend.copyIn(permuted, 0, live.rows(first, count));
        }
    }

    /// Grids of the group that begins at step `from` and reaches beyond the block.
    private void measureLongGroup(Matrix live, int from) {
        int group = factor.order()[from] / groupLength;
        GridSearch search = search(from);
        float[] part = new float[Math.min(ROWS, outputs) * groupLength];
        for (int first = 0; first < outputs; first += ROWS) {
            int firstRow = first;
            int count = Math.min(ROWS, outputs - first);
            backend.copyOut(live.view(first, count, from, groupLength), part, 0);
            backend.forRanges(Math.ceilDiv(count, TILE), (a, b) -> {
                float[][] columns = new float[groupLength][TILE];
                AffineGrid[] chosen = new AffineGrid[TILE];
                GridSearch.Scratch scratch = search == null ? null : search.scratch();
                for (int tile = a; tile < b; tile++) {
                    int row = tile * TILE;
                    int rows = Math.min(TILE, count - row);
                    turn(part, row, rows, groupLength, columns);
                    grids(search, columns, 0, rows, chosen, scratch);
                    for (int r = 0; r < rows; r++) {
                        grids[(firstRow + row + r) * groups + group] = chosen[r];
                    }
                }
            });
        }
    }

    /// Rows `[first, first + rows)` of `values` `[.., count]` as columns `[count][TILE]`, the rest of each zero.
    private static void turn(float[] values, int first, int rows, int count, float[][] columns) {
        for (int i = 0; i < count; i++) {
            for (int r = 0; r < TILE; r++) {
                columns[i][r] = r < rows ? values[(first + r) * count + i] : 0;
            }
        }
    }

    /// The search for grids of the group that begins at step `from`, or null if they are chosen by range.
    private GridSearch search(int from) {
        if (rule == GridRule.RANGE) {
            return null;
        }
        int square = greatestDivisor(groupLength, BLOCK);
        float[] squares = new float[groupLength * square];
        for (int first = 0; first < groupLength; first += square) {
            backend.copyOut(factor.upper().view(from + first, square, from + first, square), squares, first * square);
        }
        return new GridSearch(squares, groupLength, square, scheme);
    }

    /// The largest divisor of `length` that is at most `limit`.
    private static int greatestDivisor(int length, int limit) {
        int divisor = Math.min(length, limit);
        while (length % divisor != 0) {
            divisor--;
        }
        return divisor;
    }

    /// Chooses the grids of a group, whose columns stand in `columns` from `start` on.
    ///
    /// @param search  null to choose them by range
    /// @param scratch of the search
    private void grids(
            GridSearch search,
            float[][] columns,
            int start,
            int rows,
            AffineGrid[] chosen,
            GridSearch.Scratch scratch) {
        if (search != null) {
            search.choose(columns, start, rows, chosen, scratch);
            return;
        }
        float[] row = new float[groupLength];
        for (int r = 0; r < rows; r++) {
            for (int i = 0; i < groupLength; i++) {
                row[i] = columns[start + i][r];
            }
            chosen[r] = RoundToNearest.range(row, 0, groupLength, scheme);
        }
    }

    /// Rounds the columns of `block` `[outputs, count]`, the live weights of steps `from ...`, and replaces each by its
    /// error divided by the diagonal of `U`.
    private void roundBlock(float[] block, int from, int count, boolean measure) {
        float[] upper = new float[count * count];
        backend.copyOut(factor.upper().view(from, count, from, count), upper, 0);
        GridSearch[] searches = new GridSearch[measure ? count / groupLength : 0];
        for (int group = 0; group < searches.length; group++) {
            searches[group] = search(from + group * groupLength);
        }
        backend.forRanges(Math.ceilDiv(outputs, TILE), (a, b) -> {
            float[][] columns = new float[count][TILE];
            GridSearch.Scratch scratch = measure && searches[0] != null ? searches[0].scratch() : null;
            for (int tile = a; tile < b; tile++) {
                int first = tile * TILE;
                int rows = Math.min(TILE, outputs - first);
                turn(block, first, rows, count, columns);
                roundTile(columns, first, rows, upper, from, count, searches, scratch);
                for (int i = 0; i < count; i++) {
                    for (int r = 0; r < rows; r++) {
                        block[(first + r) * count + i] = columns[i][r];
                    }
                }
            }
        });
    }

    /// As [#roundBlock] for rows `[first, first + rows)`, whose columns are `[count][TILE]`. Every row goes its
    /// own way, all of them at one pace.
    private void roundTile(
            float[][] columns,
            int first,
            int rows,
            float[] upper,
            int from,
            int count,
            GridSearch[] searches,
            GridSearch.Scratch scratch) {
        int[] order = factor.order();
        AffineGrid[] chosen = new AffineGrid[TILE];
        RoundingColumn rounding = new RoundingColumn();
        float[] column = new float[TILE];
        double[] error = new double[TILE];
        int lastGroup = -1;
        for (int i = 0; i < count; i++) {
            int input = order[from + i];
            int group = input / groupLength;
            if (searches.length > 0 && i % groupLength == 0) {
                grids(searches[i / groupLength], columns, i, rows, chosen, scratch);
                for (int r = 0; r < rows; r++) {
                    grids[(first + r) * groups + group] = chosen[r];
                }
                lastGroup = -1;
            }
            if (group != lastGroup) {
                lastGroup = group;
                for (int r = 0; r < rows; r++) {
                    chosen[r] = grids[(first + r) * groups + group];
                }
                rounding.take(chosen, rows);
            }
            rounding.codes(columns[i], column);
            float diagonal = upper[i * count + i];
            for (int r = 0; r < rows; r++) {
                codes[(first + r) * inputs + input] = (byte) ((int) column[r] + chosen[r].zero());
                float scaled = (columns[i][r] - rounding.restored(column[r], r)) / diagonal;
                column[r] = scaled;
                columns[i][r] = scaled;
                error[r] += (double) scaled * scaled;
            }
            for (int j = i + 1; j < count; j++) {
                RoundingColumn.addMultiple(-upper[i * count + j], column, columns[j]);
            }
        }
        for (int r = 0; r < rows; r++) {
            errors[first + r] += error[r];
        }
    }

    /// With `E` the scaled errors, the change is `D = E·U`; as `(H + a)⁻¹ = Uᵀ·U`, it costs `D·(H + a)·Dᵀ = E·Eᵀ`.
    /// The damping's share `a·D·Dᵀ` is taken off again. Dead columns cost nothing: they were zero and stay so.
    private void subtractDamping() {
        boolean[] dead = factor.dead();
        QuantizedWeight result = result();
        backend.forRanges(outputs, (from, to) -> {
            float[] original = new float[inputs];
            float[] restored = new float[inputs];
            for (int row = from; row < to; row++) {
                weight.restoreRow(row, original, 0);
                result.restoreRow(row, restored, 0);
                double change = 0;
                for (int i = 0; i < inputs; i++) {
                    double difference = dead[i] ? 0 : (double) original[i] - restored[i];
                    change += difference * difference;
                }
                errors[row] = Math.max(0, errors[row] - factor.added() * change);
            }
        });
    }

    private QuantizedWeight result() {
        float[] scales = new float[grids.length];
        int[] zeros = new int[grids.length];
        for (int cell = 0; cell < grids.length; cell++) {
            scales[cell] = grids[cell].scale();
            zeros[cell] = grids[cell].zero();
        }
        return new QuantizedWeight(scheme, outputs, inputs, codes, scales, zeros, null);
    }
}

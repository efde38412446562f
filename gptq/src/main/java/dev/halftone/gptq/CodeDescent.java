package dev.halftone.gptq;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.weight.AffineGrid;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.Weight;
import java.util.Arrays;

/// Improves a solution by coordinate descent on what GPTQ minimises, `d·(H + a)·dᵀ` for each row `d = Q - W`. GPTQ
/// decides every code once and cannot come back to it; here scales and codes are moved in turn, each to its best value
/// with all others fixed:
///
/// - the scale of a group to `s - (N·c) / (c·H·cᵀ)`, `c` being the group's codes less its zero and `N = d·(H + a)` half
///   of the gradient, then rounded to what the file can hold, and taken only if the error falls;
/// - a code to the one nearest `q_j - N_j / H_jj`.
///
/// No step ever raises the error. Inside a block of columns every row goes its own way on the host; the gradient of the
/// other columns follows as one matrix product.
final class CodeDescent {
    /// Columns between two products; a longer group is a block of its own.
    private static final int BLOCK = 128;
    /// Rows of the change that are multiplied at a time.
    private static final int ROWS = 256;
    /// How far one step may move a scale: the quadratic is only as good as the codes.
    private static final float MOST = 1.5f;

    private final Weight target;
    private final QuantizedWeight rounded;
    private final Matrix moments;
    private final double added;
    private final boolean[] dead;
    private final Backend backend;
    private final QuantizationScheme scheme;
    private final int outputs;
    private final int inputs;
    private final int groupLength;
    private final int groups;
    private final float[] diagonal; // [inputs], damped

    // Of one block of columns, kept from block to block: a heap full of dropped ones would grow.
    private final float[][] square; // [count][count], damped moments
    private final float[] gradients; // [outputs, count]
    private final float[] changes; // [outputs, count], -(new - old) of the restored weights
    private final float[] curvature; // [group][outputs, count], see #curve
    private final float[] damped; // [outputs, count]
    private final float[] centred; // [outputs, groupLength]

    /// @param rounded in the columns' own order; its arrays are changed in place
    /// @param moments undamped, `H`
    /// @param added   to the diagonal of the moments, `a`
    /// @param dead    inputs that are always zero
    CodeDescent(Weight target, QuantizedWeight rounded, Matrix moments, double added, boolean[] dead, Backend backend) {
        this.target = target;
        this.rounded = rounded;
        this.moments = moments;
        this.added = added;
        this.dead = dead;
        this.backend = backend;
        scheme = rounded.scheme();
        outputs = rounded.outputs();
        inputs = rounded.inputs();
        groupLength = scheme.groupLength(inputs);
        groups = scheme.groups(inputs);
        diagonal = new float[inputs];
        for (int i = 0; i < inputs; i++) {
            backend.copyOut(moments.view(i, 1, i, 1), diagonal, i);
            diagonal[i] += (float) added;
        }
        boolean longGroups = groupLength > BLOCK;
        int most = Math.min(inputs, longGroups ? BLOCK : BLOCK / groupLength * groupLength);
        square = new float[most][most];
        gradients = new float[outputs * most];
        changes = new float[outputs * most];
        curvature = new float[longGroups ? 0 : most / groupLength * outputs * most];
        damped = new float[longGroups ? 0 : outputs * most];
        centred = new float[longGroups ? 0 : outputs * groupLength];
    }

    /// Goes over all columns `sweeps` times.
    ///
    /// @return `[outputs]`: squared output error `d·H·dᵀ` of each row, undamped
    double[] run(int sweeps) {
        try (Matrix gradient = backend.allocate(outputs, inputs)) {
            fill(gradient);
            for (int sweep = 0; sweep < sweeps; sweep++) {
                if (groupLength > BLOCK) {
                    moveLongScales(gradient);
                }
                int to;
                for (int from = 0; from < inputs; from = to) {
                    to = Math.min(inputs, from + (groupLength > BLOCK ? BLOCK : BLOCK / groupLength * groupLength));
                    sweepBlock(gradient, from, to - from);
                }
            }
            return errors(gradient);
        }
    }

    /// `change = Q - W` of a row, zero where the input is.
    private void change(int row, float[] original, float[] restored, float[] changes, int offset) {
        target.restoreRow(row, original, 0);
        rounded.restoreRow(row, restored, 0);
        for (int i = 0; i < inputs; i++) {
            changes[offset + i] = dead[i] ? 0 : restored[i] - original[i];
        }
    }

    /// `gradient = (Q - W)·(H + a)`.
    private void fill(Matrix gradient) {
        int most = Math.min(ROWS, outputs);
        float[] changes = new float[most * inputs];
        float[] damped = new float[most * inputs];
        try (Matrix change = backend.allocate(most, inputs)) {
            for (int first = 0; first < outputs; first += ROWS) {
                int firstRow = first;
                int count = Math.min(ROWS, outputs - first);
                backend.forRanges(count, (from, to) -> {
                    float[] original = new float[inputs];
                    float[] restored = new float[inputs];
                    for (int row = from; row < to; row++) {
                        change(firstRow + row, original, restored, changes, row * inputs);
                        for (int i = row * inputs; i < (row + 1) * inputs; i++) {
                            damped[i] = (float) (added * changes[i]);
                            // The backend only subtracts products.
                            changes[i] = -changes[i];
                        }
                    }
                });
                backend.copyIn(changes, 0, change.rows(0, count));
                backend.copyIn(damped, 0, gradient.rows(first, count));
                backend.subtractProduct(change.rows(0, count), moments, gradient.rows(first, count));
            }
        }
    }

    private double[] errors(Matrix gradient) {
        double[] errors = new double[outputs];
        int most = Math.min(ROWS, outputs);
        float[] gradients = new float[most * inputs];
        for (int first = 0; first < outputs; first += ROWS) {
            int firstRow = first;
            int count = Math.min(ROWS, outputs - first);
            backend.copyOut(gradient.rows(first, count), gradients, 0);
            backend.forRanges(count, (from, to) -> {
                float[] original = new float[inputs];
                float[] restored = new float[inputs];
                float[] changes = new float[inputs];
                for (int row = from; row < to; row++) {
                    change(firstRow + row, original, restored, changes, 0);
                    double sum = 0;
                    for (int i = 0; i < inputs; i++) {
                        sum += changes[i] * (gradients[row * inputs + i] - added * changes[i]);
                    }
                    errors[firstRow + row] = Math.max(0, sum);
                }
            });
        }
        return errors;
    }

    /// Moves the scales of groups that are longer than a block, all rows of a group at once.
    private void moveLongScales(Matrix gradient) {
        float[] codes = new float[Math.min(ROWS, outputs) * groupLength];
        float[] curvature = new float[Math.min(ROWS, outputs) * inputs];
        float[] gradients = new float[Math.min(ROWS, outputs) * inputs];
        try (Matrix code = backend.allocate(Math.min(ROWS, outputs), groupLength);
                Matrix product = backend.allocate(Math.min(ROWS, outputs), inputs)) {
            for (int group = 0; group < groups; group++) {
                for (int first = 0; first < outputs; first += ROWS) {
                    int count = Math.min(ROWS, outputs - first);
                    moveLongScales(
                            group,
                            first,
                            codes,
                            curvature,
                            gradients,
                            code.rows(0, count),
                            product.rows(0, count),
                            gradient.rows(first, count));
                }
            }
        }
    }

    private void moveLongScales(
            int group,
            int first,
            float[] codes,
            float[] curvature,
            float[] gradients,
            Matrix code,
            Matrix product,
            Matrix gradient) {
        int count = code.rows();
        int start = group * groupLength;
        // product = a·c in the group's columns, then + c·H.
        Arrays.fill(curvature, 0);
        for (int row = 0; row < count; row++) {
            for (int i = 0; i < groupLength; i++) {
                int value = centred(first + row, start + i);
                codes[row * groupLength + i] = -value;
                curvature[row * inputs + start + i] = (float) (added * value);
            }
        }
        backend.copyIn(codes, 0, code);
        backend.copyIn(curvature, 0, product);
        backend.subtractProduct(code, moments.view(start, groupLength, 0, inputs), product);
        backend.copyOut(product, curvature, 0);
        backend.copyOut(gradient, gradients, 0);
        for (int row = 0; row < count; row++) {
            double slope = 0;
            double bend = 0;
            for (int i = 0; i < groupLength; i++) {
                slope -= gradients[row * inputs + start + i] * codes[row * groupLength + i];
                bend -= curvature[row * inputs + start + i] * codes[row * groupLength + i];
            }
            float moved = move((first + row) * groups + group, slope, bend);
            for (int i = 0; i < inputs && moved != 0; i++) {
                gradients[row * inputs + i] += moved * curvature[row * inputs + i];
            }
        }
        backend.copyIn(gradients, 0, gradient);
    }

    /// Moves the scale of `cell` to the minimum of `slope·x + bend·x²/2`, as nearly as it can be stored.
    ///
    /// @return by how much it moved
    private float move(int cell, double slope, double bend) {
        float old = rounded.scales()[cell];
        if (!(bend > 0)) {
            return 0;
        }
        double least = old > 0 ? old / MOST : old * MOST;
        double most = old > 0 ? old * MOST : old / MOST;
        float wanted = (float) Math.clamp(old - slope / bend, least, most);
        float scale = AffineGrid.storable(wanted, scheme);
        float moved = scale - old;
        if (!(slope * moved + bend * moved * moved / 2 < 0)) {
            return 0;
        }
        rounded.scales()[cell] = scale;
        return moved;
    }

    private void sweepBlock(Matrix gradient, int from, int count) {
        for (int i = 0; i < count; i++) {
            backend.copyOut(moments.view(from + i, 1, from, count), square[i], 0);
            square[i][i] = diagonal[from + i];
        }
        backend.copyOut(gradient.view(0, outputs, from, count), gradients, 0);
        Arrays.fill(changes, 0);
        if (groupLength <= BLOCK) {
            curve(from, count);
        }
        backend.forRanges(outputs, (a, b) -> {
            float[] slopes = new float[square.length];
            for (int row = a; row < b; row++) {
                System.arraycopy(gradients, row * count, slopes, 0, count);
                sweepRow(row, from, count, slopes);
                System.arraycopy(slopes, 0, gradients, row * count, count);
            }
        });
        backend.copyIn(gradients, 0, gradient.view(0, outputs, from, count));
        try (Matrix change = backend.allocate(outputs, count)) {
            backend.copyIn(changes, 0, change);
            if (from > 0) {
                backend.subtractProduct(change, moments.view(from, count, 0, from), gradient.view(0, outputs, 0, from));
            }
            int to = from + count;
            if (to < inputs) {
                backend.subtractProduct(
                        change, moments.view(from, count, to, inputs - to), gradient.view(0, outputs, to, inputs - to));
            }
        }
    }

    /// `c·(H + a)` of each group of a block, within the block. Until the sweep comes to a group its codes do not
    /// change, so all rows' are one product.
    private void curve(int from, int count) {
        try (Matrix code = backend.allocate(outputs, groupLength);
                Matrix product = backend.allocate(outputs, count)) {
            for (int group = 0; group < count / groupLength; group++) {
                int place = group * groupLength;
                int column = from + place;
                Arrays.fill(damped, 0);
                backend.forRanges(outputs, (a, b) -> {
                    for (int row = a; row < b; row++) {
                        for (int i = 0; i < groupLength; i++) {
                            int value = centred(row, column + i);
                            // The backend only subtracts products.
                            centred[row * groupLength + i] = -value;
                            damped[row * count + place + i] = (float) (added * value);
                        }
                    }
                });
                backend.copyIn(centred, 0, code);
                backend.copyIn(damped, 0, product);
                backend.subtractProduct(code, moments.view(column, groupLength, from, count), product);
                backend.copyOut(product, curvature, group * outputs * count);
            }
        }
    }

    /// A code less its zero, 0 for a dead input.
    private int centred(int row, int column) {
        return dead[column]
                ? 0
                : (rounded.codes()[row * inputs + column] & 0xFF)
                        - rounded.zeros()[row * groups + column / groupLength];
    }

    /// @param slopes the row's gradient within the block
    private void sweepRow(int row, int from, int count, float[] slopes) {
        byte[] codes = rounded.codes();
        int start = row * count;
        for (int i = 0; i < count; i++) {
            int column = from + i;
            int cell = row * groups + column / groupLength;
            if (groupLength <= BLOCK && column % groupLength == 0) {
                moveScale(row, column, i, cell, count, slopes);
            }
            if (dead[column]) {
                continue;
            }
            float scale = rounded.scales()[cell];
            int zero = rounded.zeros()[cell];
            int old = codes[row * inputs + column] & 0xFF;
            float wanted = scale * (old - zero) - slopes[i] / square[i][i];
            int code = Math.clamp((int) Math.rint(wanted / scale) + zero, 0, scheme.maximum());
            if (code != old) {
                codes[row * inputs + column] = (byte) code;
                float change = scale * (code - old);
                changes[start + i] -= change;
                addMultiple(change, square[i], slopes);
            }
        }
    }

    /// The scale of the group that begins at place `i` of the block.
    private void moveScale(int row, int column, int i, int cell, int count, float[] slopes) {
        int start = row * count;
        int step = (i / groupLength * outputs + row) * count;
        double slope = 0;
        double bend = 0;
        for (int k = 0; k < groupLength; k++) {
            int value = centred(row, column + k);
            slope += (double) value * slopes[i + k];
            bend += (double) value * curvature[step + i + k];
        }
        float moved = move(cell, slope, bend);
        if (moved != 0) {
            for (int k = 0; k < count; k++) {
                slopes[k] += moved * curvature[step + k];
            }
            for (int k = 0; k < groupLength; k++) {
                changes[start + i + k] -= moved * centred(row, column + k);
            }
        }
    }

    /// A loop of its own, so that the compiler turns it into vector instructions; both arrays are indexed alike, see
    /// [RoundingColumn]. Beyond the columns of a narrow block there is nothing of meaning.
    private static void addMultiple(float factor, float[] x, float[] y) {
        for (int i = 0; i < y.length; i++) {
            y[i] += factor * x[i];
        }
    }
}

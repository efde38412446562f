package dev.halftone.core.quantize;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;

/// The squared output error that a change of a weight causes, `d·H·dᵀ` for each row `d` of the change.
public final class OutputError {
    /// Rows that are multiplied at a time, so that the scratch stays small.
    private static final int ROWS = 256;
    /// Rows whose outputs are measured for comparison. Rows are independent problems, and measuring one costs as much
    /// as the moments of two tokens, so that some rows speak for all of a large weight.
    private static final int COMPARED_ROWS = 512;

    private OutputError() {}

    /// @param changes `[rows, inputs]` row-major, not modified
    /// @param moments `[inputs, inputs]`, `H`
    /// @return `[rows]`
    public static double[] ofRows(float[] changes, int rows, Matrix moments, Backend backend) {
        int inputs = moments.columns();
        double[] errors = new double[rows];
        float[] products = new float[Math.min(ROWS, rows) * inputs];
        for (int first = 0; first < rows; first += ROWS) {
            int count = Math.min(ROWS, rows - first);
            int firstRow = first;
            // The backend only subtracts products; the sign is turned back below.
            try (Matrix change = backend.allocate(count, inputs);
                    Matrix product = backend.allocate(count, inputs)) {
                backend.copyIn(changes, first * inputs, change);
                backend.subtractProduct(change, moments, product);
                backend.copyOut(product, products, 0);
            }
            backend.forRanges(count, (from, to) -> {
                for (int row = from; row < to; row++) {
                    errors[firstRow + row] =
                            -product(products, row * inputs, changes, (firstRow + row) * inputs, inputs);
                }
            });
        }
        return errors;
    }

    private static double product(float[] a, int aOffset, float[] b, int bOffset, int count) {
        double sum = 0;
        for (int i = 0; i < count; i++) {
            sum += (double) a[aOffset + i] * b[bOffset + i];
        }
        return sum;
    }

    /// Sets the errors of a method beside the size of the outputs and the error of plain rounding.
    ///
    /// @param weight  that was quantized
    /// @param errors  `[outputs]`: squared output error of each row
    /// @param moments of the inputs of `weight`
    public static QuantizationError compare(
            Weight weight, double[] errors, QuantizationScheme scheme, Matrix moments, Backend backend) {
        int inputs = weight.inputs();
        int rows = Math.min(COMPARED_ROWS, weight.outputs());
        float[] values = new float[rows * inputs];
        float[] changes = new float[rows * inputs];
        float[] row = new float[inputs];
        float[] restored = new float[inputs];
        double error = 0;
        for (int i = 0; i < rows; i++) {
            int chosen = (int) ((long) i * weight.outputs() / rows);
            weight.restoreRow(chosen, row, 0);
            RoundToNearest.roundRow(row, scheme, restored);
            for (int j = 0; j < inputs; j++) {
                values[i * inputs + j] = row[j];
                changes[i * inputs + j] = row[j] - restored[j];
            }
            error += errors[chosen];
        }
        double size = sum(ofRows(values, rows, moments, backend));
        double rounding = sum(ofRows(changes, rows, moments, backend));
        return new QuantizationError(
                QuantizationError.Measure.OUTPUTS,
                sum(errors),
                size == 0 ? 0 : error / size,
                size == 0 ? 0 : rounding / size,
                rows);
    }

    private static double sum(double[] values) {
        double sum = 0;
        for (double value : values) {
            sum += value;
        }
        return sum;
    }
}

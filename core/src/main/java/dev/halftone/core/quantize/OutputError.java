package dev.halftone.core.quantize;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;

/// The squared output error that a change of a weight causes, `d·H·dᵀ` for each row `d` of the change.
public final class OutputError {
    /// Rows that are multiplied at a time, so that the scratch stays small.
    private static final int ROWS = 256;

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
            int offset = first * inputs;
            // The backend only subtracts products; the sign is turned back below.
            try (Matrix change = backend.allocate(count, inputs);
                    Matrix product = backend.allocate(count, inputs)) {
                backend.copyIn(changes, offset, change);
                backend.subtractProduct(change, moments, product);
                backend.copyOut(product, products, 0);
            }
            for (int row = 0; row < count; row++) {
                double sum = 0;
                for (int i = 0; i < inputs; i++) {
                    sum -= (double) products[row * inputs + i] * changes[offset + row * inputs + i];
                }
                errors[first + row] = sum;
            }
        }
        return errors;
    }
}

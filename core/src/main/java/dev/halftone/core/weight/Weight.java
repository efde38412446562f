package dev.halftone.core.weight;

/// The matrix of a linear layer, `[outputs, inputs]`, as a checkpoint means it.
public sealed interface Weight permits DenseWeight, CodedWeight {
    int outputs();

    int inputs();

    /// Writes row `output` as float32 into `destination[offset .. offset + inputs)`.
    void restoreRow(int output, float[] destination, int offset);

    /// The whole matrix as float32, row-major.
    default float[] restore() {
        float[] values = new float[Math.multiplyExact(outputs(), inputs())];
        for (int row = 0; row < outputs(); row++) {
            restoreRow(row, values, row * inputs());
        }
        return values;
    }
}

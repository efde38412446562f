package dev.halftone.core.convert;

import dev.halftone.core.checkpoint.GgufTensor;
import dev.halftone.core.layout.GgufBlocks;

/// The rows of a GGUF tensor as floats.
///
/// @param columns of a row
record TensorRows(GgufTensor tensor, int columns) {
    static TensorRows of(GgufTensor tensor) {
        return new TensorRows(tensor, Math.toIntExact(tensor.columns()));
    }

    /// Restores row `row` into `destination` from its start.
    void restore(long row, float[] destination) {
        GgufBlocks.restore(tensor.type(), tensor.data(), row * columns, columns, destination, 0);
    }

    /// All of a tensor of one row.
    float[] all() {
        float[] values = new float[columns];
        restore(0, values);
        return values;
    }
}

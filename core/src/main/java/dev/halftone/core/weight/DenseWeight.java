package dev.halftone.core.weight;

import dev.halftone.core.tensor.Tensor;

/// A weight in floating point, a view of the checkpoint.
///
/// @param tensor `[outputs, inputs]`, F32, F16 or BF16
public record DenseWeight(Tensor tensor) implements Weight {
    public DenseWeight {
        if (tensor.shape().rank() != 2 || !tensor.type().isFloating()) {
            throw new IllegalArgumentException("tensor '" + tensor.name() + "' is " + tensor.type() + " "
                    + tensor.shape() + ", expected a floating-point matrix");
        }
    }

    @Override
    public int outputs() {
        return Math.toIntExact(tensor.shape().size(0));
    }

    @Override
    public int inputs() {
        return Math.toIntExact(tensor.shape().size(1));
    }

    @Override
    public void restoreRow(int output, float[] destination, int offset) {
        tensor.copyTo((long) output * inputs(), inputs(), destination, offset);
    }
}

package dev.halftone.core.checkpoint;

import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import java.util.Objects;

/// A tensor before its data exist: what a header says of it.
public record TensorSpec(String name, DType type, Shape shape) {
    public TensorSpec {
        Objects.requireNonNull(name);
        Objects.requireNonNull(type);
        Objects.requireNonNull(shape);
    }

    /// The spec of an existing tensor.
    public static TensorSpec of(Tensor tensor) {
        return new TensorSpec(tensor.name(), tensor.type(), tensor.shape());
    }

    /// @throws ArithmeticException if the size does not fit a long
    public long bytes() {
        return Math.multiplyExact(shape.elements(), type.bytes());
    }
}

package dev.halftone.core.checkpoint;

import dev.halftone.core.tensor.Shape;
import java.util.Objects;

/// A tensor of a GGUF file before its data exist.
///
/// @param shape outermost axis first; the innermost is a multiple of the type's block
public record GgufSpec(String name, GgufType type, Shape shape) {
    public GgufSpec {
        Objects.requireNonNull(name);
        long columns = shape.rank() == 0 ? 1 : shape.size(shape.rank() - 1);
        if (columns % type.blockElements() != 0) {
            throw new IllegalArgumentException(
                    name + ": rows of " + columns + " are no whole blocks of " + type + ", " + type.blockElements());
        }
    }

    /// @throws ArithmeticException if the size does not fit a long
    public long bytes() {
        return type.bytes(shape.elements());
    }
}

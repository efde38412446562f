package dev.halftone.core.checkpoint;

import dev.halftone.core.tensor.Shape;
import java.lang.foreign.MemorySegment;
import java.util.Objects;

/// A tensor of a GGUF file: a read-only view of blocks in memory that somebody else owns.
///
/// @param shape outermost axis first, the reverse of how the file lists it
/// @param data  exactly the blocks of `shape`, row after row
public record GgufTensor(String name, GgufType type, Shape shape, MemorySegment data) {
    public GgufTensor {
        Objects.requireNonNull(name);
        long expected = new GgufSpec(name, type, shape).bytes();
        if (data.byteSize() != expected) {
            throw new IllegalArgumentException(
                    name + ": " + type + " " + shape + " needs " + expected + " bytes, found " + data.byteSize());
        }
        data = data.asReadOnly();
    }

    /// Length of a row: the innermost size, 1 for a scalar.
    public long columns() {
        return shape.rank() == 0 ? 1 : shape.size(shape.rank() - 1);
    }

    /// Number of rows.
    public long rows() {
        return columns() == 0 ? 0 : shape.elements() / columns();
    }
}

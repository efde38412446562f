package dev.halftone.core.checkpoint;

import java.util.Optional;

/// How the numbers of a tensor lie in a GGUF file: in blocks of some elements, each of some bytes. A type with
/// blocks of one element is a plain number format.
///
/// The block formats are read and written by [dev.halftone.core.layout.GgufBlocks]; here stands only what the
/// container needs to know of them, so it lists more types than can be restored.
public enum GgufType {
    F32(0, 1, 4),
    F16(1, 1, 2),
    Q4_0(2, 32, 18),
    Q4_1(3, 32, 20),
    Q5_0(6, 32, 22),
    Q5_1(7, 32, 24),
    Q8_0(8, 32, 34),
    Q2_K(10, 256, 84),
    Q3_K(11, 256, 110),
    Q4_K(12, 256, 144),
    Q5_K(13, 256, 176),
    Q6_K(14, 256, 210),
    I8(24, 1, 1),
    I16(25, 1, 2),
    I32(26, 1, 4),
    I64(27, 1, 8),
    F64(28, 1, 8),
    BF16(30, 1, 2);

    private final int id;
    private final int blockElements;
    private final int blockBytes;

    GgufType(int id, int blockElements, int blockBytes) {
        this.id = id;
        this.blockElements = blockElements;
        this.blockBytes = blockBytes;
    }

    /// The type that files number `id`; empty if it is none of these.
    public static Optional<GgufType> of(int id) {
        for (GgufType type : values()) {
            if (type.id == id) {
                return Optional.of(type);
            }
        }
        return Optional.empty();
    }

    /// As files number it.
    public int id() {
        return id;
    }

    /// Elements of one block; rows hold whole blocks.
    public int blockElements() {
        return blockElements;
    }

    /// Bytes of one block.
    public int blockBytes() {
        return blockBytes;
    }

    /// Bytes of `elements` consecutive elements, a multiple of [#blockElements].
    ///
    /// @throws ArithmeticException if they do not fit a long
    public long bytes(long elements) {
        assert elements % blockElements == 0 : elements + " elements in blocks of " + blockElements;
        return Math.multiplyExact(elements / blockElements, (long) blockBytes);
    }
}

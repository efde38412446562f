package dev.halftone.core.layout;

import dev.halftone.core.checkpoint.GgufType;
import dev.halftone.core.tensor.BFloat16;
import dev.halftone.core.tensor.LittleEndian;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.EnumSet;
import java.util.Objects;
import java.util.Set;

/// What the blocks of a GGUF file stand for. All arithmetic is in float32, in the order in which the formulas are
/// written, so that a value is the same wherever it is restored.
///
/// | type | block | value of element `j` |
/// |---|---|---|
/// | Q4_0 | f16 `d`; 16 bytes of codes, low halves before high halves | `(q - 8) * d` |
/// | Q4_1 | f16 `d`, f16 `m`; 16 bytes of codes likewise | `q * d + m` |
/// | Q8_0 | f16 `d`; 32 signed bytes | `q * d` |
/// | Q4_K | f16 `d`, f16 `dmin`; 12 bytes of 6-bit `sc` and `mn`; 128 bytes of codes | `d * sc * q - dmin * mn` |
/// | Q6_K | 128 bytes of low bits, 64 of high bits, 16 signed `sc`; f16 `d` | `d * sc * (q - 32)` |
///
/// The 256 elements of Q4_K and Q6_K have an `sc` for each 32 and each 16 of them.
public final class GgufBlocks {
    private static final Set<GgufType> RESTORABLE = EnumSet.of(
            GgufType.F32,
            GgufType.F16,
            GgufType.BF16,
            GgufType.Q4_0,
            GgufType.Q4_1,
            GgufType.Q8_0,
            GgufType.Q4_K,
            GgufType.Q6_K);

    private GgufBlocks() {}

    /// The types that [#restore] knows.
    public static Set<GgufType> restorable() {
        return Set.copyOf(RESTORABLE);
    }

    /// Restores `count` elements from `first` on, both multiples of the type's block, into `destination` at
    /// `offset`.
    ///
    /// @param data blocks of `type` from element 0 on
    /// @throws IllegalArgumentException if the type is not [#restorable]
    public static void restore(
            GgufType type, MemorySegment data, long first, int count, float[] destination, int offset) {
        Objects.checkFromIndexSize(offset, count, destination.length);
        int length = type.blockElements();
        if (first % length != 0 || count % length != 0) {
            throw new IllegalArgumentException(count + " elements from " + first + " are no whole blocks of " + type);
        }
        MemorySegment source = data.asSlice(type.bytes(first), type.bytes(count));
        switch (type) {
            case F32 -> MemorySegment.copy(source, LittleEndian.FLOAT, 0, destination, offset, count);
            case F16 -> {
                for (int i = 0; i < count; i++) {
                    destination[offset + i] = half(source, 2L * i);
                }
            }
            case BF16 -> {
                for (int i = 0; i < count; i++) {
                    destination[offset + i] = BFloat16.toFloat(source.get(LittleEndian.SHORT, 2L * i));
                }
            }
            case Q4_0, Q4_1, Q8_0, Q4_K, Q6_K -> {
                for (int i = 0; i < count; i += length) {
                    restoreBlock(type, source, type.bytes(i), destination, offset + i);
                }
            }
            case Q5_0, Q5_1, Q2_K, Q3_K, Q5_K, I8, I16, I32, I64, F64 ->
                throw new IllegalArgumentException("GGUF type " + type + " is not restored");
        }
    }

    private static void restoreBlock(GgufType type, MemorySegment source, long at, float[] destination, int offset) {
        switch (type) {
            case Q4_0 -> restoreQ40(source, at, destination, offset);
            case Q4_1 -> restoreQ41(source, at, destination, offset);
            case Q8_0 -> restoreQ80(source, at, destination, offset);
            case Q4_K -> restoreQ4K(source, at, destination, offset);
            case Q6_K -> restoreQ6K(source, at, destination, offset);
            default -> throw new AssertionError(type);
        }
    }

    private static float half(MemorySegment source, long at) {
        return Float.float16ToFloat(source.get(LittleEndian.SHORT, at));
    }

    private static int unsigned(MemorySegment source, long at) {
        return source.get(ValueLayout.JAVA_BYTE, at) & 0xFF;
    }

    private static void restoreQ40(MemorySegment source, long at, float[] destination, int offset) {
        float d = half(source, at);
        for (int j = 0; j < 16; j++) {
            int pair = unsigned(source, at + 2 + j);
            destination[offset + j] = ((pair & 15) - 8) * d;
            destination[offset + 16 + j] = ((pair >> 4) - 8) * d;
        }
    }

    private static void restoreQ41(MemorySegment source, long at, float[] destination, int offset) {
        float d = half(source, at);
        float m = half(source, at + 2);
        for (int j = 0; j < 16; j++) {
            int pair = unsigned(source, at + 4 + j);
            destination[offset + j] = (pair & 15) * d + m;
            destination[offset + 16 + j] = (pair >> 4) * d + m;
        }
    }

    private static void restoreQ80(MemorySegment source, long at, float[] destination, int offset) {
        float d = half(source, at);
        for (int j = 0; j < 32; j++) {
            destination[offset + j] = source.get(ValueLayout.JAVA_BYTE, at + 2 + j) * d;
        }
    }

    private static void restoreQ4K(MemorySegment source, long at, float[] destination, int offset) {
        float d = half(source, at);
        float dmin = half(source, at + 2);
        long packed = at + 4;
        for (int j = 0; j < 8; j++) {
            // The first four scales and minima take the low six bits of a byte each; the others a half byte of their
            // own, and the two bits that those leave.
            int sc;
            int mn;
            if (j < 4) {
                sc = unsigned(source, packed + j) & 63;
                mn = unsigned(source, packed + j + 4) & 63;
            } else {
                int halves = unsigned(source, packed + j + 4);
                sc = halves & 15 | unsigned(source, packed + j - 4) >> 6 << 4;
                mn = halves >> 4 | unsigned(source, packed + j) >> 6 << 4;
            }
            float scale = d * sc;
            float minimum = dmin * mn;
            // Two groups of 32 share 32 bytes: one has the low halves, the next the high ones.
            long codes = at + 16 + (j >> 1) * 32;
            int shift = (j & 1) * 4;
            for (int l = 0; l < 32; l++) {
                int q = unsigned(source, codes + l) >> shift & 15;
                destination[offset + 32 * j + l] = scale * q - minimum;
            }
        }
    }

    private static void restoreQ6K(MemorySegment source, long at, float[] destination, int offset) {
        float d = half(source, at + 208);
        for (int i = 0; i < 256; i++) {
            int part = i >> 7; // of 128 elements: 64 bytes of low bits, 32 of high bits, 8 scales
            int quarter = i >> 5 & 3;
            int l = i & 31;
            int low = unsigned(source, at + part * 64 + (quarter & 1) * 32 + l) >> (quarter >> 1) * 4 & 15;
            int high = unsigned(source, at + 128 + part * 32 + l) >> 2 * quarter & 3;
            int sc = source.get(ValueLayout.JAVA_BYTE, at + 192 + part * 8 + 2 * quarter + (l >> 4));
            destination[offset + i] = d * sc * ((low | high << 4) - 32);
        }
    }
}

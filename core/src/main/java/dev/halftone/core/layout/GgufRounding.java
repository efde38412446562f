package dev.halftone.core.layout;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.GgufType;
import dev.halftone.core.tensor.BFloat16;
import dev.halftone.core.tensor.LittleEndian;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Objects;

/// Rounds floats to GGUF types by the format's own rules, so that the same weights give the same bytes as in the
/// tools that define it. Codes are chosen with the step in float32, which is then stored in float16.
///
/// | type | step | code |
/// |---|---|---|
/// | Q4_0 | `d` = the value of largest magnitude, with its sign, over -8 | `min(15, trunc(x / d + 8.5))` |
/// | Q4_1 | `d` = (max - min) / 15, `m` = min | `min(15, trunc((x - m) / d + 0.5))` |
/// | Q8_0 | `d` = largest magnitude / 127 | `x / d`, halves away from zero |
public final class GgufRounding {
    private GgufRounding() {}

    /// True if [#round] can write this type.
    public static boolean writes(GgufType type) {
        return switch (type) {
            case F32, F16, BF16, Q4_0, Q4_1, Q8_0 -> true;
            case Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, I8, I16, I32, I64, F64 -> false;
        };
    }

    /// Writes `count` values, a multiple of the type's block, into `destination` from its start.
    ///
    /// @param name of the tensor, for complaints
    /// @throws HalftoneException        of kind NUMERICS if a value is not finite, or too large for the type
    /// @throws IllegalArgumentException if the type is none that [#writes] tells
    public static void round(
            String name, GgufType type, float[] values, int offset, int count, MemorySegment destination) {
        Objects.checkFromIndexSize(offset, count, values.length);
        if (!writes(type) || count % type.blockElements() != 0) {
            throw new IllegalArgumentException(name + ": " + count + " values are not written as " + type);
        }
        for (int i = 0; i < count; i++) {
            if (!Float.isFinite(values[offset + i])) {
                throw unfit(name, values[offset + i], type);
            }
        }
        switch (type) {
            case F32 -> MemorySegment.copy(values, offset, destination, LittleEndian.FLOAT, 0, count);
            case F16 -> {
                for (int i = 0; i < count; i++) {
                    putHalf(name, type, values[offset + i], destination, 2L * i);
                }
            }
            case BF16 -> {
                for (int i = 0; i < count; i++) {
                    short bits = BFloat16.fromFloat(values[offset + i]);
                    if (!Float.isFinite(BFloat16.toFloat(bits))) {
                        throw unfit(name, values[offset + i], type);
                    }
                    destination.set(LittleEndian.SHORT, 2L * i, bits);
                }
            }
            default -> {
                for (int i = 0; i < count; i += type.blockElements()) {
                    roundBlock(name, type, values, offset + i, destination, type.bytes(i));
                }
            }
        }
    }

    private static void roundBlock(
            String name, GgufType type, float[] values, int offset, MemorySegment destination, long at) {
        switch (type) {
            case Q4_0 -> roundQ40(name, values, offset, destination, at);
            case Q4_1 -> roundQ41(name, values, offset, destination, at);
            case Q8_0 -> roundQ80(name, values, offset, destination, at);
            default -> throw new AssertionError(type);
        }
    }

    private static void roundQ40(String name, float[] values, int offset, MemorySegment destination, long at) {
        float extreme = 0;
        for (int j = 0; j < 32; j++) {
            if (Math.abs(values[offset + j]) > Math.abs(extreme)) {
                extreme = values[offset + j];
            }
        }
        float d = extreme / -8;
        float inverse = d == 0 ? 0 : 1 / d;
        putHalf(name, GgufType.Q4_0, d, destination, at);
        for (int j = 0; j < 16; j++) {
            int low = Math.min(15, (int) (values[offset + j] * inverse + 8.5f));
            int high = Math.min(15, (int) (values[offset + 16 + j] * inverse + 8.5f));
            destination.set(ValueLayout.JAVA_BYTE, at + 2 + j, (byte) (low | high << 4));
        }
    }

    private static void roundQ41(String name, float[] values, int offset, MemorySegment destination, long at) {
        float min = Float.POSITIVE_INFINITY;
        float max = Float.NEGATIVE_INFINITY;
        for (int j = 0; j < 32; j++) {
            min = Math.min(min, values[offset + j]);
            max = Math.max(max, values[offset + j]);
        }
        float d = (max - min) / 15;
        float inverse = d == 0 ? 0 : 1 / d;
        putHalf(name, GgufType.Q4_1, d, destination, at);
        putHalf(name, GgufType.Q4_1, min, destination, at + 2);
        for (int j = 0; j < 16; j++) {
            int low = Math.min(15, (int) ((values[offset + j] - min) * inverse + 0.5f));
            int high = Math.min(15, (int) ((values[offset + 16 + j] - min) * inverse + 0.5f));
            destination.set(ValueLayout.JAVA_BYTE, at + 4 + j, (byte) (low | high << 4));
        }
    }

    private static void roundQ80(String name, float[] values, int offset, MemorySegment destination, long at) {
        float magnitude = 0;
        for (int j = 0; j < 32; j++) {
            magnitude = Math.max(magnitude, Math.abs(values[offset + j]));
        }
        float d = magnitude / 127;
        float inverse = d == 0 ? 0 : 1 / d;
        putHalf(name, GgufType.Q8_0, d, destination, at);
        for (int j = 0; j < 32; j++) {
            float scaled = values[offset + j] * inverse;
            // Truncation after half a step outwards: halves go away from zero. The sum is exact at this size.
            int code = (int) (scaled + Math.copySign(0.5, (double) scaled));
            destination.set(ValueLayout.JAVA_BYTE, at + 2 + j, (byte) code);
        }
    }

    private static void putHalf(String name, GgufType type, float value, MemorySegment destination, long at) {
        short bits = Float.floatToFloat16(value);
        if (!Float.isFinite(Float.float16ToFloat(bits))) {
            throw unfit(name, value, type);
        }
        destination.set(LittleEndian.SHORT, at, bits);
    }

    private static HalftoneException unfit(String name, float value, GgufType type) {
        return new HalftoneException(
                Kind.NUMERICS,
                name + ": " + value + " cannot be stored as " + type,
                type == GgufType.F32 || type == GgufType.BF16 ? "it is not finite" : "float16 ends at 65504",
                Float.isFinite(value)
                        ? "choose BF16 or F32 for this tensor"
                        : "the model was saved broken; download it again");
    }
}

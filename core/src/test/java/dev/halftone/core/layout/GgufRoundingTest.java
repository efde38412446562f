package dev.halftone.core.layout;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.GgufType;
import dev.halftone.core.tensor.LittleEndian;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class GgufRoundingTest {
    private static MemorySegment round(GgufType type, float... values) {
        MemorySegment data = MemorySegment.ofArray(new byte[Math.toIntExact(type.bytes(values.length))]);
        GgufRounding.round("w", type, values, 0, values.length, data);
        return data;
    }

    private static float half(MemorySegment data, long at) {
        return Float.float16ToFloat(data.get(LittleEndian.SHORT, at));
    }

    private static int unsigned(MemorySegment data, long at) {
        return data.get(ValueLayout.JAVA_BYTE, at) & 0xFF;
    }

    /// A block of zeros but for the first values.
    private static float[] block(float... first) {
        return Arrays.copyOf(first, 32);
    }

    @Test
    void putsTheLargestValueOfQ40AtCodeZero() {
        float[] values = block(4f, -2f, 0.2f, 0.26f, 3.9f);
        values[16] = -3.75f;
        MemorySegment data = round(GgufType.Q4_0, values);
        // d = 4 / -8; code = trunc(x * -2 + 8.5).
        assertEquals(-0.5f, half(data, 0));
        assertEquals(0, unsigned(data, 2) & 15);
        assertEquals(12, unsigned(data, 3) & 15);
        assertEquals(8, unsigned(data, 4) & 15);
        assertEquals(7, unsigned(data, 5) & 15);
        assertEquals(0, unsigned(data, 6) & 15);
        assertEquals(15, unsigned(data, 2) >> 4, "16 is one too many and becomes 15");
    }

    @Test
    void takesTheFirstOfTwoLargestValues() {
        assertEquals(0.25f, half(round(GgufType.Q4_0, block(-2f, 2f)), 0));
        assertEquals(-0.25f, half(round(GgufType.Q4_0, block(2f, -2f)), 0));
    }

    @Test
    void spansQ41FromTheSmallestToTheLargest() {
        float[] values = new float[32];
        for (int i = 0; i < 32; i++) {
            values[i] = 1 + i * 0.125f;
        }
        MemorySegment data = round(GgufType.Q4_1, values);
        float d = 31 * 0.125f / 15;
        assertEquals(Float.float16ToFloat(Float.floatToFloat16(d)), half(data, 0));
        assertEquals(1f, half(data, 2));
        for (int j = 0; j < 16; j++) {
            assertEquals((int) (j * 0.125f * (1 / d) + 0.5f), unsigned(data, 4 + j) & 15);
            assertEquals((int) ((j + 16) * 0.125f * (1 / d) + 0.5f), unsigned(data, 4 + j) >> 4);
        }
        assertEquals(15, unsigned(data, 19) >> 4);
    }

    @Test
    void roundsHalvesOfQ80AwayFromZero() {
        // d = 1 exactly, so codes are the values themselves.
        MemorySegment data = round(GgufType.Q8_0, block(127f, 0.5f, -0.5f, 1.5f, -2.5f, 0.49999997f, -127f));
        assertEquals(1f, half(data, 0));
        byte[] codes = data.asSlice(2, 7).toArray(ValueLayout.JAVA_BYTE);
        assertArrayEquals(new byte[] {127, 1, -1, 2, -3, 0, -127}, codes);
    }

    @Test
    void choosesCodesWithTheStepBeforeItIsRounded() {
        // d = 0.1 / 127 is stored as 0.99982 of itself; counted in that step, 2.499975 d would round up.
        MemorySegment data = round(GgufType.Q8_0, block(0.1f, 0.0019684843f));
        assertEquals(2, data.get(ValueLayout.JAVA_BYTE, 3));
        assertEquals(3, Math.round(0.0019684843f / half(data, 0)));
    }

    @ParameterizedTest
    @EnumSource(
            value = GgufType.class,
            names = {"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q8_0"})
    void keepsZeros(GgufType type) {
        MemorySegment data = round(type, new float[64]);
        float[] restored = new float[64];
        GgufBlocks.restore(type, data, 0, 64, restored, 0);
        for (float value : restored) {
            assertEquals(0f, Math.abs(value));
        }
    }

    /// Half a step, and what the float16 of step and minimum adds to it.
    @ParameterizedTest
    @EnumSource(
            value = GgufType.class,
            names = {"Q4_0", "Q4_1", "Q8_0"})
    void staysWithinHalfAStep(GgufType type) {
        SplittableRandom random = new SplittableRandom(7);
        float[] values = new float[32 * 200];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        MemorySegment data = round(type, values);
        float[] restored = new float[values.length];
        GgufBlocks.restore(type, data, 0, values.length, restored, 0);
        for (int block = 0; block < 200; block++) {
            double step = Math.abs(half(data, type.bytes(32L * block)));
            // The dominant end of Q4_0 has eight steps, the other seven: a value near it saturates by up to one step.
            double saturated = type == GgufType.Q4_0 ? step : step / 2;
            double largest = 0;
            for (int i = 32 * block; i < 32 * block + 32; i++) {
                largest = Math.max(largest, Math.abs(values[i]));
                assertEquals(values[i], restored[i], saturated + 3 * 0x1p-11 * (largest + 4), type + " at " + i);
            }
        }
    }

    @Test
    void roundsToThePlainTypes() {
        assertEquals(Float.floatToFloat16(0.1f), round(GgufType.F16, 0.1f).get(LittleEndian.SHORT, 0));
        assertEquals((short) 0x3DCD, round(GgufType.BF16, 0.1f).get(LittleEndian.SHORT, 0));
        assertEquals(0.1f, round(GgufType.F32, 0.1f).get(LittleEndian.FLOAT, 0));
    }

    @Test
    void refusesWhatTheTypeCannotHold() {
        for (GgufType type : new GgufType[] {GgufType.F32, GgufType.BF16, GgufType.Q4_0, GgufType.Q8_0}) {
            assertEquals(
                    Kind.NUMERICS,
                    assertThrows(HalftoneException.class, () -> round(type, block(1f, Float.NaN)))
                            .kind());
            assertThrows(HalftoneException.class, () -> round(type, block(Float.NEGATIVE_INFINITY)));
        }
        HalftoneException refusal = assertThrows(HalftoneException.class, () -> round(GgufType.F16, 70000f));
        assertEquals("w: 70000.0 cannot be stored as F16", refusal.getMessage());
        assertThrows(HalftoneException.class, () -> round(GgufType.BF16, Float.MAX_VALUE));
        assertThrows(HalftoneException.class, () -> round(GgufType.Q4_1, block(Float.MAX_VALUE, -Float.MAX_VALUE)));
        assertThrows(IllegalArgumentException.class, () -> round(GgufType.Q4_K, new float[256]));
        MemorySegment room = MemorySegment.ofArray(new byte[68]);
        assertThrows(
                IllegalArgumentException.class,
                () -> GgufRounding.round("w", GgufType.Q8_0, new float[64], 0, 63, room));
    }
}

package dev.halftone.core.layout;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.halftone.core.checkpoint.GgufType;
import dev.halftone.core.tensor.LittleEndian;
import java.lang.foreign.MemorySegment;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/// Blocks put together byte by byte from known fields, and the values that the formulas give for these fields.
class GgufBlocksTest {
    private static MemorySegment block(GgufType type) {
        return MemorySegment.ofArray(new byte[type.blockBytes()]);
    }

    private static void half(MemorySegment block, int at, float value) {
        block.set(LittleEndian.SHORT, at, Float.floatToFloat16(value));
    }

    private static void set(MemorySegment block, int at, int value) {
        block.set(java.lang.foreign.ValueLayout.JAVA_BYTE, at, (byte) value);
    }

    private static float[] restore(GgufType type, MemorySegment data, int count) {
        float[] values = new float[count];
        GgufBlocks.restore(type, data, 0, count, values, 0);
        return values;
    }

    @Test
    void restoresQ40() {
        MemorySegment block = block(GgufType.Q4_0);
        half(block, 0, -0.5f);
        // Element 0 is the low half of the first byte, element 16 its high half.
        set(block, 2, 0x0F | 0x30);
        set(block, 17, 0x08 | 0x00);
        float[] expected = new float[32];
        java.util.Arrays.fill(expected, (0 - 8) * -0.5f);
        expected[0] = (15 - 8) * -0.5f;
        expected[16] = (3 - 8) * -0.5f;
        expected[15] = 0 * -0.5f;
        expected[31] = (0 - 8) * -0.5f;
        assertArrayEquals(expected, restore(GgufType.Q4_0, block, 32));
    }

    @Test
    void restoresQ41() {
        MemorySegment block = block(GgufType.Q4_1);
        half(block, 0, 0.25f);
        half(block, 2, -1.5f);
        for (int j = 0; j < 16; j++) {
            set(block, 4 + j, j | 15 - j << 4);
        }
        float[] expected = new float[32];
        for (int j = 0; j < 16; j++) {
            expected[j] = j * 0.25f - 1.5f;
            expected[16 + j] = (15 - j) * 0.25f - 1.5f;
        }
        assertArrayEquals(expected, restore(GgufType.Q4_1, block, 32));
    }

    @Test
    void restoresQ80() {
        MemorySegment block = block(GgufType.Q8_0);
        half(block, 0, 0.125f);
        set(block, 2, -128);
        set(block, 3, 127);
        set(block, 33, -1);
        float[] expected = new float[32];
        expected[0] = -16;
        expected[1] = 15.875f;
        expected[31] = -0.125f;
        assertArrayEquals(expected, restore(GgufType.Q8_0, block, 32));
    }

    /// The twelve bytes of scales and minima from the fields: the lower four in the low six bits of bytes 0 to 7,
    /// the upper four with their low half in bytes 8 to 11 and their two high bits on top of the lower ones.
    @Test
    void restoresQ4K() {
        int[] sc = {1, 63, 17, 32, 48, 33, 63, 5};
        int[] mn = {62, 3, 0, 21, 16, 63, 34, 50};
        SplittableRandom random = new SplittableRandom(4);
        int[] q = random.ints(256, 0, 16).toArray();
        MemorySegment block = block(GgufType.Q4_K);
        half(block, 0, 0.0625f);
        half(block, 2, 0.03125f);
        for (int j = 0; j < 4; j++) {
            set(block, 4 + j, sc[j] | sc[j + 4] / 16 * 64);
            set(block, 8 + j, mn[j] | mn[j + 4] / 16 * 64);
            set(block, 12 + j, sc[j + 4] % 16 + mn[j + 4] % 16 * 16);
        }
        for (int pair = 0; pair < 4; pair++) {
            for (int l = 0; l < 32; l++) {
                set(block, 16 + 32 * pair + l, q[64 * pair + l] + 16 * q[64 * pair + 32 + l]);
            }
        }
        float[] expected = new float[256];
        for (int i = 0; i < 256; i++) {
            expected[i] = 0.0625f * sc[i / 32] * q[i] - 0.03125f * mn[i / 32];
        }
        assertArrayEquals(expected, restore(GgufType.Q4_K, block, 256));
    }

    /// Written out as the table of the format has it, quarter by quarter.
    @Test
    void restoresQ6K() {
        SplittableRandom random = new SplittableRandom(6);
        int[] q = random.ints(256, 0, 64).toArray();
        int[] sc = random.ints(16, -128, 128).toArray();
        MemorySegment block = block(GgufType.Q6_K);
        half(block, 208, -0.0078125f);
        for (int i = 0; i < 16; i++) {
            set(block, 192 + i, sc[i]);
        }
        for (int part = 0; part < 2; part++) {
            int e = 128 * part;
            for (int l = 0; l < 32; l++) {
                set(block, 64 * part + l, q[e + l] % 16 + 16 * (q[e + 64 + l] % 16));
                set(block, 64 * part + 32 + l, q[e + 32 + l] % 16 + 16 * (q[e + 96 + l] % 16));
                set(
                        block,
                        128 + 32 * part + l,
                        q[e + l] / 16
                                + 4 * (q[e + 32 + l] / 16)
                                + 16 * (q[e + 64 + l] / 16)
                                + 64 * (q[e + 96 + l] / 16));
            }
        }
        float[] expected = new float[256];
        for (int i = 0; i < 256; i++) {
            expected[i] = -0.0078125f * sc[i / 16] * (q[i] - 32);
        }
        assertArrayEquals(expected, restore(GgufType.Q6_K, block, 256));
    }

    @Test
    void restoresPlainTypes() {
        MemorySegment data = MemorySegment.ofArray(new byte[8]);
        data.set(LittleEndian.FLOAT, 0, 1.1f);
        data.set(LittleEndian.FLOAT, 4, -2.2f);
        assertArrayEquals(new float[] {1.1f, -2.2f}, restore(GgufType.F32, data, 2));
        half(data, 2, -0.333f);
        assertEquals(Float.float16ToFloat(Float.floatToFloat16(-0.333f)), restore(GgufType.F16, data, 2)[1]);
        data.set(LittleEndian.SHORT, 2, (short) 0xBF80);
        assertEquals(-1f, restore(GgufType.BF16, data, 2)[1]);
    }

    @Test
    void restoresFromTheMiddle() {
        MemorySegment data = MemorySegment.ofArray(new byte[3 * 34]);
        half(data, 68, 2f);
        set(data, 70, 5);
        float[] values = new float[40];
        GgufBlocks.restore(GgufType.Q8_0, data, 64, 32, values, 8);
        assertEquals(10f, values[8]);
    }

    @Test
    void refusesPartsOfBlocksAndOtherTypes() {
        MemorySegment data = MemorySegment.ofArray(new byte[256]);
        float[] values = new float[256];
        assertThrows(IllegalArgumentException.class, () -> GgufBlocks.restore(GgufType.Q8_0, data, 16, 32, values, 0));
        assertThrows(IllegalArgumentException.class, () -> GgufBlocks.restore(GgufType.Q5_K, data, 0, 256, values, 0));
        assertThrows(
                IndexOutOfBoundsException.class, () -> GgufBlocks.restore(GgufType.Q8_0, data, 32 * 7, 32, values, 0));
    }
}

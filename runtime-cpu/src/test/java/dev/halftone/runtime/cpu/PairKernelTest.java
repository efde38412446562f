package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.halftone.core.tensor.BFloat16;
import java.util.Random;
import org.junit.jupiter.api.Test;

class PairKernelTest {
    private static final int[] NOTABLE = {
        0x00000000, 0x80000000, 0x00000001, 0x007FFFFF, 0x00800000, 0x3F800000, 0x3F808000, 0x3F808001, 0x3F818000,
        0x3F817FFF, 0x7F7F7FFF, 0x7F7F8000, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF,
        0xFFFFFFFF, 0xFF800001, 0x7FFF8000
    };

    private static float[] bits(int count, long seed) {
        Random random = new Random(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            int any = i < 2 * NOTABLE.length ? NOTABLE[(i * 5 + (int) seed) % NOTABLE.length] : random.nextInt();
            values[i] = Float.intBitsToFloat(any);
        }
        return values;
    }

    @Test
    void roundsEveryKindOfFloatLikeTheScalarRule() {
        TestBackends.requireWidth();
        Kernels kernels = VectorWidth.kernels();
        int lanes = kernels.lanes();
        int count = 4096 / lanes;
        long vector = 4L * lanes;
        float[] low = bits(count * lanes, 1);
        float[] high = bits(count * lanes, 2);
        try (Memory input = Memory.ofFloats(2L * count * lanes);
                Memory output = Memory.ofFloats(3L * count * lanes)) {
            for (int i = 0; i < count; i++) {
                Memory.copyFloats(low, i * lanes, input.address() + 2 * i * vector, lanes);
                Memory.copyFloats(high, i * lanes, input.address() + (2 * i + 1) * vector, lanes);
            }
            kernels.roundPairs(
                    input.address(), input.address() + vector, 2 * vector, count, output.address(), 3 * vector);
            for (int i = 0; i < count * lanes; i++) {
                int word = Memory.getInt(output.address() + i / lanes * 3 * vector + i % lanes * 4L);
                assertEquals(BFloat16.fromFloat(low[i]), (short) word, "low " + low[i]);
                assertEquals(BFloat16.fromFloat(high[i]), (short) (word >>> 16), "high " + high[i]);
            }
        }
    }

    @Test
    void spreadsVectors() {
        TestBackends.requireWidth();
        Kernels kernels = VectorWidth.kernels();
        int lanes = kernels.lanes();
        float[] values = Samples.floats(7 * lanes, 3);
        try (Memory input = Memory.ofFloats(7L * lanes);
                Memory output = Memory.ofFloats(7L * 64)) {
            Memory.copyFloats(values, 0, input.address(), values.length);
            kernels.spread(input.address(), 7, output.address(), 256);
            for (int i = 0; i < 7 * 64; i++) {
                float expected = i % 64 < lanes ? values[i / 64 * lanes + i % 64] : 0;
                assertEquals(expected, Memory.getFloat(output.address() + i * 4L), "place " + i);
            }
        }
    }
}

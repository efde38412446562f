package dev.halftone.core.layout;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.checkpoint.GgufTensor;
import dev.halftone.core.checkpoint.GgufType;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.LittleEndian;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class GgufCodesTest {
    private static final int OUTPUTS = 3;
    private static final int INPUTS = 128;

    private static QuantizedWeight random(QuantizationScheme scheme, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        int cells = OUTPUTS * scheme.groups(INPUTS);
        byte[] codes = new byte[OUTPUTS * INPUTS];
        for (int i = 0; i < codes.length; i++) {
            codes[i] = (byte) random.nextInt(scheme.maximum() + 1);
        }
        // Both ends of the range in every row.
        for (int row = 0; row < OUTPUTS; row++) {
            codes[row * INPUTS] = 0;
            codes[row * INPUTS + 1] = (byte) scheme.maximum();
        }
        float[] scales = new float[cells];
        int[] zeros = new int[cells];
        for (int i = 0; i < cells; i++) {
            scales[i] = scheme.scaleType().round((float) random.nextDouble(0.001, 0.1));
            zeros[i] = scheme.symmetric() ? 1 << scheme.bits() - 1 : random.nextInt(1, scheme.maximum() + 1);
        }
        return new QuantizedWeight(scheme, OUTPUTS, INPUTS, codes, scales, zeros, null);
    }

    private static float[] throughBlocks(QuantizedWeight weight, GgufType type) {
        float[] restored = new float[OUTPUTS * INPUTS];
        for (int row = 0; row < OUTPUTS; row++) {
            MemorySegment data = MemorySegment.ofArray(new byte[Math.toIntExact(type.bytes(INPUTS))]);
            GgufCodes.writeRow(weight, type, row, data);
            GgufBlocks.restore(type, data, 0, INPUTS, restored, row * INPUTS);
        }
        return restored;
    }

    @ParameterizedTest
    @CsvSource({"2,32,Q4_0", "3,64,Q4_0", "4,32,Q4_0", "4,64,Q4_0", "4,-1,Q4_0", "8,128,Q8_0", "8,-1,Q8_0", "5,32,Q8_0"
    })
    void movesSymmetricCodesWithoutAnyChange(int bits, int groupSize, GgufType type) {
        QuantizedWeight weight = random(QuantizationScheme.gptq(bits, groupSize, true), bits + groupSize);
        assertEquals(Optional.of(type), GgufCodes.typeFor(weight));
        assertArrayEquals(weight.restore(), throughBlocks(weight, type));
    }

    @ParameterizedTest
    @ValueSource(ints = {32, 64})
    void movesAsymmetricCodesUpToTheRoundingOfTheMinimum(int groupSize) {
        QuantizedWeight weight = random(QuantizationScheme.gptq(4, groupSize, false), groupSize);
        assertEquals(Optional.of(GgufType.Q4_1), GgufCodes.typeFor(weight));
        float[] expected = weight.restore();
        float[] restored = throughBlocks(weight, GgufType.Q4_1);
        for (int i = 0; i < expected.length; i++) {
            int cell = i / INPUTS * weight.groups() + i % INPUTS / groupSize;
            float scale = weight.scales()[cell];
            int code = weight.codes()[i] & 0xFF;
            float m = Float.float16ToFloat(Float.floatToFloat16(-scale * weight.zeros()[cell]));
            assertEquals(code * scale + m, restored[i]);
            // Half a unit in the last place of m, and what the sum of float32 loses.
            assertEquals(expected[i], restored[i], scale * weight.zeros()[cell] * (0x1p-11 + 0x1p-22));
        }
    }

    @Test
    void movesAsymmetricCodesThatHappenToFitExactly() {
        QuantizedWeight three = random(QuantizationScheme.gptq(3, 32, false), 9);
        assertEquals(Optional.of(GgufType.Q4_0), GgufCodes.typeFor(three));
        assertArrayEquals(three.restore(), throughBlocks(three, GgufType.Q4_0));
    }

    @Test
    void takesANegativeStepForCodesFromTheOtherEnd() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 32, false);
        byte[] codes = new byte[OUTPUTS * INPUTS];
        for (int i = 0; i < codes.length; i++) {
            codes[i] = (byte) (i % 16);
        }
        float[] scales = new float[OUTPUTS * 4];
        int[] zeros = new int[OUTPUTS * 4];
        Arrays.fill(scales, 0.5f);
        Arrays.setAll(zeros, cell -> 7 + cell % 2);
        QuantizedWeight weight = new QuantizedWeight(scheme, OUTPUTS, INPUTS, codes, scales, zeros, null);
        assertEquals(Optional.of(GgufType.Q4_0), GgufCodes.typeFor(weight));
        float[] found = throughBlocks(weight, GgufType.Q4_0);
        float[] expected = weight.restore();
        for (int i = 0; i < expected.length; i++) {
            assertEquals(expected[i] + 0f, found[i] + 0f);
        }
        zeros[3] = 6;
        assertEquals(Optional.of(GgufType.Q4_1), GgufCodes.typeFor(weight));
    }

    @Test
    void leavesWhatNoBlockCanHold() {
        QuantizedWeight weight = random(QuantizationScheme.gptq(4, 64, true), 1);
        int[] reordered = new int[INPUTS];
        Arrays.setAll(reordered, i -> i % 2);
        assertEquals(
                Optional.empty(),
                GgufCodes.typeFor(new QuantizedWeight(
                        weight.scheme(), OUTPUTS, INPUTS, weight.codes(), weight.scales(), weight.zeros(), reordered)));
        assertEquals(Optional.empty(), GgufCodes.typeFor(random(QuantizationScheme.gptq(4, 16, true), 2)));
        assertEquals(Optional.empty(), GgufCodes.typeFor(random(QuantizationScheme.gptq(8, 32, false), 3)));
        QuantizedWeight wide = random(new QuantizationScheme(4, 32, true, DType.F32, 1), 4);
        wide.scales()[5] = 70000f;
        assertEquals(Optional.empty(), GgufCodes.typeFor(wide));
    }

    private static GgufTensor tensor(GgufType type, int seed, float... steps) {
        byte[] bytes = new byte[steps.length * type.blockBytes()];
        java.util.Random random = new java.util.Random(seed);
        random.nextBytes(bytes);
        MemorySegment data = MemorySegment.ofArray(bytes);
        for (int i = 0; i < steps.length; i++) {
            data.set(LittleEndian.SHORT, (long) i * type.blockBytes(), Float.floatToFloat16(steps[i]));
        }
        return new GgufTensor("w", type, Shape.of(steps.length / 2, 64), data);
    }

    private static float[] restored(GgufTensor tensor) {
        float[] values = new float[Math.toIntExact(tensor.shape().elements())];
        GgufBlocks.restore(tensor.type(), tensor.data(), 0, values.length, values, 0);
        return values;
    }

    @ParameterizedTest
    @CsvSource({"Q4_0,4", "Q8_0,8"})
    void keepsTheCodesOfBlocks(GgufType type, int bits) {
        GgufTensor tensor = tensor(type, 5, 0.5f, 0.25f, 0x1p-24f, 60000f);
        QuantizedWeight weight = GgufCodes.read(tensor, row -> row, QuantizationScheme.gptq(bits, 32, true));
        assertArrayEquals(restored(tensor), weight.restore());
        for (int zero : weight.zeros()) {
            assertEquals(1 << bits - 1, zero);
        }
    }

    @ParameterizedTest
    @CsvSource({"Q4_0,4", "Q8_0,8"})
    void keepsTheSignOfAStep(GgufType type, int bits) {
        GgufTensor tensor = tensor(type, 6, 0.5f, -0.25f, -0x1p-24f, 3f);
        // Both ends of the range in the block with the negative step: -128 must survive, too.
        tensor = new GgufTensor("w", type, tensor.shape(), withEnds(tensor));
        QuantizedWeight weight = GgufCodes.read(tensor, row -> row, QuantizationScheme.gptq(bits, 32, true));
        assertArrayEquals(restored(tensor), weight.restore());
        assertArrayEquals(new float[] {0.5f, -0.25f, -0x1p-24f, 3f}, weight.scales());
        for (int zero : weight.zeros()) {
            assertEquals(1 << bits - 1, zero);
        }
        byte[] written = new byte[type.blockBytes() * 2];
        GgufCodes.writeRow(weight, type, 0, MemorySegment.ofArray(written));
        assertArrayEquals(tensor.data().asSlice(0, written.length).toArray(ValueLayout.JAVA_BYTE), written, "and back");
    }

    private static MemorySegment withEnds(GgufTensor tensor) {
        MemorySegment data = MemorySegment.ofArray(tensor.data().toArray(ValueLayout.JAVA_BYTE));
        data.set(ValueLayout.JAVA_BYTE, tensor.type().blockBytes() + 2, (byte) 0x80);
        data.set(ValueLayout.JAVA_BYTE, tensor.type().blockBytes() + 3, (byte) 0x7F);
        return data;
    }

    @Test
    void readsAStepOfZeroAsZeros() {
        GgufTensor tensor = tensor(GgufType.Q4_0, 7, 0f, 1f);
        QuantizedWeight weight = GgufCodes.read(tensor, row -> row, QuantizationScheme.gptq(4, 32, true));
        float[] found = weight.restore();
        assertArrayEquals(new float[32], Arrays.copyOf(found, 32));
        assertTrue(weight.scales()[0] > 0);
    }

    @Test
    void readsRowsInTheOrderAskedFor() {
        GgufTensor tensor = tensor(GgufType.Q8_0, 8, 1f, 2f, 3f, 4f);
        QuantizedWeight weight = GgufCodes.read(tensor, row -> 1 - row, QuantizationScheme.gptq(8, 32, true));
        float[] expected = restored(tensor);
        float[] row = new float[64];
        weight.restoreRow(0, row, 0);
        assertArrayEquals(Arrays.copyOfRange(expected, 64, 128), row);
    }

    @Test
    void refusesASchemeThatIsNotTheBlocks() {
        GgufTensor tensor = tensor(GgufType.Q4_0, 9, 1f, -1f);
        for (QuantizationScheme scheme : new QuantizationScheme[] {
            QuantizationScheme.gptq(8, 32, true),
            QuantizationScheme.gptq(4, 64, true),
            QuantizationScheme.gptq(4, 32, false)
        }) {
            assertThrows(IllegalArgumentException.class, () -> GgufCodes.read(tensor, row -> row, scheme));
        }
    }
}

package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Linear;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.Weight;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// What [dev.halftone.core.compute.BackendContract] does not ask of products by inputs of 16 bits.
class ShortProductTest {
    private static final QuantizationScheme FOUR_BITS = QuantizationScheme.gptq(4, 32, true);

    private static float[] product(Backend backend, Weight weight, float[] bias, Matrix x) {
        try (Linear linear = backend.bind(weight, bias);
                Matrix y = backend.allocate(x.rows(), weight.outputs())) {
            linear.multiply(x, y);
            return Samples.values(backend, y);
        }
    }

    /// Whole numbers that two digits hold: sums are off by what float32 rounds, and far less than by one of them.
    @ParameterizedTest
    @CsvSource({"4, 20, 40, 96", "4, 17, 16, 32", "8, 31, 130, 64", "8, 18, 5, 4160", "4, 40, 300, 8192"})
    void keepsEveryBitOfInputsThatHaveSixteen(int bits, int rows, int outputs, int inputs) {
        QuantizationScheme scheme = QuantizationScheme.gptq(bits, 32, false);
        QuantizedWeight weight = Samples.quantized(scheme, outputs, inputs);
        float[] bias = Samples.floats(outputs, 3);
        float[] x = Samples.floats(rows * inputs, 4);
        for (int i = 0; i < x.length; i++) {
            x[i] = i % 32 == 5 ? 16_384 : Math.clamp(Math.round(4_000 * x[i]), -16_384, 16_384);
        }
        try (CpuBackend backend = TestBackends.openWithoutTiles(2);
                Matrix in = backend.allocate(rows, inputs)) {
            backend.copyIn(x, 0, in);
            float[] found = product(backend, weight, bias, in);
            float[] restored = new float[inputs];
            for (int output = 0; output < outputs; output++) {
                weight.restoreRow(output, restored, 0);
                for (int row = 0; row < rows; row++) {
                    double exact = bias[output];
                    double magnitude = 0;
                    for (int i = 0; i < inputs; i++) {
                        exact += (double) restored[i] * x[row * inputs + i];
                        double scale = weight.scales()[output * weight.groups() + weight.group(i)];
                        magnitude += scale * (1 << bits) * Math.abs(x[row * inputs + i]);
                    }
                    double allowed = 12 * 0x1p-24 * magnitude;
                    assertEquals(exact, found[row * outputs + output], allowed, "row " + row + ", output " + output);
                }
            }
        }
    }

    /// The largest digit may not spill over into a third.
    @Test
    void cutsTheLargestNumbersOfEveryBinade() {
        int inputs = 32;
        byte[] codes = new byte[16 * inputs];
        Arrays.fill(codes, (byte) 8); // nothing
        for (int output = 0; output < 16; output++) {
            codes[output * inputs] = 9; // the first input
        }
        float[] scales = new float[16];
        int[] zeros = new int[16];
        Arrays.fill(scales, 1);
        Arrays.fill(zeros, 8);
        QuantizationScheme scheme = new QuantizationScheme(4, inputs, true, DType.F32, 0);
        QuantizedWeight weight = new QuantizedWeight(scheme, 16, inputs, codes, scales, zeros, null);
        float[] values = {
            Math.nextDown(2f),
            1.9921875f,
            1.984375f,
            Math.nextDown(1.984375f),
            1.5f,
            1,
            0x1.fffffep120f,
            0x1p-126f,
            Float.MIN_VALUE,
            -Math.nextDown(2f),
            -1.984375f,
            Math.nextUp(-1.984375f),
            0,
            Float.NaN,
            Float.POSITIVE_INFINITY,
            Float.NEGATIVE_INFINITY,
            3
        };
        try (CpuBackend backend = TestBackends.openWithoutTiles(1);
                Matrix x = backend.allocate(values.length, inputs)) {
            float[] all = new float[values.length * inputs];
            for (int row = 0; row < values.length; row++) {
                all[row * inputs] = values[row];
            }
            backend.copyIn(all, 0, x);
            float[] found = product(backend, weight, null, x);
            for (int row = 0; row < values.length; row++) {
                for (int output = 0; output < 16; output++) {
                    float result = found[row * 16 + output];
                    if (Float.isFinite(values[row])) {
                        // Where numbers are so small that units have no inverse, an absolute error is left.
                        assertEquals(values[row], result, Math.max(Math.abs(values[row]) * 0x1p-14f, 0x1p-113f));
                    } else {
                        assertTrue(!Float.isFinite(result), values[row] + " became " + result);
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {17, 70, 150})
    void givesTheSameWithEveryNumberOfThreadsAndInEveryCompany(int rows) {
        for (QuantizationScheme scheme : List.of(FOUR_BITS, QuantizationScheme.gptq(8, 32, false))) {
            Weight weight = Samples.quantized(scheme, 200, 160);
            float[] bias = Samples.floats(200, 8);
            float[] expected = null;
            for (int threads : new int[] {1, 2, 5}) {
                try (CpuBackend backend = TestBackends.openWithoutTiles(threads);
                        Matrix x = Samples.matrix(backend, rows, 160, 1)) {
                    float[] found = product(backend, weight, bias, x);
                    expected = expected == null ? found : expected;
                    assertArrayEquals(expected, found, threads + " threads");
                }
            }
            int most = CpuLinear.SMALL_ROWS + 1;
            try (CpuBackend backend = TestBackends.openWithoutTiles(2);
                    Matrix x = Samples.matrix(backend, rows, 160, 1)) {
                float[] last = product(backend, weight, bias, x.rows(rows - most, most));
                assertArrayEquals(Arrays.copyOfRange(expected, (rows - most) * 200, rows * 200), last);
            }
        }
    }

    /// Digits of one input serve several linears, but only those that are grouped alike, and no other input.
    @Test
    void sharesWhatItCutAmongLinearsOfOneInput() {
        List<Weight> weights = List.of(
                Samples.quantized(FOUR_BITS, 64, 160),
                Samples.quantized(FOUR_BITS, 48, 160),
                Samples.quantized(QuantizationScheme.gptq(8, 32, true), 40, 160),
                Samples.dense(DType.BF16, 40, 160),
                Samples.quantized(QuantizationScheme.gptq(4, 80, false), 33, 160),
                Samples.quantized(QuantizationScheme.gptq(4, 80, false), 16, 160));
        int rows = 20;
        try (CpuBackend backend = TestBackends.openWithoutTiles(2)) {
            Linear[] linears =
                    weights.stream().map(weight -> backend.bind(weight, null)).toArray(Linear[]::new);
            Matrix[] results = weights.stream()
                    .map(weight -> backend.allocate(rows, weight.outputs()))
                    .toArray(Matrix[]::new);
            for (int round = 0; round < 2; round++) {
                try (Matrix x = Samples.matrix(backend, rows, 160, round)) {
                    backend.multiplyAll(linears, x, results);
                    for (int i = 0; i < linears.length; i++) {
                        float[] alone;
                        try (CpuBackend other = TestBackends.openWithoutTiles(2);
                                Matrix x2 = Samples.matrix(other, rows, 160, round)) {
                            alone = product(other, weights.get(i), null, x2);
                        }
                        assertArrayEquals(alone, Samples.values(backend, results[i]), "linear " + i);
                    }
                }
            }
            for (int i = 0; i < linears.length; i++) {
                linears[i].close();
                results[i].close();
            }
        }
    }

    @Test
    void isTakenByWhoWantsSpeedAndNotByWhoWantsFloat32() {
        Weight weight = Samples.quantized(FOUR_BITS, 64, 160);
        try (CpuBackend quick = TestBackends.openWithoutTiles(2);
                CpuBackend vectors = TestBackends.open(2);
                Matrix x = Samples.matrix(quick, 40, 160, 1);
                Matrix x2 = Samples.matrix(vectors, 40, 160, 1)) {
            float[] rounded = product(quick, weight, null, x);
            float[] exact = product(vectors, weight, null, x2);
            assertFalse(Arrays.equals(exact, rounded));
            Samples.requireClose(exact, rounded, 2e-4);
            assertTrue(quick.products().startsWith("codes by VNNI, inputs of 16 bits; "), quick.products());
            assertNotEquals(vectors.arithmetic(), quick.arithmetic());
        }
    }
}

package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Linear;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.Weight;
import java.util.Arrays;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// What [dev.halftone.core.compute.BackendContract] does not ask of machine code.
class DigitKernelsTest {
    private static final int INPUTS = 256;
    private static final int OUTPUTS = 16;

    @BeforeAll
    static void requireMachineCode() {
        TestBackends.requireMachineCode();
    }

    private static QuantizedWeight weight(int bits, byte[] codes) {
        QuantizationScheme scheme = new QuantizationScheme(bits, INPUTS / 2, true, DType.F32, 0);
        float[] scales = new float[OUTPUTS * 2];
        Arrays.fill(scales, 1);
        int[] zeros = new int[OUTPUTS * 2];
        Arrays.fill(zeros, 1 << bits - 1);
        return new QuantizedWeight(scheme, OUTPUTS, INPUTS, codes, scales, zeros, null);
    }

    /// Whole numbers of up to 22 bits, whose products a float32 sum cannot hold but digits can.
    private static float[] wholeNumbers(int count, int bound) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (int) (Samples.floats(1, i)[0] * bound / 8) | 1;
        }
        values[0] = bound;
        values[INPUTS / 2] = bound;
        return values;
    }

    private static float[] product(QuantizedWeight weight, float[] x, int rows) {
        try (Backend backend = TestBackends.open(2)) {
            return product(backend, weight, x, rows);
        }
    }

    private static float[] product(Backend backend, QuantizedWeight weight, float[] x, int rows) {
        try (Linear linear = backend.bind(weight, null);
                Matrix in = backend.allocate(rows, INPUTS);
                Matrix out = backend.allocate(rows, OUTPUTS)) {
            backend.copyIn(x, 0, in);
            linear.multiply(in, out);
            return Samples.values(backend, out);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {4, 8})
    void keepsEveryBitOfInputsNearTheLargest(int bits) {
        byte[] codes = new byte[OUTPUTS * INPUTS];
        for (int i = 0; i < codes.length; i++) {
            codes[i] = (byte) (i * 7 + i / INPUTS & (1 << bits) - 1);
        }
        float[] x = wholeNumbers(INPUTS, 1 << 22);
        float[] found = product(weight(bits, codes), x, 1);
        for (int output = 0; output < OUTPUTS; output++) {
            double exact = 0;
            double magnitude = 0;
            for (int i = 0; i < INPUTS; i++) {
                int code = codes[output * INPUTS + i] & 0xFF;
                exact += (code - (1 << bits - 1)) * (double) x[i];
                magnitude += code * (double) Math.abs(x[i]);
            }
            // A few roundings of sums as large as the codes make them, however many inputs there are.
            assertEquals(exact, found[output], 12 * 0x1p-24 * magnitude, "output " + output);
        }
    }

    /// The largest digit may not spill over into a fourth.
    @Test
    void cutsTheLargestNumbersOfEveryBinade() {
        byte[] codes = new byte[OUTPUTS * INPUTS];
        Arrays.fill(codes, (byte) 8); // nothing
        for (int output = 0; output < OUTPUTS; output++) {
            codes[output * INPUTS] = 9; // the first input
        }
        for (float value : new float[] {
            Math.nextDown(2f),
            1.9921875f,
            1.984375f,
            Math.nextDown(1.984375f),
            1.5f,
            1,
            0x1.fffffep120f,
            0x1p-126f,
            Float.MIN_VALUE,
            -Math.nextDown(2f)
        }) {
            float[] x = new float[INPUTS];
            x[0] = value;
            // Where numbers are so small that units have no inverse, an absolute error is left.
            float allowed = Math.max(Math.abs(value) * 0x1p-22f, 0x1p-121f);
            for (float found : product(weight(4, codes), x, 1)) {
                assertEquals(value, found, allowed);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
    void hidesNoInputThatIsNoNumber(float value) {
        byte[] codes = new byte[OUTPUTS * INPUTS];
        Arrays.fill(codes, (byte) 3);
        float[] x = Samples.floats(2 * INPUTS, 3);
        x[INPUTS + 5] = value;
        float[] found = product(weight(4, codes), x, 2);
        for (int output = 0; output < OUTPUTS; output++) {
            assertTrue(Float.isFinite(found[output]), "the other row");
            assertTrue(!Float.isFinite(found[OUTPUTS + output]), "found " + found[OUTPUTS + output]);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {4, 8})
    void givesTheSameOnTilesAndWithout(int bits) {
        byte[] codes = new byte[OUTPUTS * INPUTS];
        for (int i = 0; i < codes.length; i++) {
            codes[i] = (byte) (i * 11 + i / 17 & (1 << bits) - 1);
        }
        for (int rows = 1; rows <= CpuLinear.SMALL_ROWS; rows++) {
            float[] x = Samples.floats(rows * INPUTS, rows);
            float[] expected;
            try (Backend backend = new CpuBackend(
                    VectorWidth.kernels(), new DigitKernels(false), 2, ProductMode.VECTOR, ManyRows.LEAST_ROWS)) {
                expected = product(backend, weight(bits, codes), x, rows);
            }
            assertArrayEquals(expected, product(weight(bits, codes), x, rows), rows + " rows");
        }
    }

    /// Sums in the same order, of numbers that differ much: another order would show.
    @ParameterizedTest
    @CsvSource({"256,16", "255,70", "2,5", "1030,130"})
    void multipliesBFloat16AsTheVectorKernelsDo(int inputs, int outputs) {
        Weight weight = Samples.dense(DType.BF16, outputs, inputs);
        float[] bias = Samples.floats(outputs, 7);
        for (int rows = 1; rows <= CpuLinear.SMALL_ROWS; rows++) {
            float[][] found = new float[2][];
            for (int i = 0; i < 2; i++) {
                DigitKernels kernels = i == 0 ? null : DigitKernels.load();
                try (Backend backend = new CpuBackend(
                                VectorWidth.kernels(), kernels, 2, ProductMode.VECTOR, ManyRows.LEAST_ROWS);
                        Linear linear = backend.bind(weight, bias);
                        Matrix x = Samples.matrix(backend, rows, inputs, rows);
                        Matrix y = backend.allocate(rows, outputs)) {
                    linear.multiply(x, y);
                    found[i] = Samples.values(backend, y);
                }
            }
            assertArrayEquals(found[0], found[1], rows + " rows");
        }
    }

    /// To the bit, also where exponentials end and where numbers do.
    @ParameterizedTest
    @ValueSource(ints = {1, 15, 16, 17, 70, 1536})
    void treatsRowsAsTheVectorKernelsDo(int columns) {
        float[] x = Samples.floats(3 * columns, 5);
        float[] edges = {0, -0f, -93, -94, 87.5f, -87.5f, 100, -1000, Float.MIN_VALUE, Float.NaN, 1e30f, -1e30f};
        for (int i = 0; i < columns; i++) {
            x[i] = i < edges.length ? edges[i] : 20 * x[i];
        }
        x[2 * columns - 1] = Float.POSITIVE_INFINITY;
        x[3 * columns - 1] = Float.NEGATIVE_INFINITY;
        float[][] gated = new float[2][];
        float[][] normal = new float[2][];
        for (int i = 0; i < 2; i++) {
            DigitKernels kernels = i == 0 ? null : DigitKernels.load();
            try (Backend backend =
                            new CpuBackend(VectorWidth.kernels(), kernels, 2, ProductMode.VECTOR, ManyRows.LEAST_ROWS);
                    Matrix in = backend.allocate(3, columns);
                    Matrix up = Samples.matrix(backend, 3, columns, 6);
                    Matrix weight = Samples.matrix(backend, 1, columns, 7);
                    Matrix out = backend.allocate(3, columns)) {
                backend.copyIn(x, 0, in);
                backend.gatedActivation(in, up, out);
                gated[i] = Samples.values(backend, out);
                backend.rmsNorm(up, weight, 1e-5f, out);
                normal[i] = Samples.values(backend, out);
            }
        }
        assertArrayEquals(gated[0], gated[1], "gated");
        assertArrayEquals(normal[0], normal[1], "normal");
    }

    @Test
    void zeroesGiveTheBiasAlone() {
        byte[] codes = new byte[OUTPUTS * INPUTS];
        assertArrayEquals(new float[3 * OUTPUTS], product(weight(4, codes), new float[3 * INPUTS], 3));
    }
}

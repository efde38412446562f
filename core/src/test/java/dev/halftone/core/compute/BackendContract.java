package dev.halftone.core.compute;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.CodedWeight;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.Weight;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/// What every backend owes its callers, judged by [ReferenceBackend]. A runtime's tests extend this class.
/// Allowed errors stand in [Tolerances].
public abstract class BackendContract {
    private final Backend reference = new ReferenceBackend();
    private Backend backend;
    private Arena arena;

    /// The backend under test, with its own choice of threads.
    protected abstract Backend open();

    /// Whether this backend rounds weight and activations to bfloat16 for a product of so many rows.
    protected boolean roundsToBFloat16(Weight weight, int rows) {
        return false;
    }

    /// Whether this backend rounds activations to whole numbers of 16 bits, group by group, for a product of so many
    /// rows.
    protected boolean roundsToShorts(Weight weight, int rows) {
        return false;
    }

    /// Whether `aᵀ·b`, with so many columns and rows of both, is computed with both sides rounded to bfloat16.
    protected boolean roundsMoments(int left, int right, int rows) {
        return false;
    }

    /// Whether attention of so many rows is computed with queries, keys, values and weights rounded to bfloat16.
    protected boolean roundsAttention(AttentionShape shape, int rows) {
        return false;
    }

    @BeforeEach
    void openBackend() {
        arena = Arena.ofShared();
        backend = open();
    }

    @AfterEach
    void closeBackend() {
        backend.close();
        arena.close();
    }

    private static float[] random(Random random, int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    private static Matrix matrix(Backend owner, int rows, int columns, float[] values) {
        Matrix matrix = owner.allocate(rows, columns);
        owner.copyIn(values, 0, matrix);
        return matrix;
    }

    private static float[] values(Backend owner, Matrix matrix) {
        float[] values = new float[matrix.rows() * matrix.columns()];
        owner.copyOut(matrix, values, 0);
        return values;
    }

    private static void assertClose(float[] expected, float[] found, double[] allowed, String what) {
        assertEquals(expected.length, found.length, what);
        for (int i = 0; i < expected.length; i++) {
            double error = Math.abs((double) expected[i] - found[i]);
            // Written so that NaN fails.
            if (!(error <= allowed[i])) {
                fail(what + ", element " + i + ": expected " + expected[i] + ", found " + found[i] + ", error " + error
                        + ", allowed " + allowed[i]);
            }
        }
    }

    private DenseWeight dense(DType type, int outputs, int inputs, float[] values) {
        return new DenseWeight(Tensor.rounded("w", type, Shape.of(outputs, inputs), values, arena));
    }

    private static QuantizedWeight quantized(
            Random random, QuantizationScheme scheme, int outputs, int inputs, int[] groupOfColumn) {
        byte[] codes = new byte[outputs * inputs];
        for (int i = 0; i < codes.length; i++) {
            codes[i] = (byte) random.nextInt(scheme.maximum() + 1);
        }
        int cells = outputs * scheme.groups(inputs);
        float[] scales = new float[cells];
        int[] zeros = new int[cells];
        for (int i = 0; i < cells; i++) {
            scales[i] = scheme.scaleType().round(0.001f + random.nextFloat() / 8);
            zeros[i] = scheme.symmetric()
                    ? scheme.maximum() + 1 >> 1
                    : random.nextInt(scheme.lowestZero(), scheme.maximum() + 1);
        }
        return new QuantizedWeight(scheme, outputs, inputs, codes, scales, zeros, groupOfColumn);
    }

    /// Groups of equal size in random order, as activation ordering leaves them.
    private static int[] shuffledGroups(Random random, int inputs, int groupLength) {
        int[] groups = new int[inputs];
        Arrays.setAll(groups, i -> i / groupLength);
        for (int i = inputs - 1; i > 0; i--) {
            int j = random.nextInt(i + 1);
            int swapped = groups[i];
            groups[i] = groups[j];
            groups[j] = swapped;
        }
        return groups;
    }

    /// Allowed error of each product: a kernel may take the sum of a group's codes and subtract the zero point's share,
    /// so codes count with their whole range. Rounding to bfloat16 comes on top, of restored weights.
    private double[] productTolerance(Weight weight, float[] bias, float[] x, int rows) {
        int inputs = weight.inputs();
        int outputs = weight.outputs();
        double[] allowed = new double[rows * outputs];
        float[] restored = new float[inputs];
        double[] row = new double[inputs];
        boolean rounded = roundsToBFloat16(weight, rows);
        for (int output = 0; output < outputs; output++) {
            weight.restoreRow(output, restored, 0);
            for (int i = 0; i < inputs; i++) {
                row[i] = restored[i];
                if (weight instanceof QuantizedWeight codes) {
                    double span = 4 << Math.max(4, codes.scheme().bits());
                    row[i] = codes.scales()[output * codes.groups() + codes.group(i)] * span;
                }
            }
            for (int r = 0; r < rows; r++) {
                double magnitude = bias == null ? 0 : Math.abs(bias[output]);
                double products = 0;
                double squares = 0;
                double units = 0;
                float[] largest = roundsToShorts(weight, rows) ? largest((CodedWeight) weight, x, r) : null;
                for (int i = 0; i < inputs; i++) {
                    magnitude += Math.abs(row[i] * x[r * inputs + i]);
                    double product = (double) restored[i] * x[r * inputs + i];
                    products += Math.abs(product);
                    squares += product * product;
                    double unit = largest == null ? 0 : restored[i] * largest[((CodedWeight) weight).group(i)];
                    units += unit * unit;
                }
                allowed[r * outputs + output] = Tolerances.sum(inputs, magnitude)
                        + Tolerances.shorts(Math.sqrt(units))
                        + (rounded ? Tolerances.bFloat16(inputs, products, Math.sqrt(squares)) : 0);
            }
        }
        return allowed;
    }

    /// The largest magnitude of each group of a row.
    private static float[] largest(CodedWeight weight, float[] x, int row) {
        float[] largest = new float[weight.groups()];
        for (int i = 0; i < weight.inputs(); i++) {
            int group = weight.group(i);
            largest[group] = Math.max(largest[group], Math.abs(x[row * weight.inputs() + i]));
        }
        return largest;
    }

    private static float[] product(Backend owner, Weight weight, float[] bias, float[] x, int rows) {
        try (Linear linear = owner.bind(weight, bias);
                Matrix in = matrix(owner, rows, weight.inputs(), x);
                Matrix out = owner.allocate(rows, weight.outputs())) {
            linear.multiply(in, out);
            return values(owner, out);
        }
    }

    private void assertProduct(Weight weight, float[] bias, float[] x, int rows) {
        assertClose(
                product(reference, weight, bias, x, rows),
                product(backend, weight, bias, x, rows),
                productTolerance(weight, bias, x, rows),
                rows + " rows by [" + weight.outputs() + ", " + weight.inputs() + "]");
    }

    @ParameterizedTest
    @CsvSource({"1,1", "3,1", "1,3", "17,33", "33,17", "16,64", "130,72", "96,576", "5,1536", "64,300"})
    void multipliesDenseWeightsOfEveryType(int outputs, int inputs) {
        Random random = new Random(outputs * 31L + inputs);
        for (DType type : new DType[] {DType.F32, DType.BF16, DType.F16}) {
            Weight weight = dense(type, outputs, inputs, random(random, outputs * inputs));
            float[] bias = random(random, outputs);
            for (int rows : new int[] {1, 2, 4, 5, 9, 16, 33}) {
                assertProduct(weight, rows == 4 ? null : bias, random(random, rows * inputs), rows);
            }
        }
    }

    static Stream<Arguments> schemes() {
        return Stream.of(
                Arguments.of(QuantizationScheme.gptq(4, 128, true), 40, 384),
                Arguments.of(QuantizationScheme.gptq(4, 128, false), 33, 256),
                Arguments.of(QuantizationScheme.gptq(4, 64, true), 17, 576),
                Arguments.of(QuantizationScheme.gptq(4, 64, false), 96, 192),
                Arguments.of(QuantizationScheme.gptq(4, 32, true), 19, 96),
                Arguments.of(QuantizationScheme.gptq(4, 32, false), 64, 1536),
                Arguments.of(QuantizationScheme.gptq(4, 48, false), 7, 144),
                Arguments.of(QuantizationScheme.gptq(4, 3, false), 5, 33),
                Arguments.of(QuantizationScheme.gptq(4, 1, true), 5, 9),
                Arguments.of(QuantizationScheme.gptq(4, QuantizationScheme.PER_CHANNEL, true), 9, 33),
                Arguments.of(QuantizationScheme.gptq(4, QuantizationScheme.PER_CHANNEL, false), 66, 72),
                Arguments.of(QuantizationScheme.gptq(4, QuantizationScheme.PER_CHANNEL, false), 1, 1),
                Arguments.of(QuantizationScheme.gptq(2, 64, false), 18, 128),
                Arguments.of(QuantizationScheme.gptq(3, 32, false), 18, 96),
                Arguments.of(QuantizationScheme.gptq(3, 32, true), 65, 64),
                Arguments.of(QuantizationScheme.gptq(5, 32, false), 20, 64),
                Arguments.of(QuantizationScheme.gptq(6, 16, true), 20, 48),
                Arguments.of(QuantizationScheme.gptq(8, 128, true), 40, 384),
                Arguments.of(QuantizationScheme.gptq(8, 64, false), 33, 576),
                Arguments.of(QuantizationScheme.gptq(8, 6, false), 3, 18),
                Arguments.of(QuantizationScheme.gptq(8, QuantizationScheme.PER_CHANNEL, false), 17, 33),
                Arguments.of(new QuantizationScheme(4, 32, false, DType.F32, 0), 24, 64),
                Arguments.of(new QuantizationScheme(8, 32, false, DType.BF16, 0), 24, 64));
    }

    @ParameterizedTest
    @MethodSource("schemes")
    void multipliesQuantizedWeights(QuantizationScheme scheme, int outputs, int inputs) {
        Random random = new Random(7);
        QuantizedWeight weight = quantized(random, scheme, outputs, inputs, null);
        float[] bias = random(random, outputs);
        for (int rows : new int[] {1, 3, 4, 7, 8, 9, 13, 16, 21}) {
            assertProduct(weight, rows == 3 ? null : bias, random(random, rows * inputs), rows);
        }
    }

    private static QuantizedWeight integers(Random random, int bits, int outputs, int inputs) {
        QuantizationScheme scheme = new QuantizationScheme(bits, QuantizationScheme.PER_CHANNEL, true, DType.BF16, 0);
        return quantized(random, scheme, outputs, inputs, null);
    }

    private void assertIntegerProduct(QuantizedWeight weight, float[] bias, float[] x, int rows) {
        float[] expected = product(reference, weight, bias, x, rows);
        double[] allowed = new double[expected.length];
        for (int i = 0; i < allowed.length; i++) {
            double added = bias == null ? 0 : bias[i % weight.outputs()];
            allowed[i] = Tolerances.scaled(expected[i] - added, added);
        }
        String what = rows + " rows by integers [" + weight.outputs() + ", " + weight.inputs() + "] "
                + weight.activations().kind();
        assertClose(expected, product(backend, weight, bias, x, rows), allowed, what);
    }

    @ParameterizedTest
    @CsvSource({
        "8,1,1",
        "8,3,5",
        "8,17,33",
        "8,33,64",
        "8,65,260",
        "8,130,577",
        "4,19,96",
        "2,5,7",
        "8,70,1540",
        "8,300,256"
    })
    void multipliesInputsThatAreRoundedToIntegers(int bits, int outputs, int inputs) {
        Random random = new Random(41L * outputs + inputs);
        QuantizedWeight weight = integers(random, bits, outputs, inputs);
        float[] bias = random(random, outputs);
        for (int rows : new int[] {1, 2, 4, 5, 8, 9, 33, 150}) {
            float[] x = random(random, rows * inputs);
            // One outlier, and one row of zeroes.
            x[random.nextInt(x.length)] = 40;
            Arrays.fill(x, rows / 2 * inputs, rows / 2 * inputs + (rows > 2 ? inputs : 0), 0);
            assertIntegerProduct(weight.withActivations(ActivationScheme.PER_TOKEN), rows == 4 ? null : bias, x, rows);
            assertIntegerProduct(
                    weight.withActivations(ActivationScheme.perTensor(0.013f)), rows == 5 ? null : bias, x, rows);
        }
        assertRowsRestored(weight.withActivations(ActivationScheme.PER_TOKEN));
    }

    /// Whatever order and grouping a kernel sums in, integers leave it no excuse: with scales of one, inputs that are
    /// whole numbers and sums that a float holds, the product is the sum.
    @ParameterizedTest
    @CsvSource({"1,1000", "4,1000", "7,1000", "40,1000", "1,3", "70,640"})
    void addsIntegersExactly(int rows, int inputs) {
        int outputs = 37;
        Random random = new Random(43);
        QuantizationScheme scheme = new QuantizationScheme(8, QuantizationScheme.PER_CHANNEL, true, DType.F32, 0);
        byte[] codes = new byte[outputs * inputs];
        random.nextBytes(codes);
        // The first outputs take the largest sums of either sign.
        Arrays.fill(codes, 0, inputs, (byte) 0);
        Arrays.fill(codes, inputs, 2 * inputs, (byte) 255);
        float[] ones = new float[outputs];
        int[] zeros = new int[outputs];
        Arrays.fill(ones, 1);
        Arrays.fill(zeros, 128);
        QuantizedWeight weight =
                new QuantizedWeight(scheme, outputs, inputs, codes, ones, zeros, null, ActivationScheme.perTensor(1));
        float[] x = new float[rows * inputs];
        for (int i = 0; i < x.length; i++) {
            x[i] = i < inputs ? -128 : random.nextInt(-128, 128);
        }
        float[] expected = new float[rows * outputs];
        for (int row = 0; row < rows; row++) {
            for (int output = 0; output < outputs; output++) {
                int sum = 0;
                for (int i = 0; i < inputs; i++) {
                    sum += (int) x[row * inputs + i] * ((codes[output * inputs + i] & 0xFF) - 128);
                }
                expected[row * outputs + output] = sum;
            }
        }
        assertTrue(expected[0] == 16384f * inputs && expected[0] < 1 << 24, "the largest sum");
        assertArrayEquals(expected, product(reference, weight, null, x, rows));
        assertArrayEquals(expected, product(backend, weight, null, x, rows));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 6, 20})
    void showsInARowThatItHeldWhatNoIntegerStandsFor(int rows) {
        int inputs = 70;
        Random random = new Random(44);
        for (ActivationScheme scheme : List.of(ActivationScheme.PER_TOKEN, ActivationScheme.perTensor(0.1f))) {
            QuantizedWeight weight = integers(random, 8, 21, inputs).withActivations(scheme);
            float[] bias = random(random, 21);
            float[] x = random(random, rows * inputs);
            float[] sound = product(backend, weight, bias, x, rows);
            for (float broken : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
                x[(rows - 1) * inputs + 64] = broken;
                float[] found = product(backend, weight, bias, x, rows);
                for (int i = 0; i < found.length; i++) {
                    assertEquals(i / 21 == rows - 1 ? Float.NaN : sound[i], found[i], "element " + i);
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"4,32,96,17", "4,64,576,33", "4,24,72,5", "8,32,128,16", "3,128,256,20", "4,5,15,3"})
    void multipliesWeightsWhoseGroupsAreScattered(int bits, int groupSize, int inputs, int outputs) {
        Random random = new Random(11);
        int[] groups = shuffledGroups(random, inputs, groupSize);
        QuantizationScheme scheme = QuantizationScheme.gptq(bits, groupSize, false);
        QuantizedWeight weight = quantized(random, scheme, outputs, inputs, groups);
        for (int rows : new int[] {1, 2, 8, 19}) {
            assertProduct(weight, null, random(random, rows * inputs), rows);
        }
        assertRowsRestored(weight);
    }

    @Test
    void multipliesWeightsWhoseGroupsAreUnequallyFilled() {
        Random random = new Random(12);
        int[] groups = new int[48];
        Arrays.setAll(groups, i -> i < 7 ? 2 : i % 5 == 0 ? 1 : 0);
        QuantizedWeight weight = quantized(random, QuantizationScheme.gptq(4, 16, false), 19, 48, groups);
        assertProduct(weight, null, random(random, 48), 1);
        assertProduct(weight, null, random(random, 12 * 48), 12);
        assertRowsRestored(weight);
    }

    @Test
    void multipliesByZeroesInfiniteRangesAndSignedZeroes() {
        int inputs = 40;
        Random random = new Random(13);
        Weight weight = quantized(random, QuantizationScheme.gptq(4, 8, false), 18, inputs, null);
        float[] extremes = {0f, -0f, 1e-30f, -1e-30f, 1e30f, -1e30f, 1e-38f, 3e4f};
        for (int rows : new int[] {1, 4, 10}) {
            float[] x = new float[rows * inputs];
            for (int i = 0; i < x.length; i++) {
                x[i] = extremes[random.nextInt(extremes.length)];
            }
            assertProduct(weight, null, x, rows);
            assertProduct(dense(DType.F32, 18, inputs, random(random, 18 * inputs)), null, x, rows);
            assertArrayEquals(
                    new float[rows * 18],
                    absolute(product(backend, weight, null, new float[rows * inputs], rows)),
                    "zero in, zero out");
        }
    }

    private static float[] absolute(float[] values) {
        for (int i = 0; i < values.length; i++) {
            values[i] = Math.abs(values[i]);
        }
        return values;
    }

    @ParameterizedTest
    @ValueSource(floats = {0x1p-24f, 65504f, 0x1p-120f, 0x1p120f, 0x1p124f})
    void keepsSmallAndLargeScales(float scale) {
        QuantizationScheme scheme = new QuantizationScheme(4, 8, false, DType.F32, 0);
        Random random = new Random(14);
        QuantizedWeight weight = quantized(random, scheme, 17, 24, null);
        Arrays.fill(weight.scales(), scale);
        assertRowsRestored(weight);
        float[] x = new float[10 * 24];
        Arrays.fill(x, 0x1p-10f);
        assertProduct(weight, null, x, 10);
        assertProduct(weight, null, Arrays.copyOf(x, 24), 1);
    }

    @Test
    void addsTheBiasAloneWhenTheInputIsZero() {
        float[] bias = random(new Random(15), 19);
        Weight weight = dense(DType.BF16, 19, 33, random(new Random(16), 19 * 33));
        for (int rows : new int[] {1, 6, 20}) {
            float[] found = product(backend, weight, bias, new float[rows * 33], rows);
            for (int i = 0; i < found.length; i++) {
                assertEquals(bias[i % 19], found[i]);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 8, 9, 30})
    void multipliesViewsAndLeavesTheirSurroundingsAlone(int rows) {
        Random random = new Random(17);
        int inputs = 40;
        int outputs = 33;
        float[] x = random(random, rows * inputs);
        Weight weight = quantized(random, QuantizationScheme.gptq(4, 8, false), outputs, inputs, null);
        float[] frame = new float[(rows + 4) * (outputs + 9)];
        Arrays.fill(frame, 42f);
        try (Linear linear = backend.bind(weight, null);
                Matrix wide = backend.allocate(rows + 2, inputs + 7);
                Matrix result = matrix(backend, rows + 4, outputs + 9, frame)) {
            Matrix in = wide.view(1, rows, 5, inputs);
            backend.copyIn(x, 0, in);
            Matrix out = result.view(2, rows, 3, outputs);
            linear.multiply(in, out);
            float[] expected = product(reference, weight, null, x, rows);
            assertClose(expected, values(backend, out), productTolerance(weight, null, x, rows), "a view of " + rows);
            float[] all = values(backend, result);
            for (int row = 0; row < rows + 4; row++) {
                for (int column = 0; column < outputs + 9; column++) {
                    if (row < 2 || row >= rows + 2 || column < 3 || column >= outputs + 3) {
                        assertEquals(42f, all[row * (outputs + 9) + column], "row " + row + ", column " + column);
                    }
                }
            }
        }
    }

    /// Linears of every kind that read one input, some with their columns in an order of their own.
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 8, 11, 16, 20})
    void multipliesByAllLinearsOfAnInput(int rows) {
        Random random = new Random(18);
        int inputs = 96;
        Weight[] weights = {
            quantized(random, QuantizationScheme.gptq(4, 32, true), 33, inputs, null),
            quantized(random, QuantizationScheme.gptq(8, 32, false), 17, inputs, null),
            quantized(random, QuantizationScheme.gptq(4, 32, false), 16, inputs, shuffledGroups(random, inputs, 32)),
            dense(DType.BF16, 5, inputs, random(random, 5 * inputs)),
            dense(DType.F32, 64, inputs, random(random, 64 * inputs))
        };
        float[] x = random(random, rows * inputs);
        Linear[] linears = new Linear[weights.length];
        Matrix[] results = new Matrix[weights.length];
        for (int i = 0; i < weights.length; i++) {
            linears[i] = backend.bind(weights[i], random(new Random(i), weights[i].outputs()));
            results[i] = backend.allocate(rows, weights[i].outputs());
        }
        try (Matrix in = matrix(backend, rows, inputs, x)) {
            backend.multiplyAll(linears, in, results);
        }
        for (int i = 0; i < weights.length; i++) {
            float[] bias = random(new Random(i), weights[i].outputs());
            assertClose(
                    product(reference, weights[i], bias, x, rows),
                    values(backend, results[i]),
                    productTolerance(weights[i], bias, x, rows),
                    "linear " + i);
            linears[i].close();
            results[i].close();
        }
    }

    /// Linears that round their inputs beside some that do not: what one of them prepared serves another, but never the
    /// next call, whose inputs lie in the same place.
    @ParameterizedTest
    @ValueSource(ints = {1, 3, 8, 11, 20, 40})
    void multipliesByLinearsThatRoundTheirInputsAndOthers(int rows) {
        Random random = new Random(46);
        int inputs = 96;
        int outputs = 37;
        Weight[] weights = {
            quantized(random, QuantizationScheme.gptq(4, 32, true), outputs, inputs, null),
            integers(random, 8, outputs, inputs).withActivations(ActivationScheme.PER_TOKEN),
            integers(random, 8, outputs, inputs).withActivations(ActivationScheme.PER_TOKEN),
            integers(random, 8, outputs, inputs).withActivations(ActivationScheme.perTensor(0.013f)),
            dense(DType.BF16, outputs, inputs, random(random, outputs * inputs)),
            integers(random, 8, outputs, inputs).withActivations(ActivationScheme.PER_TOKEN)
        };
        Linear[] linears = new Linear[weights.length];
        Matrix[] results = new Matrix[weights.length];
        for (int i = 0; i < weights.length; i++) {
            linears[i] = backend.bind(weights[i], null);
            results[i] = backend.allocate(rows, outputs);
        }
        try (Matrix in = backend.allocate(rows, inputs);
                Matrix alone = backend.allocate(rows, outputs)) {
            for (int call = 0; call < 3; call++) {
                backend.copyIn(random(random, rows * inputs), 0, in);
                backend.multiplyAll(linears, in, results);
                for (int i = 0; i < weights.length; i++) {
                    linears[i].multiply(in, alone);
                    assertArrayEquals(
                            values(backend, alone), values(backend, results[i]), "call " + call + ", linear " + i);
                }
            }
        }
        for (int i = 0; i < weights.length; i++) {
            linears[i].close();
            results[i].close();
        }
    }

    @Test
    void refusesLinearsThatDoNotFitBesideOneThatDoes() {
        Weight fitting = dense(DType.F32, 4, 6, new float[24]);
        Weight other = dense(DType.F32, 4, 5, new float[20]);
        try (Linear first = backend.bind(fitting, null);
                Linear second = backend.bind(other, null);
                Matrix x = backend.allocate(1, 6);
                Matrix y = backend.allocate(1, 4)) {
            assertThrows(
                    IllegalArgumentException.class,
                    () -> backend.multiplyAll(new Linear[] {first, second}, x, new Matrix[] {y, y}));
            // Nothing of the failed call is left behind.
            first.multiply(x, y);
        }
    }

    private void assertRowsRestored(Weight weight) {
        int inputs = weight.inputs();
        int[] indices = {weight.outputs() - 1, 0, weight.outputs() / 2, 0};
        try (Linear linear = backend.bind(weight, null);
                Matrix rows = backend.allocate(indices.length, inputs)) {
            linear.gather(indices, rows);
            float[] found = values(backend, rows);
            float[] expected = new float[inputs];
            for (int row = 0; row < indices.length; row++) {
                weight.restoreRow(indices[row], expected, 0);
                for (int i = 0; i < inputs; i++) {
                    assertEquals(expected[i], found[row * inputs + i], 0f, "row " + indices[row] + ", input " + i);
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("schemes")
    void gathersRowsOfQuantizedWeightsExactly(QuantizationScheme scheme, int outputs, int inputs) {
        assertRowsRestored(quantized(new Random(18), scheme, outputs, inputs, null));
    }

    @ParameterizedTest
    @EnumSource(names = {"F32", "BF16", "F16"})
    void gathersRowsOfDenseWeightsExactly(DType type) {
        assertRowsRestored(dense(type, 37, 33, random(new Random(19), 37 * 33)));
        assertRowsRestored(dense(type, 1, 64, random(new Random(20), 64)));
    }

    @Test
    void tellsTheSizeOfALinear() {
        Weight weight = dense(DType.BF16, 37, 33, random(new Random(21), 37 * 33));
        try (Linear linear = backend.bind(weight, null)) {
            assertEquals(37, linear.outputs());
            assertEquals(33, linear.inputs());
            assertTrue(linear.bytes() >= 2 * 37 * 33, "bytes " + linear.bytes());
        }
    }

    @Test
    void allocatesZeroes() {
        try (Matrix matrix = backend.allocate(7, 33)) {
            assertArrayEquals(new float[7 * 33], values(backend, matrix));
        }
    }

    @Test
    void copiesPartsOfArraysInAndOut() {
        float[] source = random(new Random(22), 100);
        try (Matrix matrix = backend.allocate(5, 9)) {
            Matrix view = matrix.view(1, 3, 2, 4);
            backend.copyIn(source, 10, view);
            float[] found = new float[20];
            backend.copyOut(view, found, 3);
            assertArrayEquals(Arrays.copyOfRange(source, 10, 22), Arrays.copyOfRange(found, 3, 15));
            assertEquals(0f, found[2]);
            assertEquals(0f, found[15]);
            float[] all = values(backend, matrix);
            assertEquals(source[10], all[9 + 2]);
            assertEquals(0f, all[9 + 1]);
        }
    }

    @Test
    void viewsReachNoFurtherThanTheirMatrix() {
        try (Matrix matrix = backend.allocate(5, 9)) {
            Matrix view = matrix.view(1, 3, 2, 4);
            assertThrows(IndexOutOfBoundsException.class, () -> matrix.view(0, 6, 0, 9));
            assertThrows(IndexOutOfBoundsException.class, () -> matrix.view(0, 5, 1, 9));
            assertThrows(IndexOutOfBoundsException.class, () -> view.view(0, 4, 0, 4));
            assertThrows(IndexOutOfBoundsException.class, () -> view.rows(-1, 2));
        }
    }

    @Test
    void copiesMatricesAndGathersRows() {
        float[] source = random(new Random(23), 6 * 33);
        try (Matrix matrix = matrix(backend, 6, 33, source);
                Matrix copy = backend.allocate(6, 33);
                Matrix some = backend.allocate(3, 33)) {
            backend.copy(matrix, copy);
            assertArrayEquals(source, values(backend, copy));
            backend.gatherRows(matrix, new int[] {5, 0, 5}, some);
            float[] found = values(backend, some);
            assertArrayEquals(Arrays.copyOfRange(source, 5 * 33, 6 * 33), Arrays.copyOfRange(found, 0, 33));
            assertArrayEquals(Arrays.copyOfRange(source, 0, 33), Arrays.copyOfRange(found, 33, 66));
            assertArrayEquals(Arrays.copyOfRange(source, 5 * 33, 6 * 33), Arrays.copyOfRange(found, 66, 99));
        }
    }

    /// One verb on both backends, over the same inputs; the last matrix is the result.
    private interface Verb {
        void run(Backend owner, Matrix[] matrices);
    }

    private float[] apply(Backend owner, int[][] shapes, float[][] inputs, Verb verb) {
        Matrix[] matrices = new Matrix[shapes.length];
        try {
            for (int i = 0; i < shapes.length; i++) {
                matrices[i] = matrix(owner, shapes[i][0], shapes[i][1], inputs[i]);
            }
            verb.run(owner, matrices);
            return values(owner, matrices[matrices.length - 1]);
        } finally {
            for (Matrix matrix : matrices) {
                if (matrix != null) {
                    matrix.close();
                }
            }
        }
    }

    private void assertElementwise(int[][] shapes, float[][] inputs, double slack, String what, Verb verb) {
        float[] expected = apply(reference, shapes, inputs, verb);
        float[] found = apply(backend, shapes, inputs, verb);
        double[] allowed = new double[expected.length];
        for (int i = 0; i < allowed.length; i++) {
            allowed[i] = Tolerances.elementwise(expected[i]) + slack;
        }
        assertClose(expected, found, allowed, what);
    }

    @ParameterizedTest
    @CsvSource({"1,1,1", "3,17,17", "2,66,33", "5,576,576", "4,256,64", "700,64,64"})
    void normalizesRuns(int rows, int columns, int width) {
        Random random = new Random(24);
        float[][] inputs = {random(random, rows * columns), random(random, width), new float[rows * columns]};
        int[][] shapes = {{rows, columns}, {1, width}, {rows, columns}};
        // A sum of squares of one sign, halved by the square root.
        double slack = Tolerances.sum(width, 3);
        assertElementwise(shapes, inputs, slack, "norm", (b, m) -> b.rmsNorm(m[0], m[1], 1e-5f, m[2]));
    }

    @Test
    void normalizesInPlaceAndKeepsZeroesAndLargeNumbers() {
        float[] x = new float[3 * 40];
        Arrays.fill(x, 40, 80, 1e18f);
        Arrays.fill(x, 80, 120, -1e-15f);
        float[] weight = random(new Random(25), 40);
        assertElementwise(
                new int[][] {{1, 40}, {3, 40}},
                new float[][] {weight, x},
                0,
                "norm in place",
                (b, m) -> b.rmsNorm(m[1], m[0], 1e-6f, m[1]));
    }

    @ParameterizedTest
    @CsvSource({"1,1,2", "3,2,6", "2,3,64", "5,1,72", "300,2,34"})
    void turnsPairsOfElements(int rows, int heads, int headSize) {
        Random random = new Random(26);
        int half = headSize / 2;
        float[] cosines = new float[rows * half];
        float[] sines = new float[rows * half];
        for (int i = 0; i < cosines.length; i++) {
            double angle = random.nextDouble() * 6;
            cosines[i] = (float) Math.cos(angle);
            sines[i] = (float) Math.sin(angle);
        }
        int[][] shapes = {{rows, half}, {rows, half}, {rows, heads * headSize}};
        float[][] inputs = {cosines, sines, random(random, rows * heads * headSize)};
        // Two products may cancel.
        double slack = Tolerances.sum(2, 8);
        assertElementwise(shapes, inputs, slack, "rope", (b, m) -> b.rope(m[2], headSize, m[0], m[1]));
    }

    @ParameterizedTest
    @CsvSource({"1,1", "3,17", "2,1536", "40,576"})
    void gatesAndAdds(int rows, int columns) {
        Random random = new Random(27);
        float[] gate = random(random, rows * columns);
        for (int i = 0; i < gate.length; i++) {
            gate[i] *= 8;
        }
        int[][] shapes = {{rows, columns}, {rows, columns}, {rows, columns}};
        float[][] inputs = {gate, random(random, rows * columns), new float[rows * columns]};
        assertElementwise(shapes, inputs, 0, "gate", (b, m) -> b.gatedActivation(m[0], m[1], m[2]));
        assertElementwise(shapes, inputs, 0, "gate in place", (b, m) -> {
            b.gatedActivation(m[0], m[1], m[0]);
            b.copy(m[0], m[2]);
        });
        assertElementwise(shapes, inputs, 0, "sum", (b, m) -> {
            b.add(m[0], m[2]);
            b.add(m[1], m[2]);
        });
    }

    @Test
    void gatesExtremesLikeTheFormula() {
        float[] gate = {
            0f, -0f, 1e-30f, 20f, -20f, 87f, -87f, -88.5f, 89f, 100f, -100f, -104f, 1000f, -1000f, 1e30f, -1e30f, 0.5f,
            -0.5f, 3.4e38f, -3.4e38f, 1f, -1f, 44.36f, -44.36f, 10f, -10f, 60f, -60f, 30f, -30f, 0.1f, -0.1f, 88.8f
        };
        float[] up = new float[gate.length];
        Arrays.fill(up, 1f);
        int[][] shapes = {{1, gate.length}, {1, gate.length}, {1, gate.length}};
        assertElementwise(
                shapes,
                new float[][] {gate, up, new float[gate.length]},
                0,
                "gate of extremes",
                (b, m) -> b.gatedActivation(m[0], m[1], m[2]));
    }

    /// Two backends fed with the same steps.
    private final class AttentionPair implements AutoCloseable {
        private final AttentionShape shape;
        private final Random random;
        private final KvCache expectedCache;
        private final KvCache foundCache;
        private final int capacity;

        AttentionPair(AttentionShape shape, DType numbers, int slots, int capacity, Random random) {
            this.shape = shape;
            this.random = random;
            this.capacity = capacity;
            expectedCache = reference.allocateCache(2, slots, capacity, shape, numbers);
            foundCache = backend.allocateCache(2, slots, capacity, shape, numbers);
        }

        void step(Batch batch) {
            step(batch, random(random, batch.rows() * shape.queryColumns()));
        }

        void step(Batch batch, float[] queries) {
            int rows = batch.rows();
            float[] keys = random(random, rows * shape.kvColumns());
            float[] values = random(random, rows * shape.kvColumns());
            int[][] shapes = {
                {rows, shape.queryColumns()},
                {rows, shape.kvColumns()},
                {rows, shape.kvColumns()},
                {rows, shape.queryColumns()}
            };
            float[][] inputs = {queries, keys, values, new float[rows * shape.queryColumns()]};
            float[] expected = apply(
                    reference,
                    shapes,
                    inputs,
                    (b, m) -> b.attention(m[0], m[1], m[2], shape, batch, expectedCache, 1, m[3]));
            float[] found = apply(
                    backend,
                    shapes,
                    inputs,
                    (b, m) -> b.attention(m[0], m[1], m[2], shape, batch, foundCache, 1, m[3]));
            double largest = 0;
            for (float query : queries) {
                largest = Math.max(largest, Math.abs(query));
            }
            // Keys and values are normal numbers: five deviations bound them all.
            double score = shape.headSize() * largest * 5 * Math.abs(shape.scale());
            double error = Tolerances.attention(capacity, shape.headSize(), score, 5);
            if (roundsAttention(shape, rows)) {
                double squares = 0;
                for (float query : queries) {
                    squares += query * query;
                }
                double norm = Math.sqrt(squares / queries.length * shape.headSize()) * Math.abs(shape.scale());
                error += Tolerances.bFloat16Attention(norm, 5);
            }
            double[] allowed = new double[expected.length];
            Arrays.fill(allowed, error);
            assertClose(expected, found, allowed, "attention of " + rows + " rows");
        }

        @Override
        public void close() {
            expectedCache.close();
            foundCache.close();
        }
    }

    static Stream<Arguments> attentionShapes() {
        int all = Integer.MAX_VALUE;
        return Stream.of(
                        new AttentionShape(1, 1, 1, 1f, all),
                        new AttentionShape(4, 4, 16, 0.25f, all),
                        new AttentionShape(9, 3, 64, 0.125f, all),
                        new AttentionShape(8, 1, 33, 0.2f, all),
                        new AttentionShape(6, 2, 72, 0.1f, 7),
                        new AttentionShape(4, 2, 128, 0.09f, 40),
                        new AttentionShape(2, 1, 10, 0.3f, 1))
                .flatMap(shape -> Stream.of(DType.F32, DType.F16).map(numbers -> Arguments.of(shape, numbers)));
    }

    @ParameterizedTest
    @MethodSource("attentionShapes")
    void attendsInPrefillAndDecoding(AttentionShape shape, DType numbers) {
        try (AttentionPair pair = new AttentionPair(shape, numbers, 1, 130, new Random(28))) {
            pair.step(Batch.single(0, 1));
            pair.step(Batch.single(1, 3));
            pair.step(Batch.single(4, 70));
            for (int position = 74; position < 80; position++) {
                pair.step(Batch.single(position, 1));
            }
            pair.step(Batch.single(80, 33));
            pair.step(Batch.single(113, 17));
        }
    }

    @ParameterizedTest
    @MethodSource("attentionShapes")
    void attendsToSequencesOfUnequalLengths(AttentionShape shape, DType numbers) {
        try (AttentionPair pair = new AttentionPair(shape, numbers, 3, 100, new Random(29))) {
            pair.step(new Batch().add(2, 0, 37).add(0, 0, 1).add(1, 0, 65));
            pair.step(new Batch().add(0, 1, 1).add(1, 65, 1).add(2, 37, 1));
            pair.step(new Batch().add(1, 66, 5).add(2, 38, 1).add(0, 2, 40));
            // A slot starts anew: what it held before must not be seen.
            pair.step(new Batch().add(1, 0, 2).add(0, 42, 1));
        }
    }

    /// So long that a backend may cut it into parts; all of it, or the last 1,500 positions.
    @ParameterizedTest
    @CsvSource({"2147483647, F32", "2147483647, F16", "1500, F32"})
    void attendsToALongContext(int window, DType numbers) {
        AttentionShape shape = new AttentionShape(4, 2, 6, 0.4f, window);
        try (AttentionPair pair = new AttentionPair(shape, numbers, 3, 2200, new Random(33))) {
            pair.step(new Batch().add(0, 0, 1020).add(1, 0, 3));
            for (int position = 1020; position < 1027; position++) {
                pair.step(Batch.single(position, 1));
            }
            pair.step(Batch.single(1027, 1100));
            pair.step(new Batch().add(1, 3, 1).add(0, 2127, 1).add(2, 0, 1));
            pair.step(new Batch().add(0, 2128, 1).add(2, 1, 40).add(1, 4, 1));
            // A score far above all others, in a part of its own.
            float[] queries = random(new Random(34), shape.queryColumns());
            for (int i = 0; i < queries.length; i++) {
                queries[i] *= 50;
            }
            pair.step(Batch.single(2129, 1), queries);
        }
    }

    @Test
    void attendsWithScoresThatOverflowAPlainExponential() {
        AttentionShape shape = new AttentionShape(2, 1, 16, 1f, Integer.MAX_VALUE);
        try (AttentionPair pair = new AttentionPair(shape, DType.F32, 1, 64, new Random(30))) {
            float[] queries = random(new Random(31), 40 * shape.queryColumns());
            for (int i = 0; i < queries.length; i++) {
                queries[i] *= 100;
            }
            pair.step(Batch.single(0, 40), queries);
        }
    }

    @Test
    void decodesWhatPrefillComputes() {
        AttentionShape shape = new AttentionShape(6, 2, 24, 0.2f, 19);
        Random random = new Random(32);
        int tokens = 45;
        float[] queries = random(random, tokens * shape.queryColumns());
        float[] keys = random(random, tokens * shape.kvColumns());
        float[] values = random(random, tokens * shape.kvColumns());
        try (KvCache first = backend.allocateCache(1, 1, tokens, shape, DType.F32);
                KvCache second = backend.allocateCache(1, 1, tokens, shape, DType.F32);
                Matrix q = matrix(backend, tokens, shape.queryColumns(), queries);
                Matrix k = matrix(backend, tokens, shape.kvColumns(), keys);
                Matrix v = matrix(backend, tokens, shape.kvColumns(), values);
                Matrix whole = backend.allocate(tokens, shape.queryColumns());
                Matrix steps = backend.allocate(tokens, shape.queryColumns())) {
            backend.attention(q, k, v, shape, Batch.single(0, tokens), first, 0, whole);
            for (int t = 0; t < tokens; t++) {
                Batch batch = Batch.single(t, 1);
                backend.attention(q.rows(t, 1), k.rows(t, 1), v.rows(t, 1), shape, batch, second, 0, steps.rows(t, 1));
            }
            double[] allowed = new double[tokens * shape.queryColumns()];
            Arrays.fill(allowed, Tolerances.attention(tokens, 24, 24 * 25 * 0.2, 5));
            assertClose(values(backend, whole), values(backend, steps), allowed, "decoding");
        }
    }

    @Test
    void tellsTheSizeOfACache() {
        AttentionShape shape = new AttentionShape(4, 2, 16, 1f, Integer.MAX_VALUE);
        try (KvCache cache = backend.allocateCache(3, 2, 50, shape, DType.F32);
                KvCache half = backend.allocateCache(3, 2, 50, shape, DType.F16)) {
            assertEquals(2, cache.slots());
            assertEquals(50, cache.capacity());
            assertTrue(cache.bytes() > 0);
            assertEquals(cache.bytes(), 2 * half.bytes());
        }
    }

    /// The largest float16, the smallest that is not subnormal, and what rounds to zero or up to a power of two.
    @Test
    void roundsWhatItCachesAsFloat16() {
        AttentionShape shape = new AttentionShape(1, 1, 6, 1f, Integer.MAX_VALUE);
        float[] values = {65504, -65504, 0x1p-14f, -0x1p-15f, 0x1.ffffp0f, 1 + 0x1p-11f};
        float[] expected = {65504, -65504, 0x1p-14f, 0, 2, 1};
        try (KvCache cache = backend.allocateCache(1, 1, 1, shape, DType.F16);
                Matrix zeros = backend.allocate(1, 6);
                Matrix given = matrix(backend, 1, 6, values);
                Matrix found = backend.allocate(1, 6)) {
            backend.attention(zeros, zeros, given, shape, Batch.single(0, 1), cache, 0, found);
            assertArrayEquals(expected, values(backend, found));
        }
    }

    @ParameterizedTest
    @CsvSource({"65520", "-1e9", "NaN", "Infinity"})
    void refusesToCacheAsFloat16WhatIsBeyondIt(float value) {
        AttentionShape shape = new AttentionShape(1, 1, 4, 1f, Integer.MAX_VALUE);
        try (KvCache cache = backend.allocateCache(1, 1, 1, shape, DType.F16);
                Matrix zeros = backend.allocate(1, 4);
                Matrix given = matrix(backend, 1, 4, new float[] {0, 0, value, 0});
                Matrix found = backend.allocate(1, 4)) {
            HalftoneException problem = assertThrows(
                    HalftoneException.class,
                    () -> backend.attention(zeros, given, zeros, shape, Batch.single(0, 1), cache, 0, found));
            assertEquals(HalftoneException.Kind.NUMERICS, problem.kind());
            assertTrue(problem.getMessage().contains("float16"), problem.getMessage());
        }
    }

    /// Of element `(i, j)` of `aᵀ·b` over all rows and over half of them again.
    private double momentTolerance(int rows, float[] a, int left, int i, float[] b, int right, int j) {
        double magnitude = 0.5;
        double squares = 0;
        for (int row = 0; row < rows; row++) {
            double term = 2 * (double) a[row * left + i] * b[row * right + j];
            magnitude += Math.abs(term);
            squares += term * term;
        }
        double error = Tolerances.sum(2 * rows, magnitude);
        return roundsMoments(left, right, rows)
                ? error + Tolerances.bFloat16(2 * rows, magnitude, Math.sqrt(squares))
                : error;
    }

    @ParameterizedTest
    @CsvSource({"1,1,1", "3,5,2", "300,17,70", "7,33,5", "64,64,128", "613,96,128", "513,96,31", "20,3,130"})
    void accumulatesTransposedProducts(int rows, int left, int right) {
        Random random = new Random(34);
        float[] a = random(random, rows * left);
        float[] b = random(random, rows * right);
        float[] start = new float[left * right];
        Arrays.fill(start, 0.5f);
        int[][] shapes = {{rows, left}, {rows, right}, {left, right}};
        float[][] inputs = {a, b, start};
        Verb twice = (owner, m) -> {
            owner.addTransposedProduct(m[0], m[1], m[2]);
            owner.addTransposedProduct(m[0].rows(0, (rows + 1) / 2), m[1].rows(0, (rows + 1) / 2), m[2]);
        };
        float[] expected = apply(reference, shapes, inputs, twice);
        float[] found = apply(backend, shapes, inputs, twice);
        double[] allowed = new double[expected.length];
        for (int i = 0; i < left; i++) {
            for (int j = 0; j < right; j++) {
                allowed[i * right + j] = momentTolerance(rows, a, left, i, b, right, j);
            }
        }
        assertClose(expected, found, allowed, "transposed product of " + left + " and " + right + " columns");
    }

    @ParameterizedTest
    @CsvSource({"1,1", "3,5", "300,17", "7,33", "64,64", "613,192", "513,96", "20,130"})
    void accumulatesGramMatrices(int rows, int columns) {
        Random random = new Random(33);
        float[] x = random(random, rows * columns);
        float[] start = new float[columns * columns];
        Arrays.fill(start, 0.5f);
        int[][] shapes = {{rows, columns}, {columns, columns}};
        float[][] inputs = {x, start};
        Verb twice = (b, m) -> {
            b.addGram(m[0], m[1]);
            b.addGram(m[0].rows(0, (rows + 1) / 2), m[1]);
        };
        float[] expected = apply(reference, shapes, inputs, twice);
        float[] found = apply(backend, shapes, inputs, twice);
        double[] allowed = new double[expected.length];
        for (int i = 0; i < columns; i++) {
            for (int j = 0; j < columns; j++) {
                allowed[i * columns + j] = momentTolerance(rows, x, columns, i, x, columns, j);
            }
        }
        assertClose(expected, found, allowed, "Gram matrix of [" + rows + ", " + columns + "]");
        for (int i = 0; i < columns; i++) {
            for (int j = 0; j < i; j++) {
                assertEquals(found[j * columns + i], found[i * columns + j], "symmetry at " + i + ", " + j);
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"1,1,1", "3,5,7", "17,33,9", "64,300,64", "130,257,70", "5,1,66"})
    void subtractsProducts(int rows, int depth, int columns) {
        Random random = new Random(34);
        float[] a = random(random, rows * depth);
        float[] b = random(random, depth * columns);
        float[] c = random(random, rows * columns);
        int[][] shapes = {{rows, depth}, {depth, columns}, {rows, columns}};
        float[][] inputs = {a, b, c};
        Verb verb = (owner, m) -> owner.subtractProduct(m[0], m[1], m[2]);
        double[] allowed = new double[c.length];
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                double magnitude = Math.abs(c[i * columns + j]);
                for (int k = 0; k < depth; k++) {
                    magnitude += Math.abs((double) a[i * depth + k] * b[k * columns + j]);
                }
                allowed[i * columns + j] = Tolerances.sum(depth, magnitude);
            }
        }
        assertClose(apply(reference, shapes, inputs, verb), apply(backend, shapes, inputs, verb), allowed, "product");
    }

    @Test
    void subtractsProductsOfViews() {
        Random random = new Random(35);
        float[] big = random(random, 60 * 60);
        int[][] shapes = {{60, 60}, {60, 60}};
        float[][] inputs = {big, random(random, 60 * 60)};
        Verb verb = (owner, m) ->
                owner.subtractProduct(m[0].view(1, 21, 3, 30), m[0].view(4, 30, 7, 41), m[1].view(10, 21, 5, 41));
        double[] allowed = new double[60 * 60];
        Arrays.fill(allowed, Tolerances.sum(30, 30));
        assertClose(apply(reference, shapes, inputs, verb), apply(backend, shapes, inputs, verb), allowed, "views");
    }

    /// `x·xᵀ` of more columns than rows, plus a damped diagonal: moments as GPTQ meets them.
    private static float[] positiveDefinite(Random random, int n) {
        int samples = 2 * n + 8;
        float[] x = random(random, n * samples);
        float[] a = new float[n * n];
        for (int i = 0; i < n; i++) {
            for (int j = 0; j <= i; j++) {
                double sum = i == j ? 0.01 * samples : 0;
                for (int k = 0; k < samples; k++) {
                    sum += (double) x[i * samples + k] * x[j * samples + k];
                }
                a[i * n + j] = (float) sum;
                a[j * n + i] = (float) sum;
            }
        }
        return a;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 17, 33, 64, 127, 128, 129, 200, 300})
    void factorsInverses(int n) {
        float[] a = positiveDefinite(new Random(36), n);
        Verb verb = (owner, m) -> {
            try {
                owner.invertToUpperFactor(m[0]);
            } catch (NotPositiveDefiniteException problem) {
                throw new AssertionError(problem);
            }
        };
        float[] expected = apply(reference, new int[][] {{n, n}}, new float[][] {a}, verb);
        float[] found = apply(backend, new int[][] {{n, n}}, new float[][] {a}, verb);
        double largest = 0;
        for (float value : expected) {
            largest = Math.max(largest, Math.abs(value));
        }
        // Eigenvalues of such a matrix lie within (1 ± sqrt(1/2))², a ratio below 35.
        double[] allowed = new double[n * n];
        Arrays.fill(allowed, Tolerances.factor(n, 35, largest));
        assertClose(expected, found, allowed, "factor of order " + n);
        for (int i = 0; i < n; i++) {
            assertTrue(found[i * n + i] > 0, "diagonal " + i);
            for (int j = 0; j < i; j++) {
                assertEquals(0f, found[i * n + j], "below the diagonal at " + i + ", " + j);
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"1,0", "40,13", "200,199", "200,150", "300,5"})
    void namesThePivotThatIsNotPositive(int n, int pivot) {
        float[] a = new float[n * n];
        for (int i = 0; i < n; i++) {
            a[i * n + i] = i == pivot ? -1 : 2;
        }
        try (Matrix matrix = matrix(backend, n, n, a)) {
            NotPositiveDefiniteException problem =
                    assertThrows(NotPositiveDefiniteException.class, () -> backend.invertToUpperFactor(matrix));
            assertEquals(pivot, problem.pivot());
        }
    }

    @Test
    void refusesToFactorWhatIsNotANumber() {
        float[] a = positiveDefinite(new Random(37), 20);
        a[19 * 20 + 19] = Float.NaN;
        try (Matrix matrix = matrix(backend, 20, 20, a)) {
            assertThrows(NotPositiveDefiniteException.class, () -> backend.invertToUpperFactor(matrix));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 3, 1000})
    void visitsEveryIndexOnce(int count) {
        AtomicIntegerArray visits = new AtomicIntegerArray(Math.max(1, count));
        backend.forRanges(count, (from, to) -> {
            for (int i = from; i < to; i++) {
                visits.incrementAndGet(i);
            }
        });
        for (int i = 0; i < count; i++) {
            assertEquals(1, visits.get(i), "index " + i);
        }
    }

    @Test
    void passesOnWhatATaskThrows() {
        IllegalStateException thrown = assertThrows(
                IllegalStateException.class,
                () -> backend.forRanges(100, (from, to) -> {
                    throw new IllegalStateException("range " + from);
                }));
        assertTrue(thrown.getMessage().startsWith("range "), thrown.getMessage());
        int[] visited = new int[1];
        backend.forRanges(1, (from, to) -> visited[0] = to);
        assertEquals(1, visited[0], "the pool works on after a failure");
    }

    @Test
    void refusesShapesThatDoNotFit() {
        Weight weight = dense(DType.F32, 3, 4, new float[12]);
        try (Linear linear = backend.bind(weight, null);
                Matrix a = backend.allocate(2, 4);
                Matrix b = backend.allocate(2, 3);
                Matrix c = backend.allocate(3, 3)) {
            assertThrows(IllegalArgumentException.class, () -> linear.multiply(a, c));
            assertThrows(IllegalArgumentException.class, () -> linear.multiply(b, b));
            assertThrows(IllegalArgumentException.class, () -> backend.copy(a, b));
            assertThrows(IllegalArgumentException.class, () -> backend.add(a, b));
            assertThrows(IllegalArgumentException.class, () -> backend.gatedActivation(a, a, b));
            assertThrows(IllegalArgumentException.class, () -> backend.rmsNorm(a, b, 1e-5f, a));
            assertThrows(IllegalArgumentException.class, () -> backend.addGram(a, c));
            assertThrows(IllegalArgumentException.class, () -> backend.addTransposedProduct(a, b, c));
            assertThrows(IllegalArgumentException.class, () -> backend.subtractProduct(a, b, c));
            assertThrows(IllegalArgumentException.class, () -> backend.invertToUpperFactor(b));
        }
    }

    @Test
    void describesItself() {
        assertTrue(!backend.description().isBlank());
    }
}

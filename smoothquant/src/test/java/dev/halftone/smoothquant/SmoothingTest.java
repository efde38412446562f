package dev.halftone.smoothquant;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.quantize.Fold;
import dev.halftone.core.quantize.InputStatistics;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.ActivationScheme.Kind;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class SmoothingTest {
    private static final QuantizationScheme SCHEME =
            new QuantizationScheme(8, QuantizationScheme.PER_CHANNEL, true, DType.F32, 0);
    private static final int WIDTH = 24;
    private static final int TOKENS = 40;

    private final Backend backend = new ReferenceBackend();

    private static Weight weight(int outputs, int inputs, float... values) {
        return new DenseWeight(Tensor.rounded("w", DType.F32, Shape.of(outputs, inputs), values, Arena.ofAuto()));
    }

    private static Fold fold(InputSite site, int width) {
        return new Fold(site, IntStream.range(0, width).toArray(), width);
    }

    private InputStatistics seen(int width, float... values) {
        InputStatistics seen = InputStatistics.withDetails(width, values.length / width, backend);
        Matrix x = backend.allocate(values.length / width, width);
        backend.copyIn(values, 0, x);
        seen.add(x);
        return seen;
    }

    private float[] divisors(SmoothingOptions options, Fold fold, List<Weight> weights, InputStatistics seen) {
        return new Smoothing(options).divisors(fold, weights, seen, SCHEME, backend);
    }

    /// Divisors matter only by their ratios.
    private static double[] ratios(float[] divisors) {
        double[] ratios = new double[divisors.length];
        Arrays.setAll(ratios, i -> divisors[i] / divisors[0]);
        return ratios;
    }

    @Test
    void dividesByTheMaximaOfInputsAndOfAllColumnsThatReadThem() {
        List<Weight> weights = List.of(weight(2, 3, 1, -4, 0, 0.5f, 2, 1), weight(1, 3, -2, 1, 0.25f));
        InputStatistics seen = seen(3, 1, 10, 3, -9, 2, 1);
        double[] inputs = {9, 10, 3};
        double[] columns = {2, 4, 1};
        for (double strength : new double[] {0, 0.5, 0.8, 1}) {
            double[] expected = new double[3];
            for (int i = 0; i < 3; i++) {
                expected[i] = Math.pow(inputs[i], strength) / Math.pow(columns[i], 1 - strength);
            }
            float[] found = divisors(
                    SmoothingOptions.fixed(strength, Kind.PER_TOKEN), fold(InputSite.MLP_INPUT, 3), weights, seen);
            for (int i = 0; i < 3; i++) {
                assertEquals(expected[i] / expected[0], found[i] / found[0], 1e-5, "strength " + strength);
            }
        }
    }

    @Test
    void channelsOfOneProducerShareTheLargestOfTheirMaxima() {
        // Two query heads of two channels read one head of v.
        Fold fold = new Fold(InputSite.ATTENTION_OUTPUT, new int[] {0, 1, 0, 1}, 2);
        InputStatistics seen = seen(4, 1, 2, 8, 1);
        float[] found =
                divisors(SmoothingOptions.fixed(1, Kind.PER_TOKEN), fold, List.of(weight(1, 4, 1, 1, 1, 1)), seen);
        assertEquals(2, found.length);
        assertEquals(8.0 / 2, found[0] / found[1], 1e-5);
    }

    @Test
    void staysFiniteWhereNothingWasSeenOrIsRead() {
        InputStatistics seen = seen(3, 0, 5, 2, 0, -1, 1);
        float[] found = divisors(
                SmoothingOptions.fixed(0.5, Kind.PER_TOKEN),
                fold(InputSite.MLP_OUTPUT, 3),
                List.of(weight(1, 3, 1, 0, 1)),
                seen);
        for (float divisor : found) {
            assertTrue(divisor > 0 && Float.isFinite(divisor), Arrays.toString(found));
        }
    }

    @ParameterizedTest
    @EnumSource(InputSite.class)
    void leavesTheProducersThatThePaperLeavesAloneIfAskedTo(InputSite site) {
        InputStatistics seen = seen(2, 1, 10);
        List<Weight> weights = List.of(weight(1, 2, 1, 1));
        SmoothingOptions all = SmoothingOptions.fixed(0.5, Kind.PER_TOKEN);
        assertNotNull(divisors(all, fold(site, 2), weights, seen));
        float[] norms = divisors(all.withFolds(SmoothingOptions.Folds.NORMS), fold(site, 2), weights, seen);
        boolean norm = site == InputSite.ATTENTION_INPUT || site == InputSite.MLP_INPUT;
        assertEquals(norm, norms != null);
    }

    private static float[] withOutliers(long seed) {
        Random random = new Random(seed);
        float[] x = new float[TOKENS * WIDTH];
        for (int i = 0; i < x.length; i++) {
            x[i] = (float) random.nextGaussian() * (i % WIDTH == 3 ? 60 : i % WIDTH == 11 ? 15 : 1);
        }
        return x;
    }

    private static List<Weight> randomWeights(long seed) {
        Random random = new Random(seed);
        float[] values = new float[10 * WIDTH];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return List.of(
                weight(6, WIDTH, Arrays.copyOf(values, 6 * WIDTH)),
                weight(4, WIDTH, Arrays.copyOfRange(values, 6 * WIDTH, 10 * WIDTH)));
    }

    private double error(Kind kind, List<Weight> weights, InputStatistics seen, float[] divisors) {
        try (StrengthSearch search =
                new StrengthSearch(fold(InputSite.MLP_INPUT, WIDTH), weights, seen.details(), SCHEME, kind, backend)) {
            return search.error(divisors);
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = Kind.class,
            names = {"PER_TOKEN", "PER_TENSOR"})
    void searchFindsTheStrengthOfLeastErrorAndGainsByIt(Kind kind) {
        List<Weight> weights = randomWeights(1);
        InputStatistics seen = seen(WIDTH, withOutliers(2));
        Fold fold = fold(InputSite.MLP_INPUT, WIDTH);
        SmoothingOptions searched = SmoothingOptions.searched(kind);
        double found = error(kind, weights, seen, divisors(searched, fold, weights, seen));
        double least = Double.POSITIVE_INFINITY;
        for (double strength : searched.strengths()) {
            float[] fixed = divisors(SmoothingOptions.fixed(strength, kind), fold, weights, seen);
            least = Math.min(least, error(kind, weights, seen, fixed));
        }
        assertEquals(least, found);
        assertTrue(found < error(kind, weights, seen, null) / 4, "an outlier of 60 costs the others their last bits");
    }

    @Test
    void searchLeavesASiteAloneThatNoStrengthImproves() {
        // Weights and inputs are even already, so that every strength divides by ones.
        float[] values = new float[6 * WIDTH];
        Arrays.fill(values, 0.5f);
        float[] x = new float[TOKENS * WIDTH];
        Arrays.fill(x, 1);
        List<Weight> weights = List.of(weight(6, WIDTH, values));
        InputStatistics seen = seen(WIDTH, x);
        assertNull(
                divisors(SmoothingOptions.searched(Kind.PER_TOKEN), fold(InputSite.MLP_OUTPUT, WIDTH), weights, seen));
    }

    @Test
    void errorIsThatOfRoundedWeightsTimesRoundedInputs() {
        List<Weight> weights = randomWeights(3);
        float[] x = withOutliers(4);
        InputStatistics seen = seen(WIDTH, x);
        double expected = 0;
        for (Weight weight : weights) {
            float[] w = weight.restore();
            for (int output = 0; output < weight.outputs(); output++) {
                float step =
                        RoundToNearest.grid(w, output * WIDTH, WIDTH, SCHEME).scale();
                for (int token = 0; token < TOKENS; token++) {
                    float[] row = Arrays.copyOfRange(x, token * WIDTH, (token + 1) * WIDTH);
                    float scale = ActivationScheme.PER_TOKEN.scaleOf(row, 0, WIDTH);
                    double difference = 0;
                    for (int i = 0; i < WIDTH; i++) {
                        double code = Math.clamp(Math.rint(w[output * WIDTH + i] / step), -128, 127);
                        double input = Math.clamp(Math.rint(row[i] / scale), -128, 127);
                        difference += step * code * scale * input - (double) w[output * WIDTH + i] * row[i];
                    }
                    expected += difference * difference;
                }
            }
        }
        assertEquals(expected, error(Kind.PER_TOKEN, weights, seen, null), 1e-3 * expected);
    }

    @Test
    void namesItsSettings() {
        Smoothing searched = new Smoothing(SmoothingOptions.searched(Kind.PER_TOKEN));
        assertEquals("smoothquant", searched.name());
        assertEquals("auto", searched.settings().get("smoothing_strength"));
        assertEquals("all", searched.settings().get("smoothing_folds"));
        SmoothingOptions fixed = SmoothingOptions.fixed(0.8, Kind.PER_TOKEN).withFolds(SmoothingOptions.Folds.NORMS);
        assertEquals(0.8, new Smoothing(fixed).settings().get("smoothing_strength"));
        assertEquals("norms", new Smoothing(fixed).settings().get("smoothing_folds"));
    }

    @ParameterizedTest
    @ValueSource(doubles = {-0.1, 1.01, Double.NaN})
    void refusesStrengthsOutOfTheirRange(double strength) {
        assertThrows(IllegalArgumentException.class, () -> SmoothingOptions.fixed(strength, Kind.NONE));
        assertThrows(
                IllegalArgumentException.class,
                () -> new SmoothingOptions(List.of(), SmoothingOptions.Folds.ALL, Kind.NONE));
    }

    @Test
    void ratiosAloneDecide() {
        float[] inputs = {4, 1, 0.25f};
        float[] columns = {1, 1, 1};
        float[] scaledInputs = {400, 100, 25};
        assertArrayEquals(
                ratios(Smoothing.divisors(inputs, columns, 0.5)),
                ratios(Smoothing.divisors(scaledInputs, columns, 0.5)),
                1e-6);
    }
}

package dev.halftone.awq;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.quantize.Fold;
import dev.halftone.core.quantize.InputStatistics;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.testing.SplittingBackend;
import dev.halftone.core.weight.QuantizationScheme;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class AwqScalingTest {
    private final Backend backend = new ReferenceBackend();

    private static float[] choose(SiteProblem problem, Fold fold, QuantizationScheme scheme, Backend arithmetic) {
        try (InputStatistics seen = problem.statistics(arithmetic)) {
            return new AwqScaling().divisors(fold, problem.dense(), seen, scheme, arithmetic);
        }
    }

    /// Output error of plain rounding with the inputs divided, token by token.
    private static double cost(SiteProblem problem, float[] divisors, QuantizationScheme scheme) {
        double cost = 0;
        for (float[] weight : problem.weights()) {
            cost += problem.outputError(weight, rounded(weight, problem.width(), divisors, scheme));
        }
        return cost;
    }

    private static float[] rounded(float[] weight, int width, float[] divisors, QuantizationScheme scheme) {
        float[] result = new float[weight.length];
        float[] row = new float[width];
        float[] restored = new float[width];
        for (int first = 0; first < weight.length; first += width) {
            for (int i = 0; i < width; i++) {
                row[i] = weight[first + i] * (divisors == null ? 1 : divisors[i]);
            }
            RoundToNearest.roundRow(row, scheme, restored);
            for (int i = 0; i < width; i++) {
                result[first + i] = restored[i] / (divisors == null ? 1 : divisors[i]);
            }
        }
        return result;
    }

    @ParameterizedTest
    @CsvSource({"4, 32, false", "4, 32, true", "3, 64, false", "2, 32, false", "3, -1, true"})
    void savesErrorWhereFewChannelsAreLoud(int bits, int groupSize, boolean symmetric) {
        QuantizationScheme scheme = QuantizationScheme.gptq(bits, groupSize, symmetric);
        SiteProblem problem = SiteProblem.random(64, 3, 24, 16);

        float[] divisors = choose(problem, problem.fold(), scheme, backend);

        double scaled = cost(problem, divisors, scheme);
        double plain = cost(problem, null, scheme);
        assertTrue(scaled < 0.8 * plain, scaled + " against " + plain);
        double loud = 0;
        double quiet = 0;
        for (int i = 0; i < divisors.length; i++) {
            loud += i % 9 == 0 ? divisors[i] / 8 : 0;
            quiet += i % 9 == 0 ? 0 : divisors[i] / 56;
        }
        assertTrue(loud > 1.5 * quiet, "loud channels are divided by " + loud + ", the others by " + quiet);
    }

    @ParameterizedTest
    @CsvSource({"1, 4, 32", "2, 3, 32", "3, 2, 16", "4, 8, 64", "5, 4, -1"})
    void neverCostsMoreThanNoScaling(long seed, int bits, int groupSize) {
        QuantizationScheme scheme = QuantizationScheme.gptqV2(bits, groupSize, false);
        SiteProblem problem = SiteProblem.random(64, seed, 8);

        float[] divisors = choose(problem, problem.fold(), scheme, backend);

        assertTrue(cost(problem, divisors, scheme) <= cost(problem, null, scheme) * (1 + 1e-4));
    }

    @Test
    void scoresWhatRoundingCostsTokenByToken() {
        QuantizationScheme scheme = QuantizationScheme.gptq(3, 32, false);
        SiteProblem problem = SiteProblem.random(64, 5, 24, 8);
        float[] divisors = Divisors.candidate(
                IntStream.range(0, 64)
                        .boxed()
                        .collect(() -> new float[64], (all, i) -> all[i] = 1 + i % 7, (a, b) -> {}),
                null,
                12);
        try (InputStatistics seen = problem.statistics(backend)) {
            RoundingCost score = new RoundingCost(WeightRows.of(problem.dense()), seen.moments(), scheme, backend);
            assertEquals(1, score.of(divisors) / cost(problem, divisors, scheme), 1e-4);
            assertEquals(1, score.of(null) / cost(problem, null, scheme), 1e-4);
        }
    }

    @Test
    void givesAllQueryHeadsOfAKeyHeadTheSameDivisors() {
        // Two key/value heads of 16, each read by two query heads.
        int[] producer = IntStream.range(0, 64)
                .map(channel -> channel / 32 * 16 + channel % 16)
                .toArray();
        Fold fold = new Fold(InputSite.ATTENTION_OUTPUT, producer, 32);
        QuantizationScheme scheme = QuantizationScheme.gptq(3, 32, false);
        // Channel 0 is loud in its first query head, and quiet in the second.
        SiteProblem problem = SiteProblem.random(64, 9, 24);

        float[] divisors = choose(problem, fold, scheme, backend);

        assertEquals(32, divisors.length);
        float[] spread = fold.spread(divisors);
        assertEquals(spread[0], spread[16]);
        assertTrue(cost(problem, spread, scheme) < cost(problem, null, scheme));
        assertTrue(divisors[0] > divisors[1] && divisors[2] > divisors[1], Arrays.toString(divisors));
    }

    @Test
    void leavesAloneWhatRoundsWithoutLoss() {
        float[] weight = new float[32];
        for (int i = 0; i < 32; i++) {
            weight[i] = i % 16 - 8;
        }
        SiteProblem random = SiteProblem.random(32, 1, 1);
        SiteProblem problem = new SiteProblem(List.of(weight), random.tokens(), 32);

        assertNull(choose(problem, problem.fold(), QuantizationScheme.gptq(4, 32, false), backend));
    }

    @Test
    void givesUsableDivisorsToDeadChannelsAndGroupsOfZeros() {
        SiteProblem problem = SiteProblem.random(64, 7, 16);
        float[] weight = problem.weights().getFirst();
        float[] tokens = problem.tokens();
        for (int i = 0; i < weight.length; i++) {
            weight[i] = i % 64 >= 32 ? 0 : weight[i];
        }
        for (int i = 0; i < tokens.length; i++) {
            tokens[i] = i % 64 == 5 ? 0 : tokens[i];
        }

        float[] divisors = choose(problem, problem.fold(), QuantizationScheme.gptq(4, 32, true), backend);

        assertNotNull(divisors);
        for (float divisor : divisors) {
            assertTrue(divisor >= 1 / 257f && divisor <= 257, Arrays.toString(divisors));
        }
    }

    @Test
    void survivesHugeWeightsBesideTinyOnes() {
        SiteProblem problem = SiteProblem.random(64, 7, 16);
        float[] weight = problem.weights().getFirst();
        for (int i = 0; i < weight.length; i++) {
            weight[i] *= i % 64 < 32 ? 1e25f : 1e-30f;
        }
        QuantizationScheme wide = QuantizationScheme.compressedTensors(4, 32, true, dev.halftone.core.tensor.DType.F32);

        float[] divisors = choose(problem, problem.fold(), wide, backend);

        assertNotNull(divisors);
        assertTrue(cost(problem, divisors, wide) < cost(problem, null, wide));
    }

    @Test
    void saysSoWhenErrorsOutgrowFloat32() {
        SiteProblem problem = SiteProblem.random(32, 7, 4);
        float[] tokens = problem.tokens();
        for (int i = 0; i < tokens.length; i++) {
            tokens[i] *= 1e25f;
        }

        HalftoneException failure = assertThrows(
                HalftoneException.class,
                () -> choose(problem, problem.fold(), QuantizationScheme.gptq(4, 32, true), backend));

        assertEquals(HalftoneException.Kind.NUMERICS, failure.kind());
        assertTrue(failure.getMessage().contains("gate_proj"), failure.explanation());
    }

    @Test
    void choosesTheSameHoweverTheRowsAreSplit() {
        QuantizationScheme scheme = QuantizationScheme.gptq(3, 32, false);
        SiteProblem problem = SiteProblem.random(64, 11, 40, 24);

        assertArrayEquals(
                choose(problem, problem.fold(), scheme, backend),
                choose(problem, problem.fold(), scheme, SplittingBackend.of(7)));
    }

    @Test
    void letsRowsSpeakForAsManyAsThereAre() {
        SiteProblem problem = SiteProblem.random(16, 2, 1000, 20);
        float[] first = problem.weights().getFirst();
        for (int row = 0; row < 1000; row++) {
            first[row * 16] = row;
        }

        WeightRows rows = WeightRows.of(problem.dense());

        assertEquals(276, rows.count());
        assertEquals(1000f / 256, rows.importance()[255]);
        assertEquals(1f, rows.importance()[256]);
        assertEquals(0, rows.values()[0]);
        assertEquals(500, rows.values()[128 * 16]);
        assertEquals(996, rows.values()[255 * 16]);
        assertArrayEquals(problem.weights().get(1), Arrays.copyOfRange(rows.values(), 256 * 16, 276 * 16));
    }

    @Test
    void measuresWeightsAgainstTheLargestOfTheirGroup() {
        SiteProblem problem = new SiteProblem(List.of(new float[] {1, -2, 0, 0, -3, 3, 8, 2}), new float[4], 4);

        WeightRows rows = WeightRows.of(problem.dense());

        assertArrayEquals(
                new float[] {0.75f, 1, 0.5f, 0.125f}, rows.shares(QuantizationScheme.gptq(4, 2, true)), 1e-6f);
        assertArrayEquals(
                new float[] {(0.5f + 0.375f) / 2, (1 + 0.375f) / 2, 0.5f, 0.125f},
                rows.shares(QuantizationScheme.gptq(4, -1, true)),
                1e-6f);
    }
}

package dev.halftone.awq;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.quantize.InputStatistics;
import dev.halftone.core.quantize.QuantizationError;
import dev.halftone.core.quantize.Quantized;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.testing.SplittingBackend;
import dev.halftone.core.weight.AffineGrid;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class AwqClippingTest {
    private final Backend backend = new ReferenceBackend();

    private static Quantized clip(SiteProblem problem, QuantizationScheme scheme, Backend arithmetic) {
        try (InputStatistics seen = problem.statistics(arithmetic)) {
            return new AwqClipping().quantize("q_proj", problem.weight(0), scheme, seen, arithmetic);
        }
    }

    private double roundingError(SiteProblem problem, QuantizationScheme scheme) {
        return problem.outputError(
                problem.weights().getFirst(),
                RoundToNearest.round(problem.weight(0), scheme, backend).restore());
    }

    private static double error(SiteProblem problem, QuantizedWeight weight) {
        return problem.outputError(problem.weights().getFirst(), weight.restore());
    }

    @ParameterizedTest
    @CsvSource({
        "1, 4, 32, false",
        "2, 4, 32, true",
        "3, 3, 64, false",
        "4, 3, 16, true",
        "5, 2, 32, false",
        "6, 2, -1, true",
        "7, 8, 32, false"
    })
    void neverCostsMoreThanRoundingInAnyRow(long seed, int bits, int groupSize, boolean symmetric) {
        QuantizationScheme scheme = QuantizationScheme.gptq(bits, groupSize, symmetric);
        SiteProblem problem = SiteProblem.random(64, seed, 12);

        float[] clipped = clip(problem, scheme, backend).weight().restore();

        float[] original = problem.weights().getFirst();
        float[] rounded =
                RoundToNearest.round(problem.weight(0), scheme, backend).restore();
        for (int row = 0; row < 12; row++) {
            double found = problem.outputError(row(original, row), row(clipped, row));
            double plain = problem.outputError(row(original, row), row(rounded, row));
            assertTrue(found <= plain * (1 + 1e-4), "row " + row + ": " + found + " against " + plain);
        }
        double found = problem.outputError(original, clipped);
        double plain = problem.outputError(original, rounded);
        assertTrue(bits == 8 || found < 0.95 * plain, found + " against " + plain);
    }

    private static float[] row(float[] values, int row) {
        return Arrays.copyOfRange(values, row * 64, (row + 1) * 64);
    }

    /// Against the same search spelled out, with the error of every candidate taken token by token.
    @ParameterizedTest
    @CsvSource({"-1, true", "16, true", "16, false", "32, false"})
    void takesTheCheapestShrunkenRangeOfEachGroupInTurn(int groupSize, boolean symmetric) {
        QuantizationScheme scheme = QuantizationScheme.gptq(3, groupSize, symmetric);
        SiteProblem problem = SiteProblem.random(64, 21, 6);

        float[] clipped = clip(problem, scheme, backend).weight().restore();

        for (int row = 0; row < 6; row++) {
            float[] values = row(problem.weights().getFirst(), row);
            float[] expected = new float[64];
            RoundToNearest.roundRow(values, scheme, expected);
            for (int from = 0; from < 64; from += scheme.groupLength(64)) {
                takeCheapest(problem, values, expected, from, scheme);
            }
            double found = problem.outputError(values, row(clipped, row));
            assertEquals(1, found / problem.outputError(values, expected), 1e-4, "row " + row);
        }
    }

    private static void takeCheapest(
            SiteProblem problem, float[] values, float[] restored, int from, QuantizationScheme scheme) {
        int to = from + scheme.groupLength(64);
        float low = 0;
        float high = 0;
        for (int i = from; i < to; i++) {
            low = Math.min(low, values[i]);
            high = Math.max(high, values[i]);
        }
        double least = problem.outputError(values, restored);
        float[] trial = restored.clone();
        for (int step = 1; step < 10; step++) {
            float share = 1 - step / 20f;
            float limit = Math.max(-low, high) * share;
            AffineGrid grid = scheme.symmetric()
                    ? AffineGrid.ofExtreme(share * (high > -low ? high : low), scheme)
                    : AffineGrid.ofRange(Math.max(low, -limit), Math.min(high, limit), scheme);
            for (int i = from; i < to; i++) {
                trial[i] = grid.restore(grid.code(values[i]));
            }
            double error = problem.outputError(values, trial);
            if (error < least) {
                least = error;
                System.arraycopy(trial, from, restored, from, to - from);
            }
        }
    }

    @Test
    void clipsAnOutlierOfAChannelThatIsHardlyActive() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 32, false);
        SiteProblem problem = SiteProblem.random(32, 4, 1);
        problem.weights().getFirst()[5] = 0.6f;
        for (int i = 5; i < problem.tokens().length; i += 32) {
            problem.tokens()[i] *= 1e-3f;
        }

        Quantized clipped = clip(problem, scheme, backend);

        float range = RoundToNearest.round(problem.weight(0), scheme, backend).scales()[0];
        assertTrue(clipped.weight().scales()[0] < 0.8f * range, clipped.weight().scales()[0] + " of " + range);
        assertTrue(error(problem, clipped.weight()) < 0.6 * roundingError(problem, scheme));
    }

    @Test
    void keepsARangeThatLosesNothing() {
        float[] weight = new float[64];
        for (int i = 0; i < 64; i++) {
            weight[i] = 0.25f * (i % 16 - 7);
        }
        SiteProblem problem =
                new SiteProblem(List.of(weight), SiteProblem.random(32, 1, 1).tokens(), 32);
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 32, false);

        QuantizedWeight clipped = clip(problem, scheme, backend).weight();

        assertArrayEquals(weight, clipped.restore());
    }

    @Test
    void reportsTheErrorThatTheTokensSee() {
        QuantizationScheme scheme = QuantizationScheme.gptq(3, 32, false);
        SiteProblem problem = SiteProblem.random(64, 17, 20);

        Quantized clipped = clip(problem, scheme, backend);

        QuantizationError reported = clipped.error();
        assertEquals(QuantizationError.Measure.OUTPUTS, reported.measure());
        assertEquals(1, reported.sum() / error(problem, clipped.weight()), 1e-4);
        double size = problem.outputError(problem.weights().getFirst(), new float[20 * 64]);
        assertEquals(1, reported.relative() * size / reported.sum(), 1e-4);
        assertEquals(1, reported.rounding() * size / roundingError(problem, scheme), 1e-4);
    }

    @Test
    void findsTheSameHoweverTheRowsAreSplit() {
        QuantizationScheme scheme = QuantizationScheme.gptq(3, 16, false);
        // More rows than are searched at a time.
        SiteProblem problem = SiteProblem.random(32, 13, 300);

        QuantizedWeight one = clip(problem, scheme, backend).weight();
        QuantizedWeight other = clip(problem, scheme, SplittingBackend.of(5)).weight();

        assertArrayEquals(one.codes(), other.codes());
        assertArrayEquals(one.scales(), other.scales());
        assertArrayEquals(one.zeros(), other.zeros());
    }

    @Test
    void findsForARowWhatItFindsForItAlone() {
        QuantizationScheme scheme = QuantizationScheme.gptq(3, 16, true);
        SiteProblem problem = SiteProblem.random(32, 13, 300);
        float[] last = Arrays.copyOfRange(problem.weights().getFirst(), 299 * 32, 300 * 32);

        float[] all = clip(problem, scheme, backend).weight().restore();
        float[] alone = clip(new SiteProblem(List.of(last), problem.tokens(), 32), scheme, backend)
                .weight()
                .restore();

        assertArrayEquals(alone, Arrays.copyOfRange(all, 299 * 32, 300 * 32));
    }

    @Test
    void keepsGroupsOfZerosAndDeadChannelsFinite() {
        SiteProblem problem = SiteProblem.random(64, 8, 4);
        Arrays.fill(problem.weights().getFirst(), 0, 32, 0);
        for (int i = 0; i < problem.tokens().length; i++) {
            problem.tokens()[i] = i % 64 >= 48 ? 0 : problem.tokens()[i];
        }

        Quantized clipped = clip(problem, QuantizationScheme.gptq(4, 32, true), backend);

        float[] restored = clipped.weight().restore();
        for (int i = 0; i < restored.length; i++) {
            assertTrue(Float.isFinite(restored[i]));
            assertTrue(i >= 32 || restored[i] == 0);
        }
    }

    @Test
    void countsNoErrorWhereNothingIsActive() {
        SiteProblem problem = new SiteProblem(SiteProblem.random(32, 8, 4).weights(), new float[8 * 32], 32);

        Quantized clipped = clip(problem, QuantizationScheme.gptq(4, 32, true), backend);

        assertEquals(0, clipped.error().relative());
        assertArrayEquals(
                RoundToNearest.round(problem.weight(0), QuantizationScheme.gptq(4, 32, true), backend)
                        .codes(),
                clipped.weight().codes());
    }

    @Test
    void namesTheLinearWhoseInputsOverflow() {
        SiteProblem problem = SiteProblem.random(32, 8, 4);
        problem.tokens()[3] = 1e30f;

        HalftoneException failure = assertThrows(
                HalftoneException.class, () -> clip(problem, QuantizationScheme.gptq(4, 32, true), backend));

        assertEquals(HalftoneException.Kind.NUMERICS, failure.kind());
        assertTrue(failure.getMessage().contains("q_proj"), failure.explanation());
    }
}

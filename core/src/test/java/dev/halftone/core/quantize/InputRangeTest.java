package dev.halftone.core.quantize;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.weight.ActivationScheme;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class InputRangeTest {
    /// The share of its value that a counted magnitude may be off by.
    private static final float PRECISION = 0x1p-11f;

    private static InputMagnitudes seen(float[]... windows) {
        InputMagnitudes seen = new InputMagnitudes();
        for (float[] window : windows) {
            seen.add(window, window.length);
            seen.endWindow();
        }
        return seen;
    }

    private static float[] normal(int count, long seed) {
        Random random = new Random(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    private static double squaredError(float[] values, float range) {
        float[] codes = new float[values.length];
        float scale = ActivationScheme.scaleOfRange(range);
        ActivationScheme.round(values, 0, values.length, scale, codes);
        double error = 0;
        for (int i = 0; i < values.length; i++) {
            error += Math.pow(values[i] - scale * codes[i], 2);
        }
        return error;
    }

    @Test
    void minMaxCutsNothingOff() {
        assertEquals(7f, InputRange.MIN_MAX.of(seen(new float[] {1, -7, 3}, new float[] {2, 0})));
    }

    @Test
    void movingAverageGoesAHundredthOfTheWayToEachWindowsLargest() {
        InputMagnitudes seen = seen(new float[] {10, 2}, new float[] {-20}, new float[] {0, 5});
        float afterSecond = 10 + 0.01f * (20 - 10);
        assertEquals(afterSecond + 0.01f * (5 - afterSecond), InputRange.MOVING_AVERAGE.of(seen), 1e-6);
    }

    @Test
    void percentileLeavesOutTheLargestTenThousandth() {
        float[] values = new float[20000];
        for (int i = 0; i < values.length; i++) {
            values[i] = (i + 1) * (i % 2 == 0 ? 1 : -1);
        }
        values[19999] = 1e6f;
        float range = InputRange.PERCENTILE.of(seen(values));
        assertEquals(19998, range, 19998 * PRECISION);
        assertTrue(range >= 19998, "the share itself is inside");
    }

    @Test
    void squaredErrorFindsTheRangeThatAFullSearchFinds() {
        float[] values = normal(40000, 1);
        values[17] = 30;
        float found = InputRange.SQUARED_ERROR.of(seen(values));
        double least = Double.POSITIVE_INFINITY;
        for (int step = 1; step <= 100; step++) {
            least = Math.min(least, squaredError(values, 30f * step / 100));
        }
        // The counts know neither signs nor the last bits.
        assertEquals(least, squaredError(values, found), 0.02 * least);
        assertTrue(squaredError(values, found) < 0.9 * squaredError(values, 30), "cutting one number off is worth it");
    }

    @Test
    void countsTellTheErrorThatRoundingMakes() {
        float[] values = normal(40000, 2);
        for (float range : new float[] {0.5f, 2, 4, 9}) {
            double expected = squaredError(values, range);
            assertEquals(expected, seen(values).squaredError(range), 0.02 * expected, "range " + range);
        }
    }

    /// A bulk that fills a small part of the range, and a few numbers far away: what they would cost the bulk decides.
    @Test
    void entropyCutsFarNumbersOff() {
        float[] values = normal(200000, 3);
        values[5] = 60;
        values[6] = -45;
        float range = InputRange.ENTROPY.of(seen(values));
        assertTrue(range > 3 && range < 10, range + "");
    }

    @Test
    void entropyKeepsEverythingOfWhatFillsTheRangeEvenly() {
        float[] values = new float[100000];
        for (int i = 0; i < values.length; i++) {
            values[i] = (i + 0.5f) / values.length;
        }
        assertTrue(InputRange.ENTROPY.of(seen(values)) > 0.97f);
    }

    @ParameterizedTest
    @EnumSource(InputRange.class)
    void neverReachesBeyondWhatWasSeen(InputRange range) {
        for (float[] values : new float[][] {normal(3000, 4), {3}, {0, 0, 1e-20f}, {1e30f, -1e30f, 1}}) {
            float found = range.of(seen(values));
            float largest = 0;
            for (float value : values) {
                largest = Math.max(largest, Math.abs(value));
            }
            assertTrue(found > 0 && found <= largest, found + " of " + largest);
        }
    }

    @ParameterizedTest
    @EnumSource(InputRange.class)
    void makesAScaleEvenOfNothingButZeroes(InputRange range) {
        assertTrue(ActivationScheme.scaleOfRange(range.of(seen(new float[50]))) > 0);
    }

    @Test
    void doesNotOverlookWhatIsNotFinite() {
        assertEquals(
                Float.NaN, seen(new float[] {1, Float.NaN}, new float[] {2}).largest());
        assertEquals(
                Float.POSITIVE_INFINITY,
                seen(new float[] {1, Float.NEGATIVE_INFINITY}).largest());
    }

    @Test
    void countsEveryNumberOnceInAHistogram() {
        float[] values = normal(5000, 5);
        long[] histogram = seen(values).histogram(64);
        assertEquals(5000, Arrays.stream(histogram).sum());
        assertTrue(histogram[0] > histogram[40] && histogram[63] > 0);
    }

    @Test
    void belongsToInputsOfOneScale() {
        assertThrows(
                IllegalArgumentException.class,
                () -> new InputRounding(ActivationScheme.Kind.PER_TOKEN, InputRange.MIN_MAX));
        assertThrows(IllegalArgumentException.class, () -> new InputRounding(ActivationScheme.Kind.PER_TENSOR, null));
    }
}

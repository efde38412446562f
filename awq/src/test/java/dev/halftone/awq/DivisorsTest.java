package dev.halftone.awq;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DivisorsTest {
    @Test
    void arePowersOfTheActivityCentredOnOne() {
        // Square roots 1, 2 and 3, divided by the root of 1 * 3.
        float root = (float) Math.sqrt(3);
        assertArrayEquals(
                new float[] {1 / root, 2 / root, root}, Divisors.candidate(new float[] {1, 4, 9}, null, 10), 1e-6f);
    }

    @Test
    void areSmallerWhereTheWeightsAreLarge() {
        // 16^(1/4) / (shares^(3/4) + 1e-4)
        double[] expected = {2 / (1 / 8.0 + 1e-4), 2 / (1 + 1e-4)};
        double centre = Math.sqrt(expected[0] * expected[1]);
        assertArrayEquals(
                new float[] {(float) (expected[0] / centre), (float) (expected[1] / centre)},
                Divisors.candidate(new float[] {16, 16}, new float[] {1 / 16f, 1}, 5),
                1e-6f);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 10, 19})
    void stayFiniteAndNearEachOtherWhateverTheChannelsAreLike(int step) {
        float[] activity = {0, 1, 1, Float.MIN_VALUE, Float.MAX_VALUE, 1e-20f, 3, Float.POSITIVE_INFINITY, Float.NaN};
        float[] shares = {0.2f, 0, Float.NaN, 1, 1, 0.5f, 0.1f, 0.3f, 0.3f};
        for (float[] weights : new float[][] {null, shares}) {
            float[] divisors = Divisors.candidate(activity, weights, step);
            float least = Float.POSITIVE_INFINITY;
            float most = 0;
            for (float divisor : divisors) {
                assertTrue(divisor > 0 && divisor < Float.POSITIVE_INFINITY, Arrays.toString(divisors));
                least = Math.min(least, divisor);
                most = Math.max(most, divisor);
            }
            assertTrue(most / least <= 65536 * 1.001, Arrays.toString(divisors));
            assertEquals(1, least * most, 1e-4);
        }
    }

    @Test
    void areNoneWhereNoChannelSaysAnything() {
        assertNull(Divisors.candidate(new float[] {0, 0, Float.NaN}, null, 7));
    }

    @Test
    void areAllTheSameForExponentZeroWithoutWeights() {
        assertArrayEquals(new float[] {1, 1, 1}, Divisors.candidate(new float[] {0, 5, 1000}, null, 0));
    }
}

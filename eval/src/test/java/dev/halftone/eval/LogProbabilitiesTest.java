package dev.halftone.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.halftone.core.HalftoneException;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;

class LogProbabilitiesTest {
    @Test
    void agreesWithTheDefinition() {
        float[] logits = new float[1000];
        Random random = new Random(1);
        double sum = 0;
        for (int i = 0; i < logits.length; i++) {
            logits[i] = (float) (8 * random.nextGaussian());
            sum += Math.exp(logits[i]);
        }
        assertEquals(Math.log(sum), LogProbabilities.logSumExp(logits, 0, logits.length), 1e-12);
    }

    @Test
    void survivesLargeLogits() {
        assertEquals(10000 + Math.log(2), LogProbabilities.logSumExp(new float[] {9, 10000, 10000}, 1, 2), 1e-9);
    }

    @Test
    void exponentialsAreGoodToThirteenDigits() {
        for (double x = LogProbabilities.NEGLIGIBLE; x <= 0; x += 0.000917) {
            assertEquals(1, LogProbabilities.exp(x) / Math.exp(x), 2e-13, "of " + x);
        }
        assertEquals(1, LogProbabilities.exp(0));
        assertEquals(1, LogProbabilities.exp(1e-15), 1e-14);
        assertEquals(1, LogProbabilities.exp(LogProbabilities.NEGLIGIBLE) / Math.exp(-45), 1e-13);
    }

    @Test
    void findsTheLargestWhereverItStands() {
        for (int count = 1; count < 10; count++) {
            for (int place = 0; place < count; place++) {
                float[] logits = new float[count + 2];
                Arrays.fill(logits, -900);
                logits[1 + place] = 7;
                assertEquals(7, LogProbabilities.logSumExp(logits, 1, count));
                logits[1 + place] = Float.NaN;
                assertThrows(HalftoneException.class, () -> LogProbabilities.logSumExp(logits, 1, logits.length - 2));
            }
        }
    }

    @Test
    void refusesNotANumber() {
        assertThrows(HalftoneException.class, () -> LogProbabilities.logSumExp(new float[] {1, Float.NaN, 2}, 0, 3));
        assertThrows(
                HalftoneException.class,
                () -> LogProbabilities.logSumExp(new float[] {1, Float.POSITIVE_INFINITY, 2}, 0, 3));
    }

    @Test
    void ranksTheFirstOfEqualLogits() {
        assertEquals(1, LogProbabilities.argmax(new float[] {7, 1, 3, 3}, 1, 3));
    }

    @Test
    void meanKnowsItsStandardError() {
        Mean mean = new Mean();
        for (double value : new double[] {2, 4, 4, 4, 5, 5, 7, 9}) {
            mean.add(value);
        }
        assertEquals(5, mean.mean(), 1e-12);
        assertEquals(Math.sqrt(32.0 / 7 / 8), mean.standardError(), 1e-12);
    }

    @Test
    void aSingleValueHasNoStandardError() {
        Mean mean = new Mean();
        mean.add(3);
        assertEquals(Double.NaN, mean.standardError());
    }
}

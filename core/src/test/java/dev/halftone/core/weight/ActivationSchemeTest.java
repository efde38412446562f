package dev.halftone.core.weight;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.ActivationScheme.Kind;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ActivationSchemeTest {
    private static final QuantizationScheme SCHEME =
            new QuantizationScheme(8, QuantizationScheme.PER_CHANNEL, true, DType.F32, 0);

    @ParameterizedTest
    @ValueSource(floats = {0, -1, Float.NaN, Float.POSITIVE_INFINITY})
    void refusesScalesThatRestoreNothing(float scale) {
        assertThrows(IllegalArgumentException.class, () -> ActivationScheme.perTensor(scale));
    }

    @Test
    void hasAScaleOnlyWhereOneIsStored() {
        assertEquals(0.5f, ActivationScheme.perTensor(0.5f).scale());
        assertThrows(IllegalArgumentException.class, () -> new ActivationScheme(Kind.NONE, 0.5f));
        assertThrows(IllegalArgumentException.class, () -> new ActivationScheme(Kind.PER_TOKEN, 0.5f));
    }

    @Test
    void aWeightLeavesItsInputsAloneUnlessToldOtherwise() {
        QuantizedWeight weight = weight(null);
        assertSame(ActivationScheme.NONE, weight.activations());
        assertThrows(NullPointerException.class, () -> weight(null, null));
    }

    @Test
    void roundingOfInputsIsNoPartOfTheRestoredWeight() {
        assertArrayEquals(
                new float[] {-64, 63.5f},
                weight(null, ActivationScheme.perTensor(3)).restore());
    }

    @Test
    void takesTheScaleOfATokenFromItsLargestMagnitude() {
        float[] row = {100, 1, -51, 2, 100};
        assertEquals(0.4f, ActivationScheme.PER_TOKEN.scaleOf(row, 1, 3));
        assertEquals(0.25f, ActivationScheme.perTensor(0.25f).scaleOf(row, 1, 3));
        assertTrue(ActivationScheme.PER_TOKEN.scaleOf(new float[3], 0, 3) > 0, "of zeroes");
        assertThrows(IllegalStateException.class, () -> ActivationScheme.NONE.scaleOf(row, 0, 3));
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
    void hasNoScaleForWhatIsNotFinite(float value) {
        float[] row = {1, value, 2};
        assertEquals(Float.NaN, ActivationScheme.PER_TOKEN.scaleOf(row, 0, 3));
        assertEquals(Float.NaN, ActivationScheme.perTensor(1).scaleOf(row, 0, 3));
        ActivationScheme.round(row, 0, 3, Float.NaN, row);
        assertArrayEquals(new float[] {Float.NaN, Float.NaN, Float.NaN}, row);
    }

    @Test
    void roundsLikeTheFormula() {
        Random random = new Random(3);
        float[] row = new float[4000];
        for (int i = 0; i < row.length; i++) {
            // Many ties, and values far outside.
            row[i] = i % 2 == 0 ? random.nextInt(-300, 300) / 2f : (float) (random.nextGaussian() * 60);
        }
        row[0] = -0f;
        row[1] = Float.MAX_VALUE;
        row[2] = -Float.MAX_VALUE;
        for (float scale : new float[] {1, 0.37f, 1e-30f}) {
            float[] codes = new float[row.length - 1];
            ActivationScheme.round(row, 1, codes.length, scale, codes);
            for (int i = 0; i < codes.length; i++) {
                assertEquals(
                        (int) Math.clamp(Math.rint(row[i + 1] / scale), -128, 127), (int) codes[i], row[i + 1] + "");
            }
        }
    }

    @Test
    void roundsTheInputsOnlyOfWeightsThatAreIntegersUntilTheyAreScaled() {
        QuantizationScheme grouped = new QuantizationScheme(8, 1, true, DType.F32, 0);
        QuantizedWeight weight =
                new QuantizedWeight(grouped, 1, 2, new byte[2], new float[] {1, 1}, new int[] {128, 128}, null);
        assertThrows(IllegalArgumentException.class, () -> weight.withActivations(ActivationScheme.PER_TOKEN));
        QuantizedWeight shifted =
                new QuantizedWeight(SCHEME, 1, 2, new byte[2], new float[] {1}, new int[] {127}, null);
        assertThrows(IllegalArgumentException.class, () -> shifted.withActivations(ActivationScheme.PER_TOKEN));
        assertThrows(IllegalArgumentException.class, () -> weight(new int[] {0, 0}, ActivationScheme.PER_TOKEN));
    }

    private static QuantizedWeight weight(int[] groups) {
        return new QuantizedWeight(SCHEME, 1, 2, new byte[] {0, -1}, new float[] {0.5f}, new int[] {128}, groups);
    }

    private static QuantizedWeight weight(int[] groups, ActivationScheme activations) {
        return new QuantizedWeight(
                SCHEME, 1, 2, new byte[] {0, -1}, new float[] {0.5f}, new int[] {128}, groups, activations);
    }
}

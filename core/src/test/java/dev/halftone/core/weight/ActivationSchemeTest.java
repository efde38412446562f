package dev.halftone.core.weight;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.ActivationScheme.Kind;
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

    private static QuantizedWeight weight(int[] groups) {
        return new QuantizedWeight(SCHEME, 1, 2, new byte[] {0, -1}, new float[] {0.5f}, new int[] {128}, groups);
    }

    private static QuantizedWeight weight(int[] groups, ActivationScheme activations) {
        return new QuantizedWeight(
                SCHEME, 1, 2, new byte[] {0, -1}, new float[] {0.5f}, new int[] {128}, groups, activations);
    }
}

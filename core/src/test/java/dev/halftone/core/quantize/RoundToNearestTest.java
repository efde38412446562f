package dev.halftone.core.quantize;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.Weight;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class RoundToNearestTest {
    private static final QuantizationScheme PAIRS = new QuantizationScheme(2, 2, false, DType.F32, 0);

    private final ReferenceBackend backend = new ReferenceBackend();

    private static Weight weight(int inputs, float... values) {
        return new DenseWeight(Tensor.ofFloats("w", Shape.of(values.length / inputs, inputs), values, Arena.global()));
    }

    @Test
    void givesEveryGroupItsOwnGrid() {
        QuantizedWeight rounded = RoundToNearest.round(weight(4, 3, 0, 30, 11, 0, -6, 2, 1), PAIRS, backend);

        assertArrayEquals(new float[] {1, 10, 2, 2f / 3}, rounded.scales());
        assertArrayEquals(new int[] {0, 0, 3, 0}, rounded.zeros());
        assertArrayEquals(new byte[] {3, 0, 3, 1, 3, 0, 3, 2}, rounded.codes());
    }

    @Test
    void keepsAGroupOfZerosExactlyZero() {
        QuantizedWeight rounded = RoundToNearest.round(weight(4, 0, 0, 1, 3), PAIRS, backend);

        assertArrayEquals(new float[] {0, 0, 1, 3}, rounded.restore());
    }

    @Test
    void restoresARowLikeItsCodesDo() {
        float[] row = {0.3f, -0.2f, 0.77f, 0.1f, 0, 0.5f};
        QuantizationScheme scheme = QuantizationScheme.gptq(3, 3, true);
        float[] restored = new float[6];

        RoundToNearest.roundRow(row, scheme, restored);

        assertArrayEquals(RoundToNearest.round(weight(6, row), scheme, backend).restore(), restored);
    }

    @Test
    void countsTheErrorOfTheWeights() {
        // 11 becomes 10 and 1 becomes 4/3, everything else is met.
        Quantized quantized =
                new RoundToNearest().quantize("q", weight(4, 3, 0, 30, 11, 0, -6, 2, 1), PAIRS, null, backend);

        double error = 1 + 1.0 / 9;
        assertEquals(QuantizationError.Measure.WEIGHTS, quantized.error().measure());
        assertEquals(error, quantized.error().sum(), 1e-6);
        assertEquals(error / (9 + 900 + 121 + 36 + 4 + 1), quantized.error().relative(), 1e-9);
        assertEquals(2, quantized.error().rows());
        assertTrue(quantized.attempts().isEmpty());
    }

    @Test
    void countsNoErrorForAWeightOfZeros() {
        Quantized quantized = new RoundToNearest().quantize("q", weight(2, 0, 0), PAIRS, null, backend);

        assertEquals(0, quantized.error().relative());
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
    void findsNoGridForWhatIsNotFinite(float value) {
        assertThrows(ArithmeticException.class, () -> RoundToNearest.grid(new float[] {1, value, 2}, 0, 3, PAIRS));
    }

    @Test
    void needsNoMomentsAndHasNoSettings() {
        assertEquals("rtn", new RoundToNearest().name());
        assertTrue(new RoundToNearest().settings().isEmpty());
    }

    @Test
    void turnsASymmetricGridToTheSideThatReachesFarther() {
        QuantizationScheme scheme = new QuantizationScheme(3, 8, true, DType.F32, 0);
        float[] right = {4, 3, 2, 1, -1, -2, -3, 3};
        float[] left = {-4, -3, -2, -1, 1, 2, 3, -3};
        float[] even = {3.5f, 2.5f, 1.5f, .5f, -.5f, -1.5f, -2.5f, -3.5f};

        assertEquals(-1, RoundToNearest.grid(right, 0, 8, scheme).scale());
        assertEquals(1, RoundToNearest.grid(left, 0, 8, scheme).scale());
        assertArrayEquals(
                right, RoundToNearest.round(weight(8, right), scheme, backend).restore());
        assertArrayEquals(
                left, RoundToNearest.round(weight(8, left), scheme, backend).restore());
        assertTrue(RoundToNearest.extreme(even, 0, 8) < 0, "the negative one of two");
    }
}

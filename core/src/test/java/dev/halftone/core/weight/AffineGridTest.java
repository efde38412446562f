package dev.halftone.core.weight;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.tensor.DType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class AffineGridTest {
    @ParameterizedTest
    @CsvSource({"2, F16", "3, F16", "4, F16", "8, F16", "4, BF16", "8, BF16"})
    void sendsTheLargestWeightOfASymmetricGroupToTheOuterCode(int bits, DType type) {
        QuantizationScheme scheme = new QuantizationScheme(bits, 64, true, type, 0);
        for (float largest = 0.01f; largest < 10; largest *= 1.037f) {
            AffineGrid grid = AffineGrid.ofRange(-largest, 0.9f * largest, scheme);
            // It lies halfway between two codes, or further out.
            assertEquals(0, grid.code(-largest), grid + " for " + largest);
            assertEquals(grid.maximum(), grid.code(largest), grid + " for " + largest);
        }
    }

    @Test
    void errsByNoMoreThanHalfAStepAndTheRoundingOfTheScale() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 64, true);
        for (float largest = 0.01f; largest < 10; largest *= 1.037f) {
            AffineGrid grid = AffineGrid.ofRange(-largest, largest, scheme);
            for (int i = -50; i <= 50; i++) {
                float value = largest * i / 50;
                float error = Math.abs(grid.restore(grid.code(value)) - value);
                assertTrue(error <= grid.scale() * (0.5f + 7.5f * 0x1p-10f), error + " of " + grid);
            }
        }
    }

    @Test
    void storesScalesOfAsymmetricGroupsToTheNearest() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 64, false);
        // A step of 1 + 2^-11 and a bit rounds up in float16.
        float step = 1 + 0x1.2p-11f;
        assertEquals(1 + 0x1p-10f, AffineGrid.ofRange(0, 15 * step, scheme).scale());
        assertEquals(
                1f,
                AffineGrid.ofRange(-7.5f * step, 7.5f * step, QuantizationScheme.gptq(4, 64, true))
                        .scale());
    }

    @Test
    void keepsScalesPositiveHoweverSmallTheWeights() {
        assertEquals(
                0x1p-24f,
                AffineGrid.ofRange(-1e-12f, 1e-12f, QuantizationScheme.gptq(4, 64, true))
                        .scale());
        assertEquals(
                65504f,
                AffineGrid.ofRange(-1e30f, 1e30f, QuantizationScheme.gptq(4, 64, true))
                        .scale());
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4, 8})
    void endsInTheExtremeOnEitherSide(int bits) {
        QuantizationScheme scheme = new QuantizationScheme(bits, 64, true, DType.F32, 0);
        for (float extreme : new float[] {-0.75f, 0.75f}) {
            AffineGrid grid = AffineGrid.ofExtreme(extreme, scheme);
            assertEquals(0, grid.code(extreme));
            assertEquals(extreme, grid.restore(0));
            assertEquals(0, grid.restore(grid.zero()) + 0f, "or minus zero");
            assertEquals(1 << bits - 1, grid.zero());
            assertEquals(grid.maximum(), grid.code(-extreme), "clipped");
            assertEquals(-extreme + extreme / (1 << bits - 1), grid.restore(grid.maximum()));
        }
    }

    @Test
    void keepsTheSignOfAScale() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 64, true);
        assertEquals(-0x1p-24f, AffineGrid.storable(-1e-12f, scheme));
        assertEquals(-65504f, AffineGrid.storable(-1e30f, scheme));
        assertEquals(-0.1f, AffineGrid.storable(-0.1f, scheme), 1e-4f);
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
    void hasNoGridForAnExtremeThatIsNotFinite(float extreme) {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 64, true);
        assertThrows(ArithmeticException.class, () -> AffineGrid.ofExtreme(extreme, scheme));
    }
}

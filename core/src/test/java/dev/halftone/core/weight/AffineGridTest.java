package dev.halftone.core.weight;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.tensor.DType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

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
}

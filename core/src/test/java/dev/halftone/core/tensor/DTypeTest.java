package dev.halftone.core.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class DTypeTest {
    @ParameterizedTest
    @EnumSource(
            value = DType.class,
            names = {"F32", "F16", "BF16"})
    void roundsDownToTheLargestNumberThatIsNotAbove(DType type) {
        for (float value = 1e-3f; value < 1e3f; value *= 1.0137f) {
            float down = type.roundDown(value);
            assertEquals(down, type.round(down), "is of the type");
            assertTrue(down <= value, down + " for " + value);
            // Halfway to the next number of the type or beyond, rounding to the nearest would go there.
            float next = type == DType.F32
                    ? Math.nextUp(down)
                    : type.round(down * (1 + (type == DType.F16 ? 0x1p-10f : 0x1p-7f)));
            assertTrue(next > value, next + " would do for " + value);
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = DType.class,
            names = {"F32", "F16", "BF16"})
    void keepsWhatItHoldsWhenRoundingDown(DType type) {
        for (float value : new float[] {0, 1, 1.5f, 0x1p-14f, 1024}) {
            assertEquals(value, type.roundDown(value));
        }
    }

    @Test
    void roundsDownAcrossPowersOfTwoAndBelowTheSmallest() {
        assertEquals(2 - 0x1p-10f, DType.F16.roundDown(Math.nextDown(2f)));
        assertEquals(2 - 0x1p-7f, DType.BF16.roundDown(Math.nextDown(2f)));
        assertEquals(0, DType.F16.roundDown(0x1.8p-25f), "the smallest number of float16 is 2^-24");
        assertEquals(65504f, DType.F16.roundDown(1e6f), "the largest one");
    }

    @Test
    void roundsNothingToIntegers() {
        assertThrows(IllegalArgumentException.class, () -> DType.I8.roundDown(1));
    }
}

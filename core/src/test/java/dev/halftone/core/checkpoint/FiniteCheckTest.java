package dev.halftone.core.checkpoint;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class FiniteCheckTest {
    private static final Path FILE = Path.of("m.safetensors");

    @ParameterizedTest
    @EnumSource(names = {"F32", "F16", "BF16"})
    void countsNanAndInfinityAndNamesTheFirst(DType type) {
        float[] values = {0, -1, Float.NaN, 65504, Float.NEGATIVE_INFINITY, Float.POSITIVE_INFINITY};
        Tensor tensor = Tensor.rounded("w", type, Shape.of(2, 3), values, Arena.ofAuto());
        MalformedCheckpointException fault =
                assertThrows(MalformedCheckpointException.class, () -> FiniteCheck.require(FILE, tensor));
        assertEquals("'m.safetensors', tensor 'w': holds NaN or infinity", fault.getMessage());
        assertEquals("3 of 6 elements, the first at index 2 of [2, 3]", fault.detail());
    }

    @Test
    void findsInfinityInDoubles() {
        double[] values = {1, Double.NEGATIVE_INFINITY};
        Tensor tensor = new Tensor(
                "w", DType.F64, Shape.of(2), MemorySegment.ofArray(values).asReadOnly());
        assertThrows(MalformedCheckpointException.class, () -> FiniteCheck.require(FILE, tensor));
        assertDoesNotThrow(() -> FiniteCheck.require(FILE, tensor, 0, 1));
    }

    @ParameterizedTest
    @EnumSource(names = {"F32", "F16", "BF16"})
    void acceptsEveryFiniteExtreme(DType type) {
        float largest = switch (type) {
            case F32 -> Float.MAX_VALUE;
            case F16 -> 65504f;
            case BF16 -> Float.intBitsToFloat(0x7F7F0000);
            default -> throw new IllegalArgumentException(type.toString());
        };
        float[] values = {largest, -largest, -0f, Float.MIN_VALUE};
        Tensor tensor = Tensor.rounded("w", type, Shape.of(4), values, Arena.ofAuto());
        assertDoesNotThrow(() -> FiniteCheck.require(FILE, tensor));
    }

    @Test
    void looksOnlyAtTheGivenRange() {
        float[] values = {Float.NaN, 1, 2, Float.NaN};
        Tensor tensor = Tensor.ofFloats("w", Shape.of(4), values, Arena.ofAuto());
        assertDoesNotThrow(() -> FiniteCheck.require(FILE, tensor, 1, 2));
        MalformedCheckpointException fault =
                assertThrows(MalformedCheckpointException.class, () -> FiniteCheck.require(FILE, tensor, 1, 3));
        assertEquals("1 of 3 elements, the first at index 3 of [4]", fault.detail());
        assertThrows(IndexOutOfBoundsException.class, () -> FiniteCheck.require(FILE, tensor, 2, 3));
    }

    @Test
    void findsNothingWrongWithIntegers() {
        Tensor tensor = Tensor.ofInts("w", Shape.of(1), new int[] {0x7F800000}, Arena.ofAuto());
        assertDoesNotThrow(() -> FiniteCheck.require(FILE, tensor));
    }
}

package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import dev.halftone.core.compute.Linear;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.Weight;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledIfSystemProperty;

class GemmTest {
    /// Less than what is packed.
    private static final int FEW = 50;

    private static void assertSameInPartsAndAsAWhole(int rows, int outputs, int inputs) {
        Weight weight = Samples.dense(DType.BF16, outputs, inputs);
        float[] bias = Samples.floats(outputs, 5);
        TestBackends.requireWidth();
        try (CpuBackend backend = new CpuBackend(VectorWidth.kernels(), null, 2, ProductMode.VECTOR, 1);
                Linear linear = backend.bind(weight, bias);
                Matrix x = Samples.matrix(backend, rows, inputs, 3);
                Matrix whole = backend.allocate(rows, outputs);
                Matrix parts = backend.allocate(rows, outputs)) {
            linear.multiply(x, whole);
            for (int row = 0; row < rows; row += FEW) {
                int count = Math.min(FEW, rows - row);
                linear.multiply(x.rows(row, count), parts.rows(row, count));
            }
            float[] found = Samples.values(backend, whole);
            assertArrayEquals(Samples.values(backend, parts), found);
            float[] otherRow = Arrays.copyOfRange(found, outputs, 2 * outputs);
            if (Arrays.equals(Arrays.copyOf(found, outputs), otherRow)) {
                throw new AssertionError("rows alike prove nothing");
            }
        }
    }

    /// Rows, columns and inputs that are no whole tiles, strips and panels.
    @Test
    void packedSidesGiveTheSameBits() {
        assertSameInPartsAndAsAWhole(139, 397, 646);
        assertSameInPartsAndAsAWhole(68, 256, 64);
    }

    /// More than is packed at a time.
    @Test
    @DisabledIfSystemProperty(named = VectorWidth.PROPERTY, matches = VectorWidth.SCALAR)
    void manyRowsArePackedInTurns() {
        assertSameInPartsAndAsAWhole(70, 260, 33_000);
    }
}

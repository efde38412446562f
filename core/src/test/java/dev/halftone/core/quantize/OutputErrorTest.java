package dev.halftone.core.quantize;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.ReferenceBackend;
import org.junit.jupiter.api.Test;

class OutputErrorTest {
    private final ReferenceBackend backend = new ReferenceBackend();

    @Test
    void isTheMeanSquareOfWhatTheChangeAddsToTheOutputs() {
        Matrix moments = backend.allocate(2, 2);
        // Of the tokens (1, 2) and (3, -1): the change (2, 1) adds 4 and 5 to their outputs.
        backend.copyIn(new float[] {5, -0.5f, -0.5f, 2.5f}, 0, moments);

        assertArrayEquals(
                new double[] {(16 + 25) / 2.0, 0},
                OutputError.ofRows(new float[] {2, 1, 0, 0}, 2, moments, backend),
                1e-6);
    }

    @Test
    void treatsManyRowsAlike() {
        Matrix moments = backend.allocate(1, 1);
        backend.copyIn(new float[] {2}, 0, moments);
        float[] changes = new float[600];
        for (int i = 0; i < changes.length; i++) {
            changes[i] = i;
        }

        double[] errors = OutputError.ofRows(changes, 600, moments, backend);

        for (int i = 0; i < errors.length; i++) {
            assertEquals(2.0 * i * i, errors[i], 1e-6 * i * i);
        }
    }
}

package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.compute.Linear;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.weight.Weight;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// oneDNN's products are cut by shape alone, so they too give the same bits for every number of threads.
class OneDnnDeterminismTest {
    private static float[] product(ProductMode mode, int threads, Weight weight, int rows) {
        try (CpuBackend backend = TestBackends.open(threads, mode);
                Linear linear = backend.bind(weight, null);
                Matrix x = Samples.matrix(backend, rows, weight.inputs(), 1);
                Matrix y = backend.allocate(rows, weight.outputs())) {
            linear.multiply(x, y);
            return Samples.values(backend, y);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "ONEDNN,9,200",
        "ONEDNN,70,200",
        "ONEDNN,300,200",
        "ONEDNN,40,2100",
        "ONEDNN_BF16,9,200",
        "ONEDNN_BF16,70,200",
        "ONEDNN_BF16,300,200",
        "ONEDNN_BF16,40,2100"
    })
    void linears(ProductMode mode, int rows, int outputs) {
        for (Weight weight : Samples.weights(outputs, 160)) {
            float[] expected = product(mode, 1, weight, rows);
            boolean anything = false;
            for (float value : expected) {
                anything |= value != 0;
            }
            assertTrue(anything, "a result of zeroes proves nothing");
            for (int threads : new int[] {2, 5}) {
                for (int repetition = 0; repetition < 2; repetition++) {
                    assertArrayEquals(expected, product(mode, threads, weight, rows), threads + " threads");
                }
            }
        }
    }
}

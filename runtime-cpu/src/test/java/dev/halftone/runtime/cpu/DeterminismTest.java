package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.compute.AttentionShape;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Linear;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.NotPositiveDefiniteException;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.Weight;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The same bits for every number of threads.
class DeterminismTest {
    private interface Computation {
        float[] on(Backend backend);
    }

    private static void assertSameForAllThreads(Computation computation) {
        float[] expected;
        try (Backend one = TestBackends.open(1)) {
            expected = computation.on(one);
        }
        boolean anything = false;
        for (float value : expected) {
            anything |= value != 0;
        }
        assertTrue(anything, "a result of zeroes proves nothing");
        for (int threads : new int[] {2, 5}) {
            try (Backend several = TestBackends.open(threads)) {
                for (int repetition = 0; repetition < 2; repetition++) {
                    assertArrayEquals(expected, computation.on(several), threads + " threads");
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 8, 16, 70, 150})
    void linears(int rows) {
        for (Weight weight : Samples.weights(200, 160)) {
            assertSameForAllThreads(backend -> {
                try (Linear linear = backend.bind(weight, null);
                        Matrix x = Samples.matrix(backend, rows, 160, 1);
                        Matrix y = backend.allocate(rows, 200)) {
                    linear.multiply(x, y);
                    return Samples.values(backend, y);
                }
            });
        }
    }

    /// So a sequence is answered alike alone and among others.
    @Test
    void rowsComeOutTheSameInEveryCompany() {
        int most = CpuLinear.SMALL_ROWS;
        try (Backend backend = TestBackends.open(2)) {
            for (Weight weight : Samples.weights(40, 160)) {
                try (Linear linear = backend.bind(weight, null);
                        Matrix x = Samples.matrix(backend, most, 160, 1);
                        Matrix y = backend.allocate(most, 40);
                        Matrix again = backend.allocate(most, 40)) {
                    for (int row = 0; row < most; row++) {
                        linear.multiply(x.rows(row, 1), y.rows(row, 1));
                    }
                    for (int rows = 2; rows <= most; rows++) {
                        linear.multiply(x.rows(most - rows, rows), again.rows(most - rows, rows));
                        assertArrayEquals(
                                Samples.values(backend, y.rows(most - rows, rows)),
                                Samples.values(backend, again.rows(most - rows, rows)),
                                rows + " rows of " + weight);
                    }
                }
            }
        }
    }

    @Test
    void linearsOfOneInput() {
        List<Weight> weights = Samples.weights(200, 160);
        assertSameForAllThreads(backend -> {
            Linear[] linears =
                    weights.stream().map(weight -> backend.bind(weight, null)).toArray(Linear[]::new);
            Matrix[] results =
                    weights.stream().map(weight -> backend.allocate(3, 200)).toArray(Matrix[]::new);
            float[] all = new float[3 * 200 * results.length];
            try (Matrix x = Samples.matrix(backend, 3, 160, 1)) {
                backend.multiplyAll(linears, x, results);
            }
            for (int i = 0; i < results.length; i++) {
                backend.copyOut(results[i], all, 3 * 200 * i);
                results[i].close();
                linears[i].close();
            }
            return all;
        });
    }

    @Test
    void gramMatricesAndProducts() {
        assertSameForAllThreads(backend -> {
            try (Matrix x = Samples.matrix(backend, 300, 150, 2);
                    Matrix gram = backend.allocate(150, 150);
                    Matrix product = backend.allocate(300, 150)) {
                backend.addGram(x, gram);
                backend.subtractProduct(x, gram, product);
                return Samples.values(backend, product);
            }
        });
    }

    @Test
    void factors() {
        assertSameForAllThreads(backend -> {
            try (Matrix x = Samples.matrix(backend, 700, 300, 3);
                    Matrix gram = backend.allocate(300, 300)) {
                backend.addGram(x, gram);
                backend.invertToUpperFactor(gram);
                return Samples.values(backend, gram);
            } catch (NotPositiveDefiniteException problem) {
                throw new AssertionError(problem);
            }
        });
    }

    @Test
    void attention() {
        AttentionShape shape = new AttentionShape(6, 2, 24, 0.2f, 1900);
        assertSameForAllThreads(backend -> {
            Batch batch = new Batch().add(0, 0, 70).add(1, 0, 1).add(2, 0, 33).add(3, 2100, 1);
            try (KvCache cache = backend.allocateCache(1, 4, 2200, shape, DType.F32);
                    Matrix q = Samples.matrix(backend, 105, shape.queryColumns(), 4);
                    Matrix k = Samples.matrix(backend, 105, shape.kvColumns(), 5);
                    Matrix v = Samples.matrix(backend, 105, shape.kvColumns(), 6);
                    Matrix out = backend.allocate(105, shape.queryColumns())) {
                backend.attention(q, k, v, shape, batch, cache, 0, out);
                return Samples.values(backend, out);
            }
        });
    }

    @Test
    void rows() {
        Random random = new Random(7);
        float[] weight = new float[96];
        for (int i = 0; i < weight.length; i++) {
            weight[i] = random.nextFloat();
        }
        assertSameForAllThreads(backend -> {
            try (Matrix x = Samples.matrix(backend, 301, 96, 8);
                    Matrix w = backend.allocate(1, 96);
                    Matrix y = backend.allocate(301, 96)) {
                backend.copyIn(weight, 0, w);
                backend.rmsNorm(x, w, 1e-5f, y);
                backend.gatedActivation(y, x, x);
                backend.add(x, y);
                return Samples.values(backend, y);
            }
        });
    }
}

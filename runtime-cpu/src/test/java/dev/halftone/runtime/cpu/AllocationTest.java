package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.sun.management.ThreadMXBean;
import dev.halftone.core.compute.AttentionShape;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Linear;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.Weight;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Once compiled, a step allocates nothing: a vector that the compiler fails to keep in registers would show here, and
/// cost a factor of ten.
@Timeout(300)
class AllocationTest {
    /// The compiler needs calls and time of its own, which a busy machine gives late.
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    @BeforeEach
    void requireCompiledCode() {
        Assumptions.assumeFalse(Memory.CHECKED, "the checked mode allocates");
    }

    /// Repeats `step` until the calling thread and the workers allocate nothing in a whole round.
    private static void assertAllocatesNothing(Backend backend, String what, int steps, Runnable step) {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long[] ids = Thread.getAllStackTraces().keySet().stream()
                .filter(t -> t == Thread.currentThread() || t.getName().startsWith("halftone-cpu-"))
                .mapToLong(Thread::threadId)
                .toArray();
        long allocated = -1;
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (allocated != 0 && System.nanoTime() < deadline) {
            long before = allocated(threads, ids);
            for (int i = 0; i < steps; i++) {
                step.run();
            }
            // Asking costs a little itself; ask twice to know how much.
            long after = allocated(threads, ids);
            allocated = after - before - (allocated(threads, ids) - after);
        }
        assertEquals(0, allocated, what + " on " + backend.description() + ": bytes in " + steps + " steps");
    }

    private static long allocated(ThreadMXBean threads, long[] ids) {
        long sum = 0;
        for (long id : ids) {
            sum += threads.getThreadAllocatedBytes(id);
        }
        return sum;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 4, 7, 12, 24})
    void ofLinears(int rows) {
        try (Backend backend = TestBackends.open(2)) {
            for (Weight weight : Samples.weights(144, 160)) {
                try (Linear linear = backend.bind(weight, null);
                        Matrix x = Samples.matrix(backend, rows, 160, 1);
                        Matrix y = backend.allocate(rows, 144)) {
                    assertAllocatesNothing(backend, rows + " rows", 400, () -> linear.multiply(x, y));
                }
            }
        }
    }

    @Test
    void ofLinearsByInputsOfSixteenBits() {
        Weight weight = Samples.weights(144, 160).getFirst();
        try (Backend backend = TestBackends.openWithoutTiles(2);
                Linear linear = backend.bind(weight, null);
                Matrix x = Samples.matrix(backend, 24, 160, 1);
                Matrix y = backend.allocate(24, 144)) {
            assertAllocatesNothing(backend, "24 rows", 400, () -> linear.multiply(x, y));
        }
    }

    @Test
    void ofLinearsOfOneInput() {
        try (Backend backend = TestBackends.open(2);
                Matrix x = Samples.matrix(backend, 1, 160, 1)) {
            List<Weight> weights = Samples.weights(144, 160);
            Linear[] linears =
                    weights.stream().map(weight -> backend.bind(weight, null)).toArray(Linear[]::new);
            Matrix[] results =
                    weights.stream().map(weight -> backend.allocate(1, 144)).toArray(Matrix[]::new);
            assertAllocatesNothing(backend, "all", 400, () -> backend.multiplyAll(linears, x, results));
            for (int i = 0; i < linears.length; i++) {
                linears[i].close();
                results[i].close();
            }
        }
    }

    @Test
    void ofADecodingStep() {
        AttentionShape shape = new AttentionShape(6, 2, 32, 0.2f, Integer.MAX_VALUE);
        try (Backend backend = TestBackends.open(2)) {
            List<Matrix> matrices = new ArrayList<>();
            for (int columns : new int[] {192, 64, 64, 192, 96, 96, 16, 16}) {
                matrices.add(Samples.matrix(backend, 1, columns, columns));
            }
            Matrix q = matrices.get(0);
            Matrix k = matrices.get(1);
            Matrix v = matrices.get(2);
            Matrix out = matrices.get(3);
            Matrix gate = matrices.get(4);
            Matrix up = matrices.get(5);
            Batch batch = new Batch();
            try (KvCache cache = backend.allocateCache(1, 1, 2200, shape, DType.F32);
                    KvCache half = backend.allocateCache(1, 1, 2200, shape, DType.F16)) {
                assertAllocatesNothing(backend, "decoding", 300, () -> {
                    batch.clear();
                    batch.add(0, 70, 1);
                    backend.rmsNorm(q, q, 1e-5f, q);
                    backend.rope(q, 32, matrices.get(6), matrices.get(7));
                    backend.attention(q, k, v, shape, batch, cache, 0, out);
                    backend.attention(q, k, v, shape, batch, half, 0, out);
                    batch.clear();
                    batch.add(0, 2100, 1);
                    backend.attention(q, k, v, shape, batch, cache, 0, out);
                    backend.add(out, q);
                    backend.gatedActivation(gate, up, gate);
                    backend.copy(up, gate);
                });
            }
            matrices.forEach(Matrix::close);
        }
    }

    @Test
    void ofPrefillAndGramMatrices() {
        AttentionShape shape = new AttentionShape(6, 2, 32, 0.2f, Integer.MAX_VALUE);
        Batch batch = Batch.single(0, 40);
        try (Backend backend = TestBackends.open(2);
                KvCache cache = backend.allocateCache(1, 1, 100, shape, DType.F32);
                Matrix q = Samples.matrix(backend, 40, 192, 1);
                Matrix k = Samples.matrix(backend, 40, 64, 2);
                Matrix out = backend.allocate(40, 192);
                Matrix gram = backend.allocate(64, 64);
                Matrix product = backend.allocate(40, 64)) {
            assertAllocatesNothing(backend, "prefill", 100, () -> {
                backend.attention(q, k, k, shape, batch, cache, 0, out);
                backend.addGram(k, gram);
                backend.subtractProduct(k, gram, product);
            });
        }
    }
}

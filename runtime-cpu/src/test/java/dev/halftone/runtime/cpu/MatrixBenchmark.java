package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.ReferenceBackend;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/// Matrix products and Gram matrices of order 1024. Compare `gigaflops` with [MachineBenchmark#multiplyAdd].
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 3, time = 1)
@Fork(
        value = 1,
        jvmArgsAppend = {"--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"})
public class MatrixBenchmark {
    private static final int SIZE = 1024;

    /// Per second, not per operation.
    @State(Scope.Thread)
    @AuxCounters(AuxCounters.Type.OPERATIONS)
    public static class Rates {
        public double gigaflops;
    }

    @Param({"1", "0"})
    public int threads;

    private CpuBackend backend;
    private Matrix a;
    private Matrix b;
    private Matrix c;

    @Setup(Level.Trial)
    public void allocate() {
        backend = new CpuBackend(threads);
        a = Samples.matrix(backend, SIZE, SIZE, 1);
        b = Samples.matrix(backend, SIZE, SIZE, 2);
        c = backend.allocate(SIZE, SIZE);
        checkAgainstReference();
    }

    private void checkAgainstReference() {
        try (ReferenceBackend reference = new ReferenceBackend();
                Matrix expectedX = Samples.matrix(reference, 300, 70, 3);
                Matrix expected = reference.allocate(70, 70);
                Matrix foundX = Samples.matrix(backend, 300, 70, 3);
                Matrix found = backend.allocate(70, 70)) {
            reference.addGram(expectedX, expected);
            backend.addGram(foundX, found);
            Samples.requireClose(Samples.values(reference, expected), Samples.values(backend, found));
            Matrix expectedSquare = expectedX.rows(0, 70);
            Matrix foundSquare = foundX.rows(0, 70);
            reference.subtractProduct(expectedX.rows(70, 70), expectedSquare, expected);
            backend.subtractProduct(foundX.rows(70, 70), foundSquare, found);
            Samples.requireClose(Samples.values(reference, expected), Samples.values(backend, found));
        }
    }

    @TearDown(Level.Trial)
    public void close() {
        a.close();
        b.close();
        c.close();
        backend.close();
    }

    @Benchmark
    public void subtractProduct(Rates rates) {
        backend.subtractProduct(a, b, c);
        rates.gigaflops += 2e-9 * SIZE * SIZE * SIZE;
    }

    /// Counts the work of one triangle, which is what must be done.
    @Benchmark
    public void addGram(Rates rates) {
        backend.addGram(a, c);
        rates.gigaflops += 1e-9 * SIZE * SIZE * (SIZE + 1.0);
    }
}

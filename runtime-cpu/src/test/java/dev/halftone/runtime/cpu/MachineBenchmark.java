package dev.halftone.runtime.cpu;

import static dev.halftone.core.tensor.AllMemory.ALL;
import static dev.halftone.runtime.cpu.Lanes.BYTES;
import static dev.halftone.runtime.cpu.Lanes.FLOATS;
import static dev.halftone.runtime.cpu.Lanes.ORDER;

import java.util.concurrent.TimeUnit;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
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

/// What the machine gives to code that only reads, or only multiplies and adds: the limits of the other benchmarks.
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 3, time = 1)
@Fork(
        value = 1,
        jvmArgsAppend = {"--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"})
public class MachineBenchmark {
    private static final long MEMORY = 256L << 20;
    private static final int CHUNKS = 64;
    private static final int STEPS = 1 << 16;

    /// Per second, not per operation.
    @State(Scope.Thread)
    @AuxCounters(AuxCounters.Type.OPERATIONS)
    public static class Reading {
        public double gigabytes;
    }

    /// Per second, not per operation.
    @State(Scope.Thread)
    @AuxCounters(AuxCounters.Type.OPERATIONS)
    public static class Computing {
        public double gigaflops;
    }

    @Param({"1", "0"})
    public int threads;

    private WorkerPool pool;
    private Memory memory;
    private final float[] results = new float[CHUNKS];

    @Setup(Level.Trial)
    public void allocate() {
        pool = new WorkerPool(threads == 0 ? Runtime.getRuntime().availableProcessors() : threads);
        memory = Memory.ofBytes(MEMORY);
        readChunk(3);
        if (results[3] != 0) {
            throw new IllegalStateException("fresh memory sums to " + results[3]);
        }
        multiplyAddChunk(3);
        if (results[3] != 8 * Lanes.COUNT * (float) STEPS) {
            throw new IllegalStateException("ones sum to " + results[3]);
        }
    }

    @TearDown(Level.Trial)
    public void close() {
        pool.close();
        memory.close();
    }

    @Benchmark
    public void read(Reading rates) {
        pool.split(CHUNKS, (worker, from, to) -> {
            for (int chunk = from; chunk < to; chunk++) {
                readChunk(chunk);
            }
        });
        rates.gigabytes += MEMORY * 1e-9;
    }

    private void readChunk(int chunk) {
        long quarter = MEMORY / CHUNKS / 4;
        long start = memory.address() + chunk * 4 * quarter;
        FloatVector sum0 = FloatVector.zero(FLOATS);
        FloatVector sum1 = FloatVector.zero(FLOATS);
        FloatVector sum2 = FloatVector.zero(FLOATS);
        FloatVector sum3 = FloatVector.zero(FLOATS);
        for (long at = start; at < start + quarter; at += BYTES) {
            sum0 = sum0.add(FloatVector.fromMemorySegment(FLOATS, ALL, at, ORDER));
            sum1 = sum1.add(FloatVector.fromMemorySegment(FLOATS, ALL, at + quarter, ORDER));
            sum2 = sum2.add(FloatVector.fromMemorySegment(FLOATS, ALL, at + 2 * quarter, ORDER));
            sum3 = sum3.add(FloatVector.fromMemorySegment(FLOATS, ALL, at + 3 * quarter, ORDER));
        }
        results[chunk] = sum0.add(sum1).add(sum2.add(sum3)).reduceLanes(VectorOperators.ADD);
    }

    @Benchmark
    public void multiplyAdd(Computing rates) {
        pool.split(CHUNKS, (worker, from, to) -> {
            for (int chunk = from; chunk < to; chunk++) {
                multiplyAddChunk(chunk);
            }
        });
        rates.gigaflops += 2e-9 * CHUNKS * STEPS * 8 * Lanes.COUNT;
    }

    private void multiplyAddChunk(int chunk) {
        FloatVector one = FloatVector.broadcast(FLOATS, 1f);
        FloatVector sum0 = FloatVector.zero(FLOATS);
        FloatVector sum1 = sum0;
        FloatVector sum2 = sum0;
        FloatVector sum3 = sum0;
        FloatVector sum4 = sum0;
        FloatVector sum5 = sum0;
        FloatVector sum6 = sum0;
        FloatVector sum7 = sum0;
        for (int i = 0; i < STEPS; i++) {
            sum0 = one.fma(one, sum0);
            sum1 = one.fma(one, sum1);
            sum2 = one.fma(one, sum2);
            sum3 = one.fma(one, sum3);
            sum4 = one.fma(one, sum4);
            sum5 = one.fma(one, sum5);
            sum6 = one.fma(one, sum6);
            sum7 = one.fma(one, sum7);
        }
        FloatVector first = sum0.add(sum1).add(sum2.add(sum3));
        results[chunk] = first.add(sum4.add(sum5).add(sum6.add(sum7))).reduceLanes(VectorOperators.ADD);
    }
}

package dev.halftone.runtime.cpu;

import static dev.halftone.core.tensor.AllMemory.ALL;
import static dev.halftone.runtime.cpu.Lanes.BYTES;
import static dev.halftone.runtime.cpu.Lanes.FLOATS;
import static dev.halftone.runtime.cpu.Lanes.ORDER;

import java.util.concurrent.TimeUnit;
import jdk.incubator.vector.FloatVector;
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

    private CpuBackend backend;
    private CpuProbe probe;
    private Memory memory; // [CHUNKS]
    private Memory sums; // [CHUNKS], a line each

    @Setup(Level.Trial)
    public void open() {
        backend = new CpuBackend(threads);
        probe = (CpuProbe) backend.probe(MEMORY).orElseThrow();
        probe.readingSpeed();
        if (probe.sum() != 0) {
            throw new IllegalStateException("fresh memory sums to " + probe.sum());
        }
        memory = Memory.ofBytes(MEMORY);
        sums = Memory.ofBytes(CHUNKS * Memory.LINE);
        Memory.zeroFloats(memory.address(), MEMORY / Float.BYTES);
        Memory.putFloat(memory.address() + MEMORY - Float.BYTES, 1);
        backend.forRanges(CHUNKS, this::readInOrder);
        float last = Lanes.sum(sums.address() + (CHUNKS - 1) * Memory.LINE);
        if (last != 1) {
            throw new IllegalStateException("the last chunk sums to " + last);
        }
    }

    @TearDown(Level.Trial)
    public void close() {
        memory.close();
        sums.close();
        probe.close();
        backend.close();
    }

    @Benchmark
    public void read(Reading rates) {
        probe.readingSpeed();
        rates.gigabytes += MEMORY * 1e-9;
    }

    /// Each thread one stream, from front to back, where [#read] has four.
    @Benchmark
    public void readInOrder(Reading rates) {
        backend.forRanges(CHUNKS, this::readInOrder);
        rates.gigabytes += MEMORY * 1e-9;
    }

    private void readInOrder(int from, int to) {
        for (int chunk = from; chunk < to; chunk++) {
            long place = memory.address() + chunk * (MEMORY / CHUNKS);
            long end = place + MEMORY / CHUNKS;
            FloatVector sum0 = FloatVector.zero(FLOATS);
            FloatVector sum1 = FloatVector.zero(FLOATS);
            FloatVector sum2 = FloatVector.zero(FLOATS);
            FloatVector sum3 = FloatVector.zero(FLOATS);
            for (; place < end; place += 4L * BYTES) {
                sum0 = FloatVector.fromMemorySegment(FLOATS, ALL, place, ORDER).add(sum0);
                sum1 = FloatVector.fromMemorySegment(FLOATS, ALL, place + BYTES, ORDER)
                        .add(sum1);
                sum2 = FloatVector.fromMemorySegment(FLOATS, ALL, place + 2L * BYTES, ORDER)
                        .add(sum2);
                sum3 = FloatVector.fromMemorySegment(FLOATS, ALL, place + 3L * BYTES, ORDER)
                        .add(sum3);
            }
            sum0.add(sum1).add(sum2.add(sum3)).intoMemorySegment(ALL, sums.address() + chunk * Memory.LINE, ORDER);
        }
    }

    @Benchmark
    public void multiplyAdd(Computing rates) {
        probe.multiplyAddSpeed();
        rates.gigaflops += 1e-9 * probe.operations();
    }
}

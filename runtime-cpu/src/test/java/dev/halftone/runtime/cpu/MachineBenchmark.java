package dev.halftone.runtime.cpu;

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

    @Setup(Level.Trial)
    public void open() {
        backend = new CpuBackend(threads);
        probe = (CpuProbe) backend.probe(MEMORY).orElseThrow();
        probe.readingSpeed();
        if (probe.sum() != 0) {
            throw new IllegalStateException("fresh memory sums to " + probe.sum());
        }
    }

    @TearDown(Level.Trial)
    public void close() {
        probe.close();
        backend.close();
    }

    @Benchmark
    public void read(Reading rates) {
        probe.readingSpeed();
        rates.gigabytes += MEMORY * 1e-9;
    }

    @Benchmark
    public void multiplyAdd(Computing rates) {
        probe.multiplyAddSpeed();
        rates.gigaflops += 1e-9 * probe.operations();
    }
}

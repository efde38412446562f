package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.Linear;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
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

/// Linears of decoding and of small batches, over so many copies of one weight that each is read from memory. Compare
/// `gigabytes` with [MachineBenchmark#read].
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 3, time = 1)
@Fork(
        value = 1,
        jvmArgsAppend = {"--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED", "-Xmx2g"})
public class LinearBenchmark {
    private static final int SIZE = 2048;
    private static final long MEMORY = 256L << 20;

    /// Per second, not per operation.
    @State(Scope.Thread)
    @AuxCounters(AuxCounters.Type.OPERATIONS)
    public static class Rates {
        public double gigabytes;
        public double gigaflops;
    }

    @Param({"int4", "int8", "int8-inputs", "bf16"})
    public String form;

    @Param({"1", "4", "16"})
    public int rows;

    @Param({"0"})
    public int threads;

    private CpuBackend backend;
    private Linear[] copies;
    private Matrix x;
    private Matrix y;
    private int next;

    private Weight weight(int outputs) {
        return switch (form) {
            case "int4" -> Samples.quantized(QuantizationScheme.gptq(4, 128, true), outputs, SIZE);
            case "int8" -> Samples.quantized(QuantizationScheme.gptq(8, 128, true), outputs, SIZE);
            case "int8-inputs" ->
                Samples.quantized(QuantizationScheme.gptq(8, QuantizationScheme.PER_CHANNEL, true), outputs, SIZE)
                        .withActivations(ActivationScheme.PER_TOKEN);
            case "bf16" -> Samples.dense(DType.BF16, outputs, SIZE);
            default -> throw new IllegalArgumentException(form);
        };
    }

    @Setup(Level.Trial)
    public void bind() {
        backend = new CpuBackend(threads);
        x = Samples.matrix(backend, rows, SIZE, 1);
        y = backend.allocate(rows, SIZE);
        checkAgainstReference();
        Linear first = backend.bind(weight(SIZE), null);
        copies = new Linear[Math.toIntExact(Math.ceilDiv(MEMORY, first.bytes()))];
        copies[0] = first;
        Weight weight = weight(SIZE);
        for (int i = 1; i < copies.length; i++) {
            copies[i] = backend.bind(weight, null);
        }
    }

    private void checkAgainstReference() {
        Weight weight = weight(64);
        try (ReferenceBackend reference = new ReferenceBackend();
                Linear expectedLinear = reference.bind(weight, null);
                Linear foundLinear = backend.bind(weight, null);
                Matrix expectedX = Samples.matrix(reference, rows, SIZE, 1);
                Matrix expected = reference.allocate(rows, 64);
                Matrix found = backend.allocate(rows, 64)) {
            expectedLinear.multiply(expectedX, expected);
            foundLinear.multiply(x, found);
            Samples.requireClose(Samples.values(reference, expected), Samples.values(backend, found));
        }
    }

    @TearDown(Level.Trial)
    public void close() {
        for (Linear linear : copies) {
            linear.close();
        }
        x.close();
        y.close();
        backend.close();
    }

    @Benchmark
    public void multiply(Rates rates) {
        Linear linear = copies[next];
        next = (next + 1) % copies.length;
        linear.multiply(x, y);
        rates.gigabytes += linear.bytes() * 1e-9;
        rates.gigaflops += 2e-9 * rows * SIZE * SIZE;
    }
}

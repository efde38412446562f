package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.AttentionShape;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
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

/// What a prompt and a calibration are made of: linears over many rows and causal attention, in every way there is. On
/// a
/// processor with AMX `onednn-bf16` goes by its tiles. Compare `gigaflops` with [MachineBenchmark#multiplyAdd].
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 3, time = 1)
@Fork(
        value = 1,
        jvmArgsAppend = {"--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED", "-Xmx2g"})
public class PromptBenchmark {
    private static final int SIZE = 2048;
    private static final AttentionShape SHAPE = new AttentionShape(32, 8, 64, 0.125f, Integer.MAX_VALUE);

    /// Rounding to eight bits on both sides, of sums of this many products.
    private static final double BFLOAT16_ERROR = 0.01;

    /// Per second, not per operation.
    @State(Scope.Thread)
    @AuxCounters(AuxCounters.Type.OPERATIONS)
    public static class Rates {
        public double gigaflops;
    }

    @Param({"vector", "onednn", "onednn-bf16"})
    public String matmul;

    /// Of linears. Attention does not depend on it.
    @Param({"int4", "int8-inputs"})
    public String form;

    @Param({"512"})
    public int rows;

    @Param({"0"})
    public int threads;

    private CpuBackend backend;
    private Linear linear;
    private Matrix x;
    private Matrix y;
    private Matrix keys;
    private Matrix values;
    private KvCache cache;

    private Weight weight(int outputs) {
        return switch (form) {
            case "int4" -> Samples.quantized(QuantizationScheme.gptq(4, 128, true), outputs, SIZE);
            case "int8-inputs" ->
                Samples.quantized(QuantizationScheme.gptq(8, QuantizationScheme.PER_CHANNEL, true), outputs, SIZE)
                        .withActivations(ActivationScheme.PER_TOKEN);
            default -> throw new IllegalArgumentException(form);
        };
    }

    @Setup(Level.Trial)
    public void bind() {
        backend = new CpuBackend(threads, ProductMode.of(matmul));
        checkLinear();
        checkAttention();
        linear = backend.bind(weight(SIZE), null);
        x = Samples.matrix(backend, rows, SIZE, 1);
        y = backend.allocate(rows, SIZE);
        keys = Samples.matrix(backend, rows, SHAPE.kvColumns(), 2);
        values = Samples.matrix(backend, rows, SHAPE.kvColumns(), 3);
        cache = backend.allocateCache(1, 1, rows, SHAPE, DType.F32);
    }

    private double allowed() {
        return matmul.equals("onednn-bf16") ? BFLOAT16_ERROR : Samples.FLOAT32_ERROR;
    }

    private void checkLinear() {
        Weight weight = weight(128);
        try (ReferenceBackend reference = new ReferenceBackend();
                Linear expectedLinear = reference.bind(weight, null);
                Linear foundLinear = backend.bind(weight, null);
                Matrix expectedX = Samples.matrix(reference, rows, SIZE, 1);
                Matrix foundX = Samples.matrix(backend, rows, SIZE, 1);
                Matrix expected = reference.allocate(rows, 128);
                Matrix found = backend.allocate(rows, 128)) {
            expectedLinear.multiply(expectedX, expected);
            foundLinear.multiply(foundX, found);
            Samples.requireClose(Samples.values(reference, expected), Samples.values(backend, found), allowed());
        }
    }

    private void checkAttention() {
        AttentionShape shape = new AttentionShape(4, 1, 64, 0.02f, Integer.MAX_VALUE);
        try (ReferenceBackend reference = new ReferenceBackend()) {
            Samples.requireClose(attention(reference, shape), attention(backend, shape), allowed());
        }
    }

    private float[] attention(Backend by, AttentionShape shape) {
        try (Matrix q = Samples.matrix(by, rows, shape.queryColumns(), 1);
                Matrix k = Samples.matrix(by, rows, shape.kvColumns(), 2);
                Matrix v = Samples.matrix(by, rows, shape.kvColumns(), 3);
                Matrix result = by.allocate(rows, shape.queryColumns());
                KvCache memory = by.allocateCache(1, 1, rows, shape, DType.F32)) {
            by.attention(q, k, v, shape, Batch.single(0, rows), memory, 0, result);
            return Samples.values(by, result);
        }
    }

    @TearDown(Level.Trial)
    public void close() {
        linear.close();
        for (Matrix matrix : new Matrix[] {x, y, keys, values}) {
            matrix.close();
        }
        cache.close();
        backend.close();
    }

    @Benchmark
    public void multiply(Rates rates) {
        linear.multiply(x, y);
        rates.gigaflops += 2e-9 * rows * SIZE * SIZE;
    }

    /// Counts the scores that must be computed and what they weigh.
    @Benchmark
    public void attend(Rates rates) {
        backend.attention(x, keys, values, SHAPE, Batch.single(0, rows), cache, 0, y);
        rates.gigaflops += 4e-9 * SHAPE.queryColumns() * rows * (rows + 1.0) / 2;
    }
}

package dev.halftone.runtime.cpu;

import com.sun.management.ThreadMXBean;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.runtime.cpu.OneDnn.Numbers;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

/// Times the ways of multiplying one small linear over many rows on this machine, now, and compares their results.
final class ProductProbe {
    /// By this factor oneDNN must be faster to be taken.
    private static final double CLEAR = 1.15;

    /// By this factor bfloat16 must be faster than what is exact: processors with units for it reach 2 to 8.
    private static final double WORTH_ROUNDING = 1.8;

    /// A prompt's worth: of fewer, restoring the weight would be most of the time.
    private static final int ROWS = 512;

    private static final int INPUTS = 512;
    private static final int OUTPUTS = 512;

    /// Where inputs begin in what weights are made of, so that the two differ.
    private static final int SHIFT = 3;

    /// Rows, inputs and outputs of the product that the compiler is shown first.
    private static final int SMALL = 64;

    /// What the compiler is waited for, at most: half a second is usual.
    private static final long PATIENCE_NANOS = 2_000_000_000L;

    private static final long TIMED_NANOS = 120_000_000L;
    private static final int LEAST_ROUNDS = 10;
    private static final long MOST_NANOS = 1_000_000_000L;

    /// Less than a thousand vectors.
    private static final long FEW_BYTES = 32 << 10;

    private final Kernels kernels;
    private final WorkerPool pool;
    private final Gemm gemm;
    private final PanelProduct panelProduct;
    private Numbers choice;
    private String figures;

    ProductProbe(Kernels kernels, WorkerPool pool, Gemm gemm, PanelProduct panelProduct) {
        this.kernels = kernels;
        this.pool = pool;
        this.gemm = gemm;
        this.panelProduct = panelProduct;
        measure();
    }

    /// The numbers that oneDNN should multiply with; null if vectors should do it.
    Numbers choice() {
        return choice;
    }

    /// What was measured, in one line.
    String figures() {
        return figures;
    }

    private void measure() {
        float[] ramp = new float[Math.max(ROWS, OUTPUTS) * INPUTS + SHIFT];
        for (int i = 0; i < ramp.length; i++) {
            // Few bits, so that every way must give the same sums exactly.
            ramp[i] = (i * 7 % 31 - 15) / 16f;
        }
        float[] weights = Arrays.copyOf(ramp, OUTPUTS * INPUTS);
        try (Arena arena = Arena.ofShared();
                CpuMatrix x = CpuMatrix.allocate(ROWS, INPUTS);
                CpuMatrix y = CpuMatrix.allocate(ROWS, OUTPUTS);
                CpuMatrix expected = CpuMatrix.allocate(ROWS, OUTPUTS);
                PackedWeight weight = WeightPacker.pack(
                        new DenseWeight(Tensor.rounded("probe", DType.BF16, Shape.of(OUTPUTS, INPUTS), weights, arena)),
                        null,
                        kernels.lanes(),
                        pool)) {
            Memory.copyFloats(ramp, SHIFT, x.address(), ROWS * INPUTS);
            Ways ways = new Ways(weight, x, y, expected);
            long deadline = System.nanoTime() + PATIENCE_NANOS;
            boolean compiled = warm(deadline, () -> ways.vector(SMALL, SMALL, SMALL));
            for (Numbers numbers : ways.floats) {
                compiled &= warm(deadline, () -> ways.oneDnn(numbers, SMALL));
            }
            ways.time();
            choice = choose(ways.vector, ways.of(Numbers.FLOAT32), compiled ? ways.of(Numbers.BFLOAT16) : 0);
            figures = String.format(
                    Locale.ROOT,
                    "measured %.0f GFLOP/s by vectors, %.0f by oneDNN in float32, %.0f in bfloat16%s",
                    ways.vector,
                    ways.of(Numbers.FLOAT32),
                    ways.of(Numbers.BFLOAT16),
                    compiled ? "" : "; the compiler did not finish in time");
        }
    }

    /// The rule, apart from the clock.
    static Numbers choose(double vector, double single, double half) {
        boolean exact = single >= CLEAR * vector;
        if (half >= WORTH_ROUNDING * Math.max(vector, single)) {
            return Numbers.BFLOAT16;
        }
        return exact ? Numbers.FLOAT32 : null;
    }

    /// The products that are timed, and GFLOP/s of the best round of each.
    private final class Ways {
        private final PackedWeight weight;
        private final RestoredPanels panels;
        private final CpuMatrix x;
        private final CpuMatrix y;
        private final CpuMatrix expected;
        private final List<Numbers> floats = Stream.of(Numbers.FLOAT32, Numbers.BFLOAT16)
                .filter(panelProduct::takes)
                .toList();
        private final double[] rates = new double[floats.size()];
        private double vector;

        Ways(PackedWeight weight, CpuMatrix x, CpuMatrix y, CpuMatrix expected) {
            this.weight = weight;
            panels = new RestoredPanels(kernels, weight);
            this.x = x;
            this.y = y;
            this.expected = expected;
        }

        void vector(int rows, int inputs, int outputs) {
            long to = expected.address();
            long bias = weight.bias(0);
            gemm.multiply(x.address(), x.rowBytes(), rows, panels, inputs, outputs, to, expected.rowBytes(), bias);
        }

        void oneDnn(Numbers numbers, int rows) {
            panelProduct.multiply(numbers, weight, x.view(0, rows, 0, INPUTS), y.view(0, rows, 0, OUTPUTS), false);
        }

        /// The ways take turns, so that what else the machine does meets them alike.
        void time() {
            long start = System.nanoTime();
            long elapsed = 0;
            for (int round = 0; round < 2 || elapsed < (round < LEAST_ROUNDS ? MOST_NANOS : TIMED_NANOS); round++) {
                vector = Math.max(vector, rate(() -> vector(ROWS, INPUTS, OUTPUTS)));
                for (int i = 0; i < rates.length; i++) {
                    Numbers numbers = floats.get(i);
                    rates[i] = Math.max(rates[i], rate(() -> oneDnn(numbers, ROWS)));
                    if (round == 0) {
                        requireSame(expected, y);
                    }
                }
                elapsed = System.nanoTime() - start;
            }
        }

        private double rate(Runnable product) {
            long before = System.nanoTime();
            product.run();
            return 2.0 * ROWS * INPUTS * OUTPUTS / (System.nanoTime() - before);
        }

        /// 0 for what this processor has no kernel for.
        double of(Numbers numbers) {
            return floats.contains(numbers) ? rates[floats.indexOf(numbers)] : 0;
        }
    }

    /// Shows the compiler a product until it has kept every vector of it in registers: then a round allocates next to
    /// nothing, while before every vector is an object.
    ///
    /// @return whether it came to that in time
    private static boolean warm(long deadline, Runnable product) {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        while (System.nanoTime() < deadline) {
            long before = threads.getCurrentThreadAllocatedBytes();
            product.run();
            if (threads.getCurrentThreadAllocatedBytes() - before < FEW_BYTES) {
                return true;
            }
        }
        return false;
    }

    private static void requireSame(CpuMatrix expected, CpuMatrix found) {
        for (long i = 0; i < (long) ROWS * OUTPUTS; i++) {
            float wanted = Memory.getFloat(expected.address() + i * Float.BYTES);
            float got = Memory.getFloat(found.address() + i * Float.BYTES);
            if (wanted != got) {
                throw new IllegalStateException(
                        "oneDNN multiplies wrongly: element " + i + " is " + got + ", not " + wanted);
            }
        }
    }
}

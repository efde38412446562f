package dev.halftone.runtime.cpu;

import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.runtime.cpu.OneDnn.Numbers;
import java.lang.foreign.Arena;
import java.util.Locale;

/// Times the ways of multiplying one small linear over many rows on this machine, now, and compares their results.
final class ProductProbe {
    /// By this factor oneDNN must be faster to be taken.
    private static final double CLEAR = 1.15;

    /// By this factor bfloat16 must be faster than what is exact.
    private static final double WORTH_ROUNDING = 1.5;

    private static final int ROWS = 128;
    private static final int INPUTS = 512;
    private static final int OUTPUTS = 512;

    /// The compiler needs this long for the vector kernels.
    private static final long PATIENCE_NANOS = 500_000_000L;

    /// Rounds without a better time after which a rate counts as settled.
    private static final int SETTLED = 12;

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
        float[] ramp = new float[OUTPUTS * INPUTS];
        for (int i = 0; i < ramp.length; i++) {
            // Few bits, so that every way must give the same sums exactly.
            ramp[i] = (i * 7 % 31 - 15) / 16f;
        }
        try (Arena arena = Arena.ofConfined();
                CpuMatrix x = CpuMatrix.allocate(ROWS, INPUTS);
                CpuMatrix y = CpuMatrix.allocate(ROWS, OUTPUTS);
                CpuMatrix expected = CpuMatrix.allocate(ROWS, OUTPUTS);
                PackedWeight weight = WeightPacker.pack(
                        new DenseWeight(Tensor.rounded("probe", DType.BF16, Shape.of(OUTPUTS, INPUTS), ramp, arena)),
                        null,
                        kernels.lanes(),
                        pool)) {
            Memory.copyFloats(ramp, 3, x.address(), ROWS * INPUTS);
            RestoredPanels panels = new RestoredPanels(kernels, weight);
            double vector = rate(() -> gemm.multiply(
                    x.address(),
                    x.rowBytes(),
                    ROWS,
                    panels,
                    INPUTS,
                    OUTPUTS,
                    expected.address(),
                    expected.rowBytes(),
                    weight.bias(0)));
            double single = rate(() -> panelProduct.multiply(Numbers.FLOAT32, weight, x, y));
            requireSame(expected, y);
            double half = rate(() -> panelProduct.multiply(Numbers.BFLOAT16, weight, x, y));
            requireSame(expected, y);
            choice = choose(vector, single, half);
            figures = String.format(
                    Locale.ROOT,
                    "measured %.0f GFLOP/s by vectors, %.0f by oneDNN in float32, %.0f in bfloat16",
                    vector,
                    single,
                    half);
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

    /// GFLOP/s of the best round.
    private static double rate(Runnable product) {
        long start = System.nanoTime();
        long best = Long.MAX_VALUE;
        int settled = 0;
        while (settled < SETTLED && System.nanoTime() - start < PATIENCE_NANOS) {
            long before = System.nanoTime();
            product.run();
            long time = System.nanoTime() - before;
            settled = time < best * 0.97 ? 0 : settled + 1;
            best = Math.min(best, time);
        }
        return 2.0 * ROWS * INPUTS * OUTPUTS / best;
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

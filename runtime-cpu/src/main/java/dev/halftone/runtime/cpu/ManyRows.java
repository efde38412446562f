package dev.halftone.runtime.cpu;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.runtime.cpu.OneDnn.Numbers;

/// Decides for each linear over many rows who multiplies: [Gemm] or [PanelProduct], and with which numbers.
final class ManyRows implements AutoCloseable {
    /// Fewer rows are not worth restoring the weight as a whole.
    static final int LEAST_ROWS = 32;

    /// Measuring takes longer than fewer rows gain by it.
    static final int WORTH_MEASURING = 128;

    /// Loads oneDNN.
    @FunctionalInterface
    interface Opener {
        OneDnn open(int workers) throws OneDnnUnavailable;
    }

    private final ProductMode mode;
    private final Kernels kernels;
    private final PanelRestorer restorer;
    private final BFloat16Tiles tiles; // null for none
    private final ShortProduct shortProduct; // null where it is not wanted
    private final WorkerPool pool;
    private final Scratch scratch;
    private final Gemm gemm;
    private final int leastRows;
    private final Opener opener;

    private PanelProduct panelProduct; // null unless oneDNN is there to be used
    private Numbers numbers; // null for vectors
    private boolean decided;
    private boolean multipliedIntegers;
    private boolean lastWasShort; // whether the last product was one of shortProduct
    private String reason = "";

    /// @param tiles        null for none
    /// @param shortKernels null for none
    /// @throws HalftoneException of kind RESOURCES if oneDNN is asked for by name and cannot be had
    ManyRows(
            ProductMode mode,
            Kernels kernels,
            PanelRestorer restorer,
            BFloat16Tiles tiles,
            ShortKernels shortKernels,
            WorkerPool pool,
            Scratch scratch,
            Gemm gemm,
            int leastRows,
            Opener opener) {
        this.mode = mode;
        this.kernels = kernels;
        this.restorer = restorer;
        this.tiles = tiles;
        this.pool = pool;
        this.scratch = scratch;
        this.gemm = gemm;
        this.leastRows = leastRows;
        this.opener = opener;
        boolean mayRound = mode == ProductMode.AUTO || mode == ProductMode.QUICK;
        shortProduct = mayRound && tiles == null && shortKernels != null ? new ShortProduct(shortKernels, pool) : null;
        if (mode == ProductMode.AUTO || mode == ProductMode.STEADY || mode == ProductMode.QUICK) {
            return;
        }
        decided = true;
        if (mode != ProductMode.VECTOR) {
            try {
                take(opener.open(pool.threads()), mode == ProductMode.ONEDNN ? Numbers.FLOAT32 : Numbers.BFLOAT16);
                if (!panelProduct.takes(numbers)) {
                    panelProduct.close();
                    throw new OneDnnUnavailable("it has no kernel for " + numbers.word() + " on this processor");
                }
            } catch (OneDnnUnavailable problem) {
                throw new HalftoneException(
                        Kind.RESOURCES,
                        "oneDNN cannot be used on this machine",
                        problem.getMessage(),
                        "--matmul " + ProductMode.VECTOR.word() + " or --matmul " + ProductMode.AUTO.word());
            }
        }
    }

    private void take(OneDnn oneDnn, Numbers chosen) {
        panelProduct = new PanelProduct(kernels, restorer, tiles, pool, scratch, oneDnn);
        numbers = chosen;
    }

    /// `y = x·Wᵀ + bias`, if it is not left to the vector kernels.
    ///
    /// @param again see [CpuLinear#multiply]
    /// @return whether it was done
    boolean multiply(PackedWeight weight, CpuMatrix x, CpuMatrix y, boolean again) {
        boolean wasShort = lastWasShort;
        lastWasShort = shortProduct != null && x.rows() >= leastRows && DigitKernels.take(weight);
        if (lastWasShort) {
            shortProduct.multiply(weight, x, y, again && wasShort);
            return true;
        }
        if (x.rows() < threshold()) {
            return false;
        }
        decide();
        if (numbers == null) {
            return false;
        }
        Numbers taken = weight.form == WeightForm.FLOAT32 ? Numbers.FLOAT32 : numbers;
        panelProduct.multiply(taken, weight, x, y, again && !wasShort);
        return true;
    }

    /// `y = x·Wᵀ + bias` with the rows of `x` rounded to integers, if oneDNN or tiles are to do it. The result is that
    /// of
    /// [IntegerProduct] to the bit, and the units for bytes are several times as fast as any float, so nothing is
    /// measured for it.
    ///
    /// @param again see [CpuLinear#multiply]
    /// @return whether it was done
    boolean multiply(PackedWeight weight, ActivationScheme activations, CpuMatrix x, CpuMatrix y, boolean again) {
        if (x.rows() < threshold()) {
            return false;
        }
        decide();
        if (panelProduct == null || !panelProduct.takesIntegers(weight)) {
            return false;
        }
        panelProduct.multiply(activations, weight, x, y, again && !lastWasShort);
        lastWasShort = false;
        multipliedIntegers = true;
        return true;
    }

    /// Whether linears over so many rows are computed in bfloat16, and attention of as many tokens may be too.
    boolean roundsToBFloat16(int rows) {
        if (rows < threshold()) {
            return false;
        }
        decide();
        return numbers == Numbers.BFLOAT16;
    }

    private int threshold() {
        return mode == ProductMode.AUTO && tiles == null && !decided ? WORTH_MEASURING : leastRows;
    }

    /// Settles what [ProductMode#AUTO], [ProductMode#STEADY] or [ProductMode#QUICK] means here. The first measures for
    /// some tenths of a second where there are no tiles.
    void decide() {
        if (decided) {
            return;
        }
        decided = true;
        OneDnn oneDnn;
        try {
            oneDnn = opener.open(pool.threads());
        } catch (OneDnnUnavailable problem) {
            reason = "oneDNN refused: " + problem.getMessage();
            return;
        }
        boolean onTiles = tiles != null && mode != ProductMode.STEADY;
        if (onTiles || mode != ProductMode.AUTO) {
            // Tiles win by so much that measuring, while the compiler is at work, could only mislead.
            take(oneDnn, onTiles ? Numbers.BFLOAT16 : Numbers.FLOAT32);
            if (!panelProduct.takes(numbers)) {
                numbers = null;
                reason = "oneDNN has no suitable kernel on this processor";
            }
            return;
        }
        take(oneDnn, null);
        ProductProbe probe = new ProductProbe(kernels, pool, gemm, panelProduct);
        numbers = probe.choice();
        reason = probe.figures();
    }

    /// What the numbers depend on besides the vector kernels: empty without oneDNN, which divides sums among threads.
    String arithmetic() {
        decide();
        String codes = shortProduct == null ? "" : ", codes by 16-bit inputs";
        return numbers == null
                ? codes
                : codes + ", " + panelProduct.name(numbers) + " " + numbers + ", " + pool.threads() + " threads";
    }

    /// Who multiplies, and why where it was not asked for, in one line.
    String description() {
        return (shortProduct == null ? "" : "codes by VNNI, inputs of 16 bits; other weights by ") + others();
    }

    private String others() {
        if (!decided) {
            return "vector kernels, float32 (never " + threshold() + " rows at a time: nothing to choose)";
        }
        String who = numbers == null ? "vector kernels, float32" : panelProduct.name(numbers) + ", " + numbers.word();
        if (multipliedIntegers) {
            who += ", integers by " + panelProduct.name(Numbers.UNSIGNED8);
        }
        return who + (reason.isEmpty() ? "" : " (" + reason + ")");
    }

    @Override
    public void close() {
        if (shortProduct != null) {
            shortProduct.close();
        }
        if (panelProduct != null) {
            panelProduct.close();
        }
    }
}

package dev.halftone.runtime.cpu;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.compute.AttentionShape;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Linear;
import dev.halftone.core.compute.MachineProbe;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.NotPositiveDefiniteException;
import dev.halftone.core.compute.RangeTask;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.CodedWeight;
import dev.halftone.core.weight.Weight;
import java.util.Objects;
import java.util.Optional;

/// The backend of the processor: weights in their quantized form, activations in float32 or rounded to integers as the
/// weight says, one pool of threads. Results are
/// the same, bit for bit, for every number of threads. Here every argument is checked; behind it nothing is.
public final class CpuBackend implements Backend {
    private final Kernels kernels;
    private final DigitKernels digitKernels; // null for none
    private final WorkerPool pool;
    private final Scratch scratch;
    private final RowVerbs rowVerbs;
    private final SmallProduct smallProduct;
    private final IntegerProduct integerProduct;
    private final Gemm gemm;
    private final Gram gram;
    private final UpperFactor upperFactor;
    private final Attention attention;
    private final MatrixPanels panels;
    private final ManyRows manyRows;

    /// Multiplies many rows with the kernels of this module.
    ///
    /// @param threads workers, or 0 for as many as there are processors
    public CpuBackend(int threads) {
        this(threads, ProductMode.VECTOR);
    }

    /// @param threads workers, or 0 for as many as there are processors
    /// @param mode    what multiplies many rows
    /// @throws HalftoneException of kind RESOURCES if oneDNN is asked for by name and cannot be had
    public CpuBackend(int threads, ProductMode mode) {
        this(VectorWidth.kernels(), threads, mode, ManyRows.LEAST_ROWS);
    }

    CpuBackend(Kernels kernels, int threads) {
        this(kernels, threads, ProductMode.VECTOR, ManyRows.LEAST_ROWS);
    }

    /// @param leastRows from here on `mode` counts
    CpuBackend(Kernels kernels, int threads, ProductMode mode, int leastRows) {
        this(kernels, DigitKernels.suits(kernels) ? DigitKernels.load() : null, threads, mode, leastRows);
    }

    /// @param digitKernels for few rows of codes; null for none
    CpuBackend(Kernels kernels, DigitKernels digitKernels, int threads, ProductMode mode, int leastRows) {
        if (threads < 0) {
            throw new IllegalArgumentException("threads must not be negative, found " + threads);
        }
        this.kernels = kernels;
        this.digitKernels = digitKernels;
        pool = new WorkerPool(threads == 0 ? Runtime.getRuntime().availableProcessors() : threads);
        scratch = new Scratch(pool.threads());
        rowVerbs = new RowVerbs(kernels, digitKernels == null ? null : digitKernels.verbs(), pool, scratch);
        smallProduct = new SmallProduct(kernels, digitKernels, pool, scratch);
        RowProducts rowProducts = digitKernels == null ? null : digitKernels.rowProducts();
        integerProduct = new IntegerProduct(kernels, rowProducts, pool, scratch);
        gemm = new Gemm(kernels, digitKernels == null ? null : digitKernels.productTile(), pool, scratch);
        upperFactor = new UpperFactor(gemm, pool, kernels);
        BFloat16Tiles tiles = digitKernels != null && digitKernels.mayUseTiles() ? BFloat16Tiles.load() : null;
        gram = new Gram(kernels, tiles, pool, scratch);
        attention = new Attention(kernels, digitKernels, tiles, pool, scratch);
        panels = new MatrixPanels(kernels);
        try {
            BFloat16Restorer codes = digitKernels == null ? null : digitKernels.restorer();
            PanelRestorer restorer = new PanelRestorer(kernels, codes);
            ShortKernels shorts = digitKernels == null ? null : digitKernels.shortKernels();
            manyRows =
                    new ManyRows(mode, kernels, restorer, tiles, shorts, pool, scratch, gemm, leastRows, OneDnn::new);
        } catch (RuntimeException e) {
            pool.close();
            gemm.close();
            attention.close();
            gram.close();
            smallProduct.close();
            integerProduct.close();
            scratch.close();
            throw e;
        }
    }

    Kernels kernels() {
        return kernels;
    }

    SmallProduct smallProduct() {
        return smallProduct;
    }

    /// A linear whose inputs are rounded to integers.
    ///
    /// @param again see [CpuLinear#multiply]
    void multiplyRounded(PackedWeight weight, ActivationScheme activations, CpuMatrix x, CpuMatrix y, boolean again) {
        if (!manyRows.multiply(weight, activations, x, y, again)) {
            integerProduct.multiply(weight, activations, x, y, again);
        }
    }

    private static void require(boolean fits, String verb, Matrix a, Matrix b) {
        if (!fits) {
            throw new IllegalArgumentException(verb + ": shapes [" + a.rows() + ", " + a.columns() + "] and ["
                    + b.rows() + ", " + b.columns() + "] do not fit");
        }
    }

    private static void requireSame(String verb, Matrix a, Matrix b) {
        require(a.rows() == b.rows() && a.columns() == b.columns(), verb, a, b);
    }

    @Override
    public String description() {
        String digits = "";
        if (digitKernels != null) {
            digits = ", few rows by " + digitKernels.name();
        } else if (DigitKernels.suits(kernels) && DigitKernels.refusal() != null) {
            digits = ", no machine code: " + DigitKernels.refusal();
        }
        return "cpu (" + kernels.name() + digits + ", " + pool.threads()
                + (pool.threads() == 1 ? " thread)" : " threads)");
    }

    /// Who multiplied many rows so far and with which numbers, and what [ProductMode#AUTO] was decided by, in one line.
    public String products() {
        return manyRows.description();
    }

    /// Settles what [ProductMode#AUTO] means on this machine before there are rows to multiply.
    public void decideProducts() {
        manyRows.decide();
    }

    @Override
    public String arithmetic() {
        return "cpu (" + kernels.name() + (digitKernels == null ? "" : " and digits")
                + ", " + System.getProperty("os.arch") + manyRows.arithmetic()
                + ")";
    }

    @Override
    public Matrix allocate(int rows, int columns) {
        return CpuMatrix.allocate(rows, columns);
    }

    @Override
    public KvCache allocateCache(int layers, int slots, int capacity, AttentionShape shape, DType numbers) {
        return new CpuKvCache(layers, slots, capacity, shape, kernels.lanes(), numbers);
    }

    @Override
    public Linear bind(Weight weight, float[] bias) {
        ActivationScheme activations =
                weight instanceof CodedWeight codes ? codes.activations() : ActivationScheme.NONE;
        return new CpuLinear(this, WeightPacker.pack(weight, bias, kernels.lanes(), pool), activations);
    }

    @Override
    public void multiplyAll(Linear[] linears, Matrix x, Matrix[] results) {
        CpuMatrix in = CpuMatrix.of(x);
        boolean together = in.rows() <= CpuLinear.SMALL_ROWS;
        for (int i = 0; i < linears.length; i++) {
            CpuLinear linear = CpuLinear.of(linears[i]);
            linear.require(in, CpuMatrix.of(results[i]));
            together &= !linear.roundsInputs();
        }
        if (!together) {
            for (int i = 0; i < linears.length; i++) {
                CpuLinear linear = CpuLinear.of(linears[i]);
                // What rounds inputs keeps them elsewhere than what does not.
                boolean again = i > 0
                        && linear.roundsInputs() == CpuLinear.of(linears[i - 1]).roundsInputs();
                linear.multiply(in, CpuMatrix.of(results[i]), again);
            }
            return;
        }
        for (int i = 0; i < linears.length; i++) {
            CpuMatrix result = CpuMatrix.of(results[i]);
            PackedWeight weight = CpuLinear.of(linears[i]).require(in, result);
            if (!smallProduct.add(weight, result)) {
                smallProduct.compute(in);
                smallProduct.add(weight, result);
            }
        }
        smallProduct.compute(in);
    }

    @Override
    public void copyIn(float[] source, int offset, Matrix destination) {
        CpuMatrix out = CpuMatrix.of(destination);
        Objects.checkFromIndexSize((long) offset, (long) out.rows() * out.columns(), source.length);
        for (int row = 0; row < out.rows(); row++) {
            Memory.copyFloats(source, offset + row * out.columns(), out.row(row), out.columns());
        }
    }

    @Override
    public void copyOut(Matrix source, float[] destination, int offset) {
        CpuMatrix in = CpuMatrix.of(source);
        Objects.checkFromIndexSize((long) offset, (long) in.rows() * in.columns(), destination.length);
        for (int row = 0; row < in.rows(); row++) {
            Memory.copyFloats(in.row(row), destination, offset + row * in.columns(), in.columns());
        }
    }

    @Override
    public void copy(Matrix source, Matrix destination) {
        requireSame("copy", source, destination);
        rowVerbs.copy(CpuMatrix.of(source), CpuMatrix.of(destination));
    }

    @Override
    public void gatherRows(Matrix x, int[] indices, Matrix destination) {
        CpuMatrix in = CpuMatrix.of(x);
        CpuMatrix out = CpuMatrix.of(destination);
        require(in.columns() == out.columns() && indices.length >= out.rows(), "gatherRows", x, destination);
        for (int row = 0; row < out.rows(); row++) {
            Objects.checkIndex(indices[row], in.rows());
            Memory.copyFloats(in.row(indices[row]), out.row(row), in.columns());
        }
    }

    @Override
    public void rmsNorm(Matrix x, Matrix weight, float epsilon, Matrix destination) {
        requireSame("rmsNorm", x, destination);
        require(weight.rows() == 1 && x.columns() % weight.columns() == 0, "rmsNorm", x, weight);
        rowVerbs.normalize(CpuMatrix.of(x), CpuMatrix.of(weight), epsilon, CpuMatrix.of(destination));
    }

    @Override
    public void rope(Matrix x, int headSize, Matrix cosines, Matrix sines) {
        requireSame("rope", cosines, sines);
        boolean fits = headSize > 0 && headSize % 2 == 0 && x.columns() % headSize == 0;
        require(fits && cosines.rows() == x.rows() && 2 * cosines.columns() == headSize, "rope", x, cosines);
        rowVerbs.rotate(CpuMatrix.of(x), headSize, CpuMatrix.of(cosines), CpuMatrix.of(sines));
    }

    @Override
    public void attention(
            Matrix queries,
            Matrix keys,
            Matrix values,
            AttentionShape shape,
            Batch batch,
            KvCache cache,
            int layer,
            Matrix destination) {
        requireSame("attention", queries, destination);
        requireSame("attention", keys, values);
        boolean fits = queries.columns() == shape.queryColumns() && keys.columns() == shape.kvColumns();
        require(fits && queries.rows() == batch.rows() && keys.rows() == batch.rows(), "attention", queries, keys);
        if (!(cache instanceof CpuKvCache store)) {
            throw new IllegalArgumentException("a cache of another backend: " + cache);
        }
        store.require(shape, layer);
        for (int sequence = 0; sequence < batch.size(); sequence++) {
            Objects.checkIndex(batch.slot(sequence), store.slots());
            Objects.checkFromIndexSize(batch.start(sequence), batch.count(sequence), store.capacity());
        }
        attention.run(
                manyRows.roundsToBFloat16(batch.rows()),
                CpuMatrix.of(queries),
                CpuMatrix.of(keys),
                CpuMatrix.of(values),
                shape,
                batch,
                store,
                layer,
                CpuMatrix.of(destination));
    }

    @Override
    public void gatedActivation(Matrix gate, Matrix up, Matrix destination) {
        requireSame("gatedActivation", gate, up);
        requireSame("gatedActivation", gate, destination);
        rowVerbs.gate(CpuMatrix.of(gate), CpuMatrix.of(up), CpuMatrix.of(destination));
    }

    @Override
    public void add(Matrix x, Matrix sum) {
        requireSame("add", x, sum);
        rowVerbs.add(CpuMatrix.of(x), CpuMatrix.of(sum));
    }

    @Override
    public void addGram(Matrix x, Matrix gramMatrix) {
        require(gramMatrix.rows() == x.columns() && gramMatrix.columns() == x.columns(), "addGram", x, gramMatrix);
        gram.add(CpuMatrix.of(x), CpuMatrix.of(gramMatrix), manyRows.roundsToBFloat16(x.rows()));
    }

    @Override
    public void addTransposedProduct(Matrix a, Matrix b, Matrix sum) {
        require(a.rows() == b.rows(), "addTransposedProduct", a, b);
        require(sum.rows() == a.columns() && sum.columns() == b.columns(), "addTransposedProduct", a, sum);
        gram.addProduct(CpuMatrix.of(a), CpuMatrix.of(b), CpuMatrix.of(sum), manyRows.roundsToBFloat16(a.rows()));
    }

    @Override
    public void subtractProduct(Matrix a, Matrix b, Matrix c) {
        require(a.columns() == b.rows(), "subtractProduct", a, b);
        require(c.rows() == a.rows() && c.columns() == b.columns(), "subtractProduct", a, c);
        CpuMatrix left = CpuMatrix.of(a);
        CpuMatrix right = CpuMatrix.of(b);
        CpuMatrix result = CpuMatrix.of(c);
        gemm.accumulate(
                left.address(),
                left.rowBytes(),
                left.rows(),
                panels.of(right.address(), right.rowBytes(), right.columns()),
                right.rows(),
                right.columns(),
                result.address(),
                result.rowBytes(),
                -1f,
                Gemm.Part.ALL);
    }

    /// A linear over many rows.
    ///
    /// @param again see [CpuLinear#multiply]
    void multiplyMany(PackedWeight weight, RestoredPanels restored, CpuMatrix x, CpuMatrix y, boolean again) {
        if (manyRows.multiply(weight, x, y, again)) {
            return;
        }
        long left = x.address();
        long leftRow = x.rowBytes();
        if (weight.columns != null) {
            leftRow = (long) weight.paddedInputs() * Float.BYTES;
            left = scratch.shared((long) x.rows() * weight.paddedInputs());
            arrange(weight, x, left, leftRow);
        }
        gemm.multiply(
                left,
                leftRow,
                x.rows(),
                restored,
                weight.paddedInputs(),
                weight.outputs,
                y.address(),
                y.rowBytes(),
                weight.bias(0));
    }

    private void arrange(PackedWeight weight, CpuMatrix x, long destination, long destinationRow) {
        pool.split(x.rows(), (worker, from, to) -> {
            float[] row = new float[weight.inputs];
            float[] arranged = new float[weight.paddedInputs()];
            for (int i = from; i < to; i++) {
                Memory.copyFloats(x.row(i), row, 0, row.length);
                Preparation.arrange(weight, row, arranged, 0, 1);
                Memory.copyFloats(arranged, 0, destination + i * destinationRow, arranged.length);
            }
        });
    }

    @Override
    public void invertToUpperFactor(Matrix a) throws NotPositiveDefiniteException {
        require(a.rows() == a.columns(), "invertToUpperFactor", a, a);
        upperFactor.invert(CpuMatrix.of(a));
    }

    @Override
    public void forRanges(int count, RangeTask task) {
        pool.splitShrinking(count, 1, (worker, from, to) -> task.run(from, to));
    }

    @Override
    public Optional<MachineProbe> probe(long bytes) {
        return Optional.of(new CpuProbe(kernels, pool, bytes));
    }

    @Override
    public void close() {
        pool.close();
        gemm.close();
        attention.close();
        gram.close();
        manyRows.close();
        smallProduct.close();
        integerProduct.close();
        scratch.close();
    }
}

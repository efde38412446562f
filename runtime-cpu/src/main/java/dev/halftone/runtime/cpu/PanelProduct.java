package dev.halftone.runtime.cpu;

import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.runtime.cpu.OneDnn.Numbers;
import java.util.Arrays;

/// A linear over many rows by [OneDnn]: the workers first bring the activations into order where they are not;
/// then each restores one panel of outputs at a time, which stays in its own cache while it is multiplied by all
/// rows. Neither depends on how many workers there are, so neither does the result.
///
/// Inputs that are rounded to integers go in as unsigned bytes, 128 too large; what that adds to the sums of a column
/// is taken off before they are scaled. The sums are exact, so the result is that of [IntegerProduct], bit for
/// bit.
///
/// Where the processor has tiles, [TileProduct] takes bfloat16 and integers.
final class PanelProduct implements WorkerPool.Task, AutoCloseable {
    /// From so many outputs on a panel is two blocks wide, so that a call's cost shows less; below, there are more
    /// panels to share out.
    static final int WIDE_OUTPUTS = 2048;

    /// What a wide panel may fill of a second-level cache.
    private static final int MOST_WIDE_BYTES = 2 << 20;

    /// Rows of one product: as many as leave a panel's worth of both sides in a second-level cache.
    private static final int MOST_ROWS = 256;

    /// Below this, products have any number of rows; above, powers of two, so that there are few different ones.
    private static final int LEAST_ROWS = 16;

    private final Kernels kernels;
    private final PanelRestorer restorer;
    private final TileProduct tileProduct; // null for none
    private final WorkerPool pool;
    private final Scratch scratch;
    private final OneDnn oneDnn;
    private final int lanes;
    private final float[][] rows;
    private final float[][] arranged;
    private Memory left = Memory.ofBytes(Memory.LINE);
    private final Memory[] right; // of each worker, a restored panel
    private final Memory[] offsets; // of each restored column, an integer
    private Memory middle = Memory.ofBytes(Memory.LINE); // one row of activations that are all 128
    private int middleLength;
    private final byte[][] bytes;
    private float[] scales = new float[0]; // of each row that is rounded to integers

    private Numbers numbers;
    private PackedWeight weight;
    private ActivationScheme activations;
    private CpuMatrix x;
    private CpuMatrix y;
    private int depth;
    private boolean direct; // the activations are taken where they lie
    private boolean preparing;
    private int panel; // outputs
    private OneDnnProduct columnSums; // of one block, for integers
    private int pieces;
    private int[] pieceRow = new int[8];
    private OneDnnProduct[][] products = new OneDnnProduct[8][2]; // for a whole panel, and for the last

    /// @param tiles what multiplies bfloat16 instead of oneDNN; null for none
    PanelProduct(
            Kernels kernels,
            PanelRestorer restorer,
            BFloat16Tiles tiles,
            WorkerPool pool,
            Scratch scratch,
            OneDnn oneDnn) {
        this.kernels = kernels;
        this.restorer = restorer;
        tileProduct = tiles == null ? null : new TileProduct(tiles, ByteTiles.load(), restorer, pool, scratch);
        this.pool = pool;
        this.scratch = scratch;
        this.oneDnn = oneDnn;
        lanes = kernels.lanes();
        rows = new float[pool.threads()][0];
        arranged = new float[pool.threads()][0];
        bytes = new byte[pool.threads()][0];
        right = new Memory[pool.threads()];
        offsets = new Memory[pool.threads()];
        for (int worker = 0; worker < pool.threads(); worker++) {
            right[worker] = Memory.ofBytes(Memory.LINE);
            offsets[worker] = Memory.ofBytes(2L * OneDnn.BLOCK * Integer.BYTES);
        }
    }

    /// Whose products of these numbers these are.
    String name(Numbers of) {
        return onTiles(of) ? "AMX" : oneDnn.name();
    }

    private boolean onTiles(Numbers of) {
        return tileProduct != null
                && (of == Numbers.BFLOAT16 || of == Numbers.UNSIGNED8 && tileProduct.multipliesBytes());
    }

    /// Whether there are kernels for these numbers on this processor.
    boolean takes(Numbers candidate) {
        return oneDnn.multiplies(candidate);
    }

    /// Whether integers can be multiplied by this weight: codes of 8 bits with the middle one for zero, and one scale
    /// for an output.
    boolean takesIntegers(PackedWeight candidate) {
        return (onTiles(Numbers.UNSIGNED8) || oneDnn.multiplies(Numbers.UNSIGNED8))
                && candidate.form == WeightForm.CODES8
                && candidate.groups == 1
                && candidate.centreStep() == 0
                && Memory.getFloat(candidate.centres(0)) == 1.5f;
    }

    /// `y = x·Wᵀ + bias` with every row of `x` rounded to integers as `scheme` says.
    ///
    /// @param again see [CpuLinear#multiply]
    void multiply(ActivationScheme scheme, PackedWeight newWeight, CpuMatrix newX, CpuMatrix newY, boolean again) {
        boolean rounded = again && numbers == Numbers.UNSIGNED8 && scheme.equals(activations);
        activations = scheme;
        if (onTiles(Numbers.UNSIGNED8)) {
            boolean placed = rounded && weight.sharesPreparation(newWeight);
            numbers = Numbers.UNSIGNED8;
            weight = newWeight;
            tileProduct.multiply(scheme, newWeight, newX, newY, placed);
            return;
        }
        product(Numbers.UNSIGNED8, newWeight, newX, newY, rounded);
    }

    /// `y = x·Wᵀ + bias`, both sides rounded to `newNumbers` before, which are floats.
    ///
    /// @param again see [CpuLinear#multiply]
    void multiply(Numbers newNumbers, PackedWeight newWeight, CpuMatrix newX, CpuMatrix newY, boolean again) {
        if (newNumbers == Numbers.BFLOAT16 && onTiles(newNumbers)) {
            boolean placed = again && numbers == newNumbers && weight.sharesPreparation(newWeight);
            numbers = newNumbers;
            weight = newWeight;
            tileProduct.multiply(newWeight, newX, newY, placed);
            return;
        }
        activations = ActivationScheme.NONE;
        product(newNumbers, newWeight, newX, newY, again && numbers == newNumbers);
    }

    /// @param again whether the activations of the last product serve, if they were prepared for a weight like this
    private void product(Numbers newNumbers, PackedWeight newWeight, CpuMatrix newX, CpuMatrix newY, boolean again) {
        oneDnn.trim();
        boolean prepared = again && weight.sharesPreparation(newWeight);
        numbers = newNumbers;
        weight = newWeight;
        x = newX;
        y = newY;
        depth = Math.ceilDiv(weight.paddedInputs(), numbers.depthStep) * numbers.depthStep;
        direct = numbers == Numbers.FLOAT32 && weight.columns == null && depth == weight.inputs;
        boolean wide = weight.outputs >= WIDE_OUTPUTS && 2 * blockBytes() <= MOST_WIDE_BYTES;
        panel = (wide ? 2 : 1) * OneDnn.BLOCK;
        reserve();
        describe();
        if (!direct && !prepared) {
            preparing = true;
            pool.splitFreely(Math.ceilDiv(x.rows(), LEAST_ROWS), 1, this);
        }
        preparing = false;
        pool.splitFreely(Math.ceilDiv(weight.outputs, panel), 1, this);
    }

    private long blockBytes() {
        return PanelRestorer.blockBytes(numbers, depth);
    }

    private void reserve() {
        for (int worker = 0; worker < right.length; worker++) {
            right[worker] = Memory.grown(right[worker], panel / OneDnn.BLOCK * blockBytes());
        }
        if (!direct) {
            left = Memory.grown(left, (long) x.rows() * depth * numbers.bytes);
        }
        scratch.require(Math.max(depth, restorer.scratchFloats()));
        if (numbers == Numbers.UNSIGNED8) {
            reserveForIntegers();
        }
        if (weight.columns != null || numbers == Numbers.UNSIGNED8) {
            for (int worker = 0; worker < rows.length; worker++) {
                rows[worker] = Scratch.grown(rows[worker], weight.inputs);
                arranged[worker] = Scratch.grown(arranged[worker], weight.paddedInputs());
            }
        }
    }

    private void reserveForIntegers() {
        scales = Scratch.grown(scales, x.rows());
        for (int worker = 0; worker < bytes.length; worker++) {
            if (bytes[worker].length < depth) {
                bytes[worker] = new byte[depth];
            }
        }
        if (middleLength < depth) {
            middleLength = depth;
            middle = Memory.grown(middle, depth);
            byte[] row = new byte[depth];
            Arrays.fill(row, (byte) 128);
            Memory.copyBytes(row, middle.address(), depth);
        }
        columnSums = oneDnn.multiplyUnsigned8(1, depth, OneDnn.BLOCK, depth, OneDnn.BLOCK);
    }

    /// Cuts the rows into pieces and has a product for each.
    private void describe() {
        int last = weight.outputs % panel == 0 ? panel : weight.outputs % panel;
        pieces = 0;
        int size = MOST_ROWS;
        for (int row = 0; row < x.rows(); row += size) {
            while (size > x.rows() - row && size > LEAST_ROWS) {
                size /= 2;
            }
            if (size > x.rows() - row) {
                size = x.rows() - row;
            }
            if (pieces == pieceRow.length) {
                pieceRow = Arrays.copyOf(pieceRow, 2 * pieces);
                products = Arrays.copyOf(products, 2 * pieces);
                for (int i = pieces; i < products.length; i++) {
                    products[i] = new OneDnnProduct[2];
                }
            }
            pieceRow[pieces] = row;
            long leftRow = direct ? x.stride() : depth;
            products[pieces][0] =
                    oneDnn.product(numbers, size, depth, Math.min(panel, weight.outputs), leftRow, y.stride());
            products[pieces][1] = oneDnn.product(numbers, size, depth, last, leftRow, y.stride());
            pieces++;
        }
    }

    @Override
    public void run(int worker, int from, int to) {
        for (int task = from; task < to; task++) {
            if (preparing) {
                int row = task * LEAST_ROWS;
                for (int i = row; i < Math.min(x.rows(), row + LEAST_ROWS); i++) {
                    prepare(worker, i);
                }
            } else {
                multiply(worker, task * panel);
            }
        }
    }

    /// All rows by the panel of outputs that begins at `column`.
    private void multiply(int worker, int column) {
        int width = Math.min(panel, weight.outputs - column);
        for (int from = 0; from < width; from += OneDnn.BLOCK) {
            long block = right[worker].address() + from / OneDnn.BLOCK * blockBytes();
            restorer.restore(weight, numbers, depth, (column + from) / OneDnn.BLOCK, scratch.of(worker), block);
            if (numbers == Numbers.UNSIGNED8) {
                offset(worker, block, offsets[worker].address() + (long) from * Integer.BYTES);
            }
        }
        for (int piece = 0; piece < pieces; piece++) {
            multiply(worker, column, products[piece][width < panel ? 1 : 0], pieceRow[piece]);
        }
    }

    private void multiply(int worker, int column, OneDnnProduct product, int row) {
        long a = direct ? x.row(row) : left.address() + (long) row * depth * numbers.bytes;
        long b = right[worker].address();
        long bias = weight.bias(0) + (long) column * Float.BYTES;
        if (numbers != Numbers.UNSIGNED8) {
            product.run(worker, a, b, y.at(row, column), bias);
            return;
        }
        long offset = offsets[worker].address();
        product.run(worker, a, b, y.at(row, column), 0);
        long factors = weight.factors(column / lanes);
        for (int i = row; i < row + product.rows(); i++) {
            kernels.addIntegers(offset, y.at(i, column), product.columns());
            kernels.scaleSums(y.at(i, column), scales[i], factors, bias, product.columns(), y.at(i, column));
        }
    }

    /// What 128 in every input would add to the columns of a restored block, negated.
    private void offset(int worker, long block, long sums) {
        columnSums.run(worker, middle.address(), block, sums, 0);
        for (int column = 0; column < OneDnn.BLOCK; column++) {
            long at = sums + (long) column * Integer.BYTES;
            Memory.putInt(at, -Memory.getInt(at));
        }
    }

    /// One row of activations.
    private void prepare(int worker, int row) {
        if (numbers == Numbers.UNSIGNED8) {
            prepareIntegers(worker, row);
            return;
        }
        long from = x.row(row);
        int count = weight.inputs;
        if (weight.columns != null) {
            count = weight.paddedInputs();
            Memory.copyFloats(from, rows[worker], 0, weight.inputs);
            Preparation.arrange(weight, rows[worker], arranged[worker], 0, 1);
        }
        long to = left.address() + (long) row * depth * numbers.bytes;
        long floats = numbers == Numbers.FLOAT32 ? to : scratch.of(worker);
        if (weight.columns != null) {
            Memory.copyFloats(arranged[worker], 0, floats, count);
        } else if (count < depth || numbers == Numbers.FLOAT32) {
            Memory.copyFloats(from, floats, count);
        } else {
            floats = from;
        }
        if (count < depth) {
            Memory.zeroFloats(floats + (long) count * Float.BYTES, depth - count);
        }
        if (numbers == Numbers.BFLOAT16) {
            int vector = weight.vectorBytes();
            kernels.roundPairs(floats, floats + vector, 2L * vector, depth / 2 / lanes, to, vector);
        }
    }

    /// One row of activations, rounded to integers.
    private void prepareIntegers(int worker, int row) {
        float[] codes = rows[worker];
        Memory.copyFloats(x.row(row), codes, 0, weight.inputs);
        scales[row] = activations.scaleOf(codes, 0, weight.inputs);
        ActivationScheme.round(codes, 0, weight.inputs, scales[row], codes);
        if (weight.columns != null) {
            Preparation.arrange(weight, codes, arranged[worker], 0, 1);
            codes = arranged[worker];
        }
        byte[] shifted = bytes[worker];
        int count = weight.paddedInputs();
        for (int i = 0; i < count; i++) {
            shifted[i] = (byte) ((int) codes[i] + 128);
        }
        // What follows meets zeros of the weight.
        Memory.copyBytes(shifted, left.address() + (long) row * depth, depth);
    }

    @Override
    public void close() {
        if (tileProduct != null) {
            tileProduct.close();
        }
        left.close();
        for (int worker = 0; worker < right.length; worker++) {
            right[worker].close();
            offsets[worker].close();
        }
        middle.close();
        oneDnn.close();
    }
}

package dev.halftone.runtime.cpu;

import dev.halftone.core.weight.ActivationScheme;

/// A linear whose inputs are rounded to integers row by row, exact in 32 bits until it is scaled: a few rows straight
/// from the stored codes, like [SmallProduct], many over panels of them, like [Gemm].
final class IntegerProduct implements AutoCloseable {
    private static final int MOST_ROWS = 1024;
    private static final int LEAST_ROWS = 64;

    private static final int ARGUMENTS = RowCode.Argument.COUNT.ordinal();

    private final Kernels kernels;
    private final RowProducts rowProducts; // for few rows; null where the processor has none
    private final WorkerPool pool;
    private final Scratch scratch;
    private final int lanes;
    private final float[][] rounded; // of each worker, one row
    private final float[][] arranged; // of each worker, one row in the weight's order
    private final Memory[] arguments; // of each worker, [ARGUMENTS] longs
    // In fields, because a lambda would be an object for every product.
    private final WorkerPool.Task rounding = this::roundRows;
    private final WorkerPool.Task few = this::fewRows;
    private final WorkerPool.Task bytes = this::prepareBytes;
    private final WorkerPool.Task many = this::manyRows;

    private PackedWeight weight;
    private ActivationScheme activations;
    private CpuMatrix x;
    private CpuMatrix y;
    private float[] scales = new float[0]; // of each row

    private float[] prepared = new float[0]; // few rows, on the heap; see [Kernels#multiplyRow]
    private int total;
    private long sums; // [rows][strips][lanes]

    private Memory inputs =
            Memory.ofBytes(0); // few rows for RowProducts, [blocks][paddedInputs / 4][rows of the block][4]
    private Memory starts = Memory.ofBytes(0); // [rows], what the sums begin with

    private long codes; // many rows, [rows][paddedInputs]
    private int blocks;
    private int blockRows;

    /// @param rowProducts null for none
    IntegerProduct(Kernels kernels, RowProducts rowProducts, WorkerPool pool, Scratch scratch) {
        this.kernels = kernels;
        this.rowProducts = rowProducts;
        this.pool = pool;
        this.scratch = scratch;
        lanes = kernels.lanes();
        rounded = new float[pool.threads()][0];
        arranged = new float[pool.threads()][0];
        arguments = new Memory[pool.threads()];
        for (int worker = 0; worker < arguments.length; worker++) {
            arguments[worker] = Memory.ofBytes((long) ARGUMENTS * Long.BYTES);
        }
    }

    /// @param again see [CpuLinear#multiply]
    void multiply(
            PackedWeight newWeight, ActivationScheme newActivations, CpuMatrix newX, CpuMatrix newY, boolean again) {
        boolean prepared = again && newActivations.equals(activations) && newWeight.sharesPreparation(weight);
        weight = newWeight;
        activations = newActivations;
        x = newX;
        y = newY;
        scales = Scratch.grown(scales, x.rows());
        if (x.rows() <= CpuLinear.SMALL_ROWS) {
            multiplyFew(prepared);
        } else {
            multiplyMany();
        }
    }

    /// Rounds a row into the arrays of `worker`, where it lies in the order of the inputs.
    private float[] round(int worker, int row) {
        float[] values = Scratch.grown(rounded[worker], weight.inputs);
        rounded[worker] = values;
        Memory.copyFloats(x.row(row), values, 0, weight.inputs);
        scales[row] = activations.scaleOf(values, 0, weight.inputs);
        ActivationScheme.round(values, 0, weight.inputs, scales[row], values);
        return values;
    }

    private int paddedRows() {
        return x.rows() == 1 ? 1 : Math.ceilDiv(x.rows(), Kernels.TILE_ROWS) * Kernels.TILE_ROWS;
    }

    /// @param placed whether the rounded inputs of the last product are these
    private void multiplyFew(boolean placed) {
        if (usesBytes()) {
            if (!placed) {
                inputs = Memory.grown(inputs, RowProducts.inputBytes(weight, x.rows()));
                starts = Memory.grown(starts, (long) x.rows() * Integer.BYTES);
                pool.split(x.rows(), bytes);
            }
            sums = scratch.shared((long) x.rows() * weight.strips * lanes);
        } else {
            prepareFloats();
        }
        pool.splitShrinking(weight.strips, PackedWeight.SIDE_BY_SIDE, few);
    }

    private boolean usesBytes() {
        return rowProducts != null && rowProducts.take(weight);
    }

    private void prepareBytes(int worker, int from, int to) {
        int padded = weight.paddedInputs();
        int zero = weight.middle();
        for (int i = from; i < to; i++) {
            float[] codes = round(worker, i);
            if (weight.columns != null) {
                arranged[worker] = Scratch.grown(arranged[worker], padded);
                Preparation.arrange(weight, codes, arranged[worker], 0, 1);
                codes = arranged[worker];
            }
            int block = i / RowCode.ROWS * RowCode.ROWS;
            int rows = RowProducts.blockRows(block, x.rows());
            long place = inputs.address() + RowProducts.inputBytes(weight, block) + (long) (i - block) * Integer.BYTES;
            int sum = 0;
            for (int k = 0; k < padded; k += 4) {
                int a = (int) codes[k];
                int b = (int) codes[k + 1];
                int c = (int) codes[k + 2];
                int d = (int) codes[k + 3];
                sum += a + b + c + d;
                Memory.putInt(place + (long) k * rows, a & 0xFF | (b & 0xFF) << 8 | (c & 0xFF) << 16 | d << 24);
            }
            Memory.putInt(starts.address() + (long) i * Integer.BYTES, -zero * sum);
        }
    }

    private void prepareFloats() {
        int padded = weight.paddedInputs();
        int rows = paddedRows();
        prepared = Scratch.grown(prepared, rows * padded);
        int step = rows == 1 ? 1 : Kernels.TILE_ROWS;
        for (int i = 0; i < x.rows(); i++) {
            Preparation.arrange(weight, round(0, i), prepared, i / step * step * padded + i % step, step);
        }
        for (int i = x.rows(); i < rows; i++) {
            for (int k = 0, at = i / step * step * padded + i % step; k < padded; k++, at += step) {
                prepared[at] = 0;
            }
        }
        if (rows == 1) {
            float sum = 0; // of at most 2^17 whole numbers below 2^7: exact
            for (int k = 0; k < padded; k++) {
                sum += prepared[k];
            }
            total = (int) sum;
        }
        sums = scratch.shared((long) rows * weight.strips * lanes);
    }

    private void fewRows(int worker, int from, int to) {
        int rows = paddedRows();
        long vector = weight.vectorBytes();
        long sumsRow = weight.strips * vector;
        if (usesBytes()) {
            long own = arguments[worker].address();
            rowProducts.multiply(weight, inputs.address(), starts.address(), x.rows(), from, to, sums, sumsRow, own);
        } else if (rows == 1) {
            kernels.sumRow(weight, prepared, total, from, to, sums);
        } else {
            for (int first = 0; first < rows; first += Kernels.TILE_ROWS) {
                kernels.sumFourRows(
                        weight, prepared, first * weight.paddedInputs(), from, to, sums + first * sumsRow, sumsRow);
            }
        }
        int columns = Math.min(to * lanes, weight.outputs) - from * lanes;
        for (int i = 0; i < x.rows(); i++) {
            scale(i, sums + i * sumsRow + from * vector, from, columns);
        }
    }

    private void scale(int row, long from, int strip, int columns) {
        long to = y.at(row, strip * lanes);
        kernels.scaleSums(from, scales[row], weight.factors(strip), weight.bias(strip), columns, to);
    }

    private void multiplyMany() {
        int rows = x.rows();
        codes = scratch.shared((long) rows * weight.paddedInputs());
        pool.split(rows, rounding);
        int groups = Math.ceilDiv(weight.strips, Kernels.TILE_STRIPS);
        int wanted = Math.max(Math.ceilDiv(rows, MOST_ROWS), Math.ceilDiv(4 * pool.threads(), groups));
        blocks = Math.clamp(wanted, 1, Math.ceilDiv(rows, LEAST_ROWS));
        blockRows = Math.ceilDiv(Math.ceilDiv(rows, blocks), Kernels.TILE_ROWS) * Kernels.TILE_ROWS;
        scratch.require((Kernels.INTEGER_DEPTH + (long) blockRows) * Kernels.TILE_STRIPS * lanes);
        pool.splitFreely(groups * blocks, 1, many);
    }

    private void roundRows(int worker, int from, int to) {
        int padded = weight.paddedInputs();
        arranged[worker] = Scratch.grown(arranged[worker], padded);
        for (int i = from; i < to; i++) {
            Preparation.arrange(weight, round(worker, i), arranged[worker], 0, 1);
            Memory.copyFloats(arranged[worker], 0, codes + (long) i * padded * Float.BYTES, padded);
        }
    }

    private void manyRows(int worker, int from, int to) {
        for (int task = from; task < to; task++) {
            int firstRow = task % blocks * blockRows;
            int endRow = Math.min(x.rows(), firstRow + blockRows);
            if (firstRow < endRow) {
                block(scratch.of(worker), task / blocks * Kernels.TILE_STRIPS, firstRow, endRow);
            }
        }
    }

    /// Four strips of a block of rows: their panels are written to the worker's own cache, a piece at a time, and swept
    /// over all rows, whose sums stay there until they are scaled.
    private void block(long panel, int firstStrip, int firstRow, int endRow) {
        int strips = Math.min(Kernels.TILE_STRIPS, weight.strips - firstStrip);
        int padded = weight.paddedInputs();
        long vector = weight.vectorBytes();
        long row = Kernels.TILE_STRIPS * vector;
        long blockSums = panel + Kernels.INTEGER_DEPTH * row;
        Memory.zeroFloats(blockSums, (long) blockRows * Kernels.TILE_STRIPS * lanes);
        for (int k = 0; k < padded; k += Kernels.INTEGER_DEPTH) {
            int depth = Math.min(Kernels.INTEGER_DEPTH, padded - k);
            long stripBytes = depth * vector;
            for (int strip = 0; strip < strips; strip++) {
                kernels.centre(weight, firstStrip + strip, k / 4, depth / 4, panel + strip * stripBytes);
            }
            for (int i = firstRow; i < endRow; i += Kernels.TILE_ROWS) {
                int valid = Math.min(Kernels.TILE_ROWS, endRow - i);
                long a = codes + ((long) i * padded + k) * Float.BYTES;
                long c = blockSums + (i - firstRow) * row;
                tile(a, (long) padded * Float.BYTES, valid, panel, stripBytes, strips, depth, c, row);
            }
        }
        int columns = Math.min(weight.outputs - firstStrip * lanes, strips * lanes);
        for (int i = firstRow; i < endRow; i++) {
            scale(i, blockSums + (i - firstRow) * row, firstStrip, columns);
        }
    }

    private void tile(long a, long aRow, int valid, long b, long bStrip, int strips, int depth, long c, long cRow) {
        if (strips == Kernels.TILE_STRIPS) {
            kernels.integerTile(a, aRow, valid, b, bStrip, depth, c, cRow);
            return;
        }
        for (int strip = 0; strip < strips; strip++) {
            kernels.narrowIntegerTile(a, aRow, valid, b + strip * bStrip, depth, c + strip * (cRow / 4), cRow);
        }
    }

    @Override
    public void close() {
        for (Memory memory : arguments) {
            memory.close();
        }
        inputs.close();
        starts.close();
    }
}

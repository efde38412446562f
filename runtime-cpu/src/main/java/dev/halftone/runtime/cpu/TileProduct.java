package dev.halftone.runtime.cpu;

import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.runtime.cpu.OneDnn.Numbers;

/// A linear over many rows on the tiles of AMX, in bfloat16 or, where inputs are rounded to integers, in bytes, as
/// [PanelProduct] does it by oneDNN: the workers bring the activations into order, then each restores one panel of
/// outputs at a time and multiplies all rows by it. For very many rows, where the weight is no larger than a share of
/// the last cache, it is restored as a whole first and pieces of both sides are shared out.
final class TileProduct implements AutoCloseable {
    private static final int ROWS = TileCode.ROWS;
    private static final int BLOCK = TileCode.COLUMNS;

    /// Of each worker, if there are outputs enough: with fewer, the activations stream through the cache less often;
    /// more are shared out more evenly.
    private static final int PANELS = 2;

    /// Rows and blocks of a piece: both sides of it, for a thousand inputs, fill half of a second-level cache.
    private static final int PIECE_ROWS = 256;

    private static final int PIECE_BLOCKS = 4;

    private static final long MOST_WHOLE_BYTES = 16 << 20;

    /// Of a panel, if there are outputs enough; one that is too large goes through the cache a chunk of inputs at a
    /// time.
    private static final int LEAST_BLOCKS = 4;

    /// Half of a second-level cache.
    private static final long MOST_PANEL_BYTES = 1 << 20;

    private final BFloat16Tiles tiles;
    private final ByteTiles byteTiles; // null for none
    private final PanelRestorer restorer;
    private final WorkerPool pool;
    private final Scratch scratch;
    private final float[][] rows;
    private final float[][] arranged;
    private Memory left = Memory.ofBytes(Memory.LINE); // [rows / ROWS][steps][ROWS][inputs]
    private final Memory[] right; // of each worker, a restored panel
    private Memory whole = Memory.ofBytes(Memory.LINE); // all panels
    private Memory scales = Memory.ofBytes(Memory.LINE); // of each row that is rounded to bytes

    private Numbers numbers;
    private ActivationScheme activations;
    private PackedWeight weight;
    private CpuMatrix x;
    private CpuMatrix y;
    private int steps;
    private int panel; // outputs
    private int chunk; // steps of it that stay in the second-level cache
    private boolean biased;
    private final WorkerPool.Task prepare = this::prepare;
    private final WorkerPool.Task restore = this::restore;
    private final WorkerPool.Task multiplyPanels = this::multiplyPanels;
    private final WorkerPool.Task multiplyPieces = this::multiplyPieces;

    /// @param byteTiles null for none
    TileProduct(BFloat16Tiles tiles, ByteTiles byteTiles, PanelRestorer restorer, WorkerPool pool, Scratch scratch) {
        assert BLOCK == OneDnn.BLOCK;
        this.tiles = tiles;
        this.byteTiles = byteTiles;
        this.restorer = restorer;
        this.pool = pool;
        this.scratch = scratch;
        rows = new float[pool.threads()][0];
        arranged = new float[pool.threads()][0];
        right = new Memory[pool.threads()];
        for (int worker = 0; worker < pool.threads(); worker++) {
            right[worker] = Memory.ofBytes(Memory.LINE);
        }
    }

    boolean multipliesBytes() {
        return byteTiles != null;
    }

    /// `y = x·Wᵀ + bias`, both sides rounded to bfloat16 before.
    ///
    /// @param placed whether the last product was one by the same activations, arranged alike
    void multiply(PackedWeight newWeight, CpuMatrix newX, CpuMatrix newY, boolean placed) {
        multiply(Numbers.BFLOAT16, ActivationScheme.NONE, newWeight, newX, newY, placed);
    }

    /// `y = x·Wᵀ + bias` with every row of `x` rounded to integers as `scheme` says.
    ///
    /// @param placed whether the last product was one by the same activations, rounded and arranged alike
    void multiply(ActivationScheme scheme, PackedWeight newWeight, CpuMatrix newX, CpuMatrix newY, boolean placed) {
        multiply(Numbers.UNSIGNED8, scheme, newWeight, newX, newY, placed);
    }

    private void multiply(
            Numbers newNumbers,
            ActivationScheme scheme,
            PackedWeight newWeight,
            CpuMatrix newX,
            CpuMatrix newY,
            boolean placed) {
        numbers = newNumbers;
        activations = scheme;
        weight = newWeight;
        x = newX;
        y = newY;
        steps = Math.ceilDiv(weight.paddedInputs(), stepInputs());
        int blocks = Math.ceilDiv(weight.outputs, BLOCK);
        boolean inPieces = x.rows() >= 2 * PIECE_ROWS && blocks * blockBytes() <= MOST_WHOLE_BYTES;
        int fair = inPieces ? PIECE_BLOCKS : blocks / (PANELS * pool.threads());
        int fitting = (int) (MOST_PANEL_BYTES / blockBytes());
        int panelBlocks = Math.max(Math.min(fair, Math.max(fitting, LEAST_BLOCKS)), 1);
        panel = panelBlocks * BLOCK;
        chunk = (int) (MOST_PANEL_BYTES / panelBlocks / TileCode.RIGHT_STEP);
        biased = false;
        for (int i = 0; i < weight.outputs && !biased && !rounds(); i++) {
            biased = Memory.getFloat(weight.bias(0) + (long) i * Float.BYTES) != 0;
        }
        reserve(inPieces ? blocks * blockBytes() : 0);
        if (!placed) {
            pool.splitFreely(Math.ceilDiv(x.rows(), ROWS), 1, prepare);
        }
        if (inPieces) {
            pool.splitFreely(blocks, 1, restore);
            pool.splitFreely(Math.ceilDiv(x.rows(), PIECE_ROWS) * panels(), 1, multiplyPieces);
        } else {
            pool.splitFreely(panels(), 1, multiplyPanels);
        }
    }

    private int panels() {
        return Math.ceilDiv(weight.outputs, panel);
    }

    /// Whether inputs are rounded to integers; the bias is added when their sums are scaled then.
    private boolean rounds() {
        return numbers != Numbers.BFLOAT16;
    }

    private int stepInputs() {
        return rounds() ? ByteTiles.INPUTS : BFloat16Tiles.INPUTS;
    }

    private int depth() {
        return steps * stepInputs();
    }

    private long blockBytes() {
        return (long) steps * TileCode.RIGHT_STEP;
    }

    private long edgeRow() {
        return (long) panel * Float.BYTES + Memory.LINE;
    }

    private void reserve(long wholeBytes) {
        whole = Memory.grown(whole, wholeBytes);
        for (int worker = 0; worker < right.length; worker++) {
            right[worker] = Memory.grown(right[worker], panel / BLOCK * blockBytes());
            if (weight.columns != null) {
                rows[worker] = Scratch.grown(rows[worker], weight.inputs);
                arranged[worker] = Scratch.grown(arranged[worker], weight.paddedInputs());
            }
        }
        left = Memory.grown(left, Math.ceilDiv(x.rows(), ROWS) * (long) steps * TileCode.LEFT_STEP);
        if (rounds()) {
            scales = Memory.grown(scales, (long) x.rows() * Float.BYTES);
        }
        long edge = ROWS * edgeRow() / Float.BYTES;
        scratch.require(BFloat16Tiles.ARGUMENT_BYTES / Float.BYTES
                + Math.max(edge, Math.max(depth(), restorer.scratchFloats())));
    }

    private void prepare(int worker, int from, int to) {
        for (int row = from * ROWS; row < Math.min(x.rows(), to * ROWS); row++) {
            prepare(worker, row);
        }
    }

    private void restore(int worker, int from, int to) {
        for (int block = from; block < to; block++) {
            restore(worker, block, whole.address() + block * blockBytes());
        }
    }

    private void restore(int worker, int block, long destination) {
        long floats = scratch.of(worker) + BFloat16Tiles.ARGUMENT_BYTES;
        restorer.restore(weight, numbers, depth(), block, floats, destination);
    }

    private void multiplyPanels(int worker, int from, int to) {
        for (int task = from; task < to; task++) {
            int column = task * panel;
            int width = Math.min(panel, weight.outputs - column);
            for (int block = 0; block < Math.ceilDiv(width, BLOCK); block++) {
                restore(worker, column / BLOCK + block, right[worker].address() + block * blockBytes());
            }
            multiply(worker, 0, x.rows(), right[worker].address(), column, width);
        }
    }

    private void multiplyPieces(int worker, int from, int to) {
        for (int task = from; task < to; task++) {
            int row = task / panels() * PIECE_ROWS;
            int column = task % panels() * panel;
            int width = Math.min(panel, weight.outputs - column);
            long panels = whole.address() + column / BLOCK * blockBytes();
            multiply(worker, row, Math.min(x.rows(), row + PIECE_ROWS), panels, column, width);
        }
    }

    private long left(int row) {
        return left.address()
                + (long) (row / ROWS) * steps * TileCode.LEFT_STEP
                + (long) (row % ROWS) * TileCode.ROW_BYTES;
    }

    private long scale(int row) {
        return scales.address() + (long) row * Float.BYTES;
    }

    /// One row of activations.
    private void prepare(int worker, int row) {
        long arguments = scratch.of(worker);
        long floats = arguments + BFloat16Tiles.ARGUMENT_BYTES;
        int count = weight.columns == null ? weight.inputs : weight.paddedInputs();
        if (weight.columns != null) {
            Memory.copyFloats(x.row(row), rows[worker], 0, weight.inputs);
            Preparation.arrange(weight, rows[worker], arranged[worker], 0, 1);
            Memory.copyFloats(arranged[worker], 0, floats, count);
        } else if (count < depth()) {
            Memory.copyFloats(x.row(row), floats, count);
        } else {
            floats = x.row(row);
        }
        if (count < depth()) {
            Memory.zeroFloats(floats + (long) count * Float.BYTES, depth() - count);
        }
        if (rounds()) {
            Memory.putFloat(scale(row), byteTiles.placeRow(activations, floats, steps, left(row), arguments));
        } else {
            tiles.placeRowByTurns(floats, steps, left(row), arguments);
        }
    }

    /// Rows `[from, to)` by `width` outputs from `column` on, whose restored blocks begin at `panels`.
    private void multiply(int worker, int from, int to, long panels, int column, int width) {
        long arguments = scratch.of(worker);
        long edge = arguments + BFloat16Tiles.ARGUMENT_BYTES;
        int blocks = Math.ceilDiv(width, BLOCK);
        int whole = width % BLOCK == 0 ? (to - from) / ROWS * ROWS : 0;
        for (int row = from; biased && row < from + whole; row++) {
            startFromBias(y.at(row, column), column, width);
        }
        for (int step = 0; step < steps; step += chunk) {
            int count = Math.min(chunk, steps - step);
            long right = panels + (long) step * TileCode.RIGHT_STEP;
            for (int row = from; row < from + whole; row += ROWS) {
                long result = y.at(row, column);
                multiply(
                        left(row) + (long) step * TileCode.LEFT_STEP,
                        right,
                        count,
                        blocks,
                        result,
                        y.rowBytes(),
                        step > 0,
                        arguments);
                if (rounds() && step + count == steps) {
                    scale(result, y.rowBytes(), row, ROWS, column, width, arguments);
                }
            }
        }
        for (int row = from + whole; row < to; row += ROWS) {
            int count = Math.min(ROWS, to - row);
            for (int i = 0; biased && i < count; i++) {
                startFromBias(edge + i * edgeRow(), column, width);
            }
            multiply(left(row), panels, steps, blocks, edge, edgeRow(), false, arguments);
            if (rounds()) {
                scale(edge, edgeRow(), row, count, column, Math.ceilDiv(width, weight.lanes) * weight.lanes, arguments);
            }
            for (int i = 0; i < count; i++) {
                Memory.copyFloats(edge + i * edgeRow(), y.at(row + i, column), width);
            }
        }
    }

    /// @param continues whether earlier steps have left their sums in the result
    private void multiply(
            long left,
            long right,
            int count,
            int blocks,
            long result,
            long resultRow,
            boolean continues,
            long arguments) {
        long block = blockBytes();
        if (rounds()) {
            byteTiles.multiply(left, right, block, count, blocks, result, resultRow, continues, arguments);
        } else {
            tiles.multiply(left, right, block, count, blocks, result, resultRow, biased || continues, arguments);
        }
    }

    private void scale(long sums, long sumRow, int row, int count, int column, int width, long arguments) {
        int strip = column / weight.lanes;
        byteTiles.scale(sums, sumRow, count, width, scale(row), weight.factors(strip), weight.bias(strip), arguments);
    }

    private void startFromBias(long row, int column, int width) {
        Memory.copyFloats(weight.bias(0) + (long) column * Float.BYTES, row, width);
    }

    @Override
    public void close() {
        left.close();
        whole.close();
        scales.close();
        for (Memory panels : right) {
            panels.close();
        }
    }
}

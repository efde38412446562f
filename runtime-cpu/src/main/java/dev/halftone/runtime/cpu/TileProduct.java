package dev.halftone.runtime.cpu;

import dev.halftone.runtime.cpu.OneDnn.Numbers;

/// A linear over many rows in bfloat16 on the tiles of AMX, as [PanelProduct] does it by oneDNN: the workers bring the
/// activations into order, then each restores one panel of outputs at a time and multiplies all rows by it. For very
/// many rows, where the weight is no larger than a share of the last cache, it is restored as a whole first and
/// pieces of both sides are shared out.
final class TileProduct implements AutoCloseable {
    private static final int ROWS = BFloat16Tiles.ROWS;
    private static final int BLOCK = BFloat16Tiles.COLUMNS;

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
    private final PanelRestorer restorer;
    private final WorkerPool pool;
    private final Scratch scratch;
    private final float[][] rows;
    private final float[][] arranged;
    private Memory left = Memory.ofBytes(Memory.LINE); // [rows / ROWS][steps][ROWS][INPUTS]
    private final Memory[] right; // of each worker, a restored panel
    private Memory whole = Memory.ofBytes(Memory.LINE); // all panels

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

    TileProduct(BFloat16Tiles tiles, PanelRestorer restorer, WorkerPool pool, Scratch scratch) {
        assert BLOCK == OneDnn.BLOCK;
        this.tiles = tiles;
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

    /// `y = x·Wᵀ + bias`, both sides rounded to bfloat16 before.
    ///
    /// @param placed whether the last product was one by the same activations, arranged alike
    void multiply(PackedWeight newWeight, CpuMatrix newX, CpuMatrix newY, boolean placed) {
        weight = newWeight;
        x = newX;
        y = newY;
        steps = Math.ceilDiv(weight.paddedInputs(), BFloat16Tiles.INPUTS);
        int blocks = Math.ceilDiv(weight.outputs, BLOCK);
        boolean inPieces = x.rows() >= 2 * PIECE_ROWS && blocks * blockBytes() <= MOST_WHOLE_BYTES;
        int fair = inPieces ? PIECE_BLOCKS : blocks / (PANELS * pool.threads());
        int fitting = (int) (MOST_PANEL_BYTES / blockBytes());
        int panelBlocks = Math.max(Math.min(fair, Math.max(fitting, LEAST_BLOCKS)), 1);
        panel = panelBlocks * BLOCK;
        chunk = (int) (MOST_PANEL_BYTES / panelBlocks / BFloat16Tiles.RIGHT_STEP);
        biased = false;
        for (int i = 0; i < weight.outputs && !biased; i++) {
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

    private int depth() {
        return steps * BFloat16Tiles.INPUTS;
    }

    private long blockBytes() {
        return PanelRestorer.blockBytes(Numbers.BFLOAT16, depth());
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
        left = Memory.grown(left, Math.ceilDiv(x.rows(), ROWS) * (long) steps * BFloat16Tiles.LEFT_STEP);
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
        restorer.restore(weight, Numbers.BFLOAT16, depth(), block, floats, destination);
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
                + (long) (row / ROWS) * steps * BFloat16Tiles.LEFT_STEP
                + (long) (row % ROWS) * BFloat16Tiles.LEFT_ROW;
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
        tiles.placeRowByTurns(floats, steps, left(row), arguments);
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
            long right = panels + (long) step * BFloat16Tiles.RIGHT_STEP;
            for (int row = from; row < from + whole; row += ROWS) {
                tiles.multiply(
                        left(row) + (long) step * BFloat16Tiles.LEFT_STEP,
                        right,
                        blockBytes(),
                        count,
                        blocks,
                        y.at(row, column),
                        y.rowBytes(),
                        biased || step > 0,
                        arguments);
            }
        }
        for (int row = from + whole; row < to; row += ROWS) {
            int count = Math.min(ROWS, to - row);
            for (int i = 0; biased && i < count; i++) {
                startFromBias(edge + i * edgeRow(), column, width);
            }
            tiles.multiply(left(row), panels, blockBytes(), steps, blocks, edge, edgeRow(), biased, arguments);
            for (int i = 0; i < count; i++) {
                Memory.copyFloats(edge + i * edgeRow(), y.at(row + i, column), width);
            }
        }
    }

    private void startFromBias(long row, int column, int width) {
        Memory.copyFloats(weight.bias(0) + (long) column * Float.BYTES, row, width);
    }

    @Override
    public void close() {
        left.close();
        whole.close();
        for (Memory panels : right) {
            panels.close();
        }
    }
}

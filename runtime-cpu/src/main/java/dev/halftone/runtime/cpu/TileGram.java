package dev.halftone.runtime.cpu;

/// What [Gram] computes, with both sides rounded to bfloat16, on the tiles of AMX; the sums are float32. A moment of
/// inputs is then exactly that of inputs which differ by 1/256 at most.
final class TileGram implements AutoCloseable {
    /// Both sides of so many rows of 2,048 columns fill a second-level cache.
    private static final int SLAB_ROWS = 512;

    private static final int STRIP = 16;
    private static final int BLOCK = BFloat16Tiles.ROWS;

    private final BFloat16Tiles tiles;
    private final WorkerPool pool;
    private final Scratch scratch;
    private Memory left = Memory.ofBytes(Memory.LINE); // [rows / BLOCK][steps][BLOCK][INPUTS]
    private Memory right = Memory.ofBytes(Memory.LINE); // [columns / COLUMNS][steps][INPUTS / 2][COLUMNS]

    private CpuMatrix a;
    private CpuMatrix b;
    private CpuMatrix sum;
    private boolean symmetric;
    private int first;
    private int count;
    private int steps;
    private final WorkerPool.Task place = this::place;
    private final WorkerPool.Task multiply = this::multiply;

    TileGram(BFloat16Tiles tiles, WorkerPool pool, Scratch scratch) {
        this.tiles = tiles;
        this.pool = pool;
        this.scratch = scratch;
    }

    /// Whether a result of this size is of whole tiles.
    static boolean takes(int rows, int columns) {
        return rows % BLOCK == 0 && columns % BFloat16Tiles.COLUMNS == 0;
    }

    /// `sum += aᵀ·b`; if `same`, which says that `a` is `b`, only blocks on and above the diagonal.
    void accumulate(CpuMatrix newA, CpuMatrix newB, CpuMatrix newSum, boolean same) {
        a = newA;
        b = newB;
        sum = newSum;
        symmetric = same;
        int most = Math.ceilDiv(Math.min(SLAB_ROWS, b.rows()), BFloat16Tiles.INPUTS);
        left = Memory.grown(left, (long) sum.rows() / BLOCK * most * BFloat16Tiles.LEFT_STEP);
        right = Memory.grown(right, (long) sum.columns() / BFloat16Tiles.COLUMNS * most * BFloat16Tiles.RIGHT_STEP);
        scratch.require((BFloat16Tiles.ARGUMENT_BYTES + (long) most * BFloat16Tiles.RIGHT_STEP) / Float.BYTES);
        for (first = 0; first < b.rows(); first += SLAB_ROWS) {
            count = Math.min(SLAB_ROWS, b.rows() - first);
            steps = Math.ceilDiv(count, BFloat16Tiles.INPUTS);
            int strips = sum.columns() / STRIP + (symmetric ? 0 : sum.rows() / STRIP);
            pool.splitFreely(strips, 1, place);
            pool.splitFreely(sum.rows() / BLOCK, 1, multiply);
        }
    }

    private long rightBlock() {
        return (long) steps * BFloat16Tiles.RIGHT_STEP;
    }

    private void place(int worker, int from, int to) {
        long arguments = scratch.of(worker);
        long words = arguments + BFloat16Tiles.ARGUMENT_BYTES;
        int rightStrips = sum.columns() / STRIP;
        for (int strip = from; strip < to; strip++) {
            if (strip < rightStrips) {
                int column = strip * STRIP;
                long place = right.address()
                        + column / BFloat16Tiles.COLUMNS * rightBlock()
                        + (long) column % BFloat16Tiles.COLUMNS * Integer.BYTES;
                placeColumns(b, column, place, arguments);
                if (symmetric) {
                    transpose(place, strip, arguments);
                }
            } else {
                int row = strip - rightStrips;
                placeColumns(a, row * STRIP, words, arguments);
                transpose(words, row, arguments);
            }
        }
    }

    private void placeColumns(CpuMatrix x, int column, long words, long arguments) {
        tiles.placeColumns(x.at(first, column), x.rowBytes(), count, words, arguments);
        for (int word = Math.ceilDiv(count, 2); word < steps * BFloat16Tiles.INPUTS / 2; word++) {
            Memory.zeroFloats(words + (long) word * BFloat16Tiles.RIGHT_ROW, STRIP);
        }
    }

    private void transpose(long words, int strip, long arguments) {
        int row = strip * STRIP;
        long place = left.address()
                + (long) (row / BLOCK) * steps * BFloat16Tiles.LEFT_STEP
                + (long) (row % BLOCK) * BFloat16Tiles.LEFT_ROW;
        tiles.transpose(words, steps, place, arguments);
    }

    private void multiply(int worker, int from, int to) {
        for (int block = from; block < to; block++) {
            int row = block * BLOCK;
            int firstColumn = symmetric ? row / BFloat16Tiles.COLUMNS * BFloat16Tiles.COLUMNS : 0;
            tiles.multiply(
                    left.address() + (long) block * steps * BFloat16Tiles.LEFT_STEP,
                    right.address() + firstColumn / BFloat16Tiles.COLUMNS * rightBlock(),
                    rightBlock(),
                    steps,
                    (sum.columns() - firstColumn) / BFloat16Tiles.COLUMNS,
                    sum.at(row, firstColumn),
                    sum.rowBytes(),
                    true,
                    scratch.of(worker));
        }
    }

    @Override
    public void close() {
        left.close();
        right.close();
    }
}

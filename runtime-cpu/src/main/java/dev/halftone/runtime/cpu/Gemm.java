package dev.halftone.runtime.cpu;

/// `c += alpha * a·b`, the one blocked matrix product. A task is four strips of `b` and a block of rows: its worker
/// writes the strips' panel of [#DEPTH] rows into its own cache, then sweeps a register tile over all rows of the
/// block: [ProductTile], where there is one and the panel is whole, else that of the [Kernels], for which both sides
/// are
/// packed where the product is large. Each element of `c` is summed over the same blocks in the same order however the
/// tasks fall.
final class Gemm implements WorkerPool.Task, AutoCloseable {
    /// What may be skipped because it is known to be zero or unwanted; row and column 0 are on the diagonal.
    enum Part {
        ALL,
        /// Only elements of `c` on and above the diagonal, and a few beside it.
        UPPER_RESULT,
        /// `b` is upper triangular: zero in every row below the last of a task's columns, and stored zeros within the
        /// square of these columns.
        UPPER_RIGHT
    }

    /// Rows of a panel: four strips of 512 bits then take 128 KiB, a quarter of a small second-level cache. With fewer
    /// the
    /// result goes to and fro more often, which costs more than the larger panel.
    static final int DEPTH = 512;

    /// Of a packed left side; what has more is multiplied some rows at a time.
    private static final int MOST_PACKED_FLOATS = 4 << 20;

    /// With fewer columns packing costs more than it brings.
    private static final int LEAST_PACKED_COLUMNS = 256;

    private static final int MOST_ROWS = 1024;
    private static final int LEAST_ROWS = 64;

    private final Kernels kernels;
    private final ProductTile productTile; // null for none
    private final WorkerPool pool;
    private final Scratch scratch;
    private final int lanes;

    private final WorkerPool.Task pack = this::pack;
    private Memory packed = Memory.ofBytes(0); // `a` as [rows / TILE_ROWS][depth][TILE_ROWS], if it is packed
    private boolean packs;

    private long a;
    private long aRow;
    private int rows;
    private Panels b;
    private int depth;
    private int columns;
    private long c;
    private long cRow;
    private float alpha;
    private long initial;
    private Part part;
    private int strips;
    private int blockRows;
    private int blocks;

    /// @param productTile null for none
    Gemm(Kernels kernels, ProductTile productTile, WorkerPool pool, Scratch scratch) {
        this.kernels = kernels;
        this.productTile = productTile;
        this.pool = pool;
        this.scratch = scratch;
        this.lanes = kernels.lanes();
    }

    /// Accumulates onto what `c` holds.
    void accumulate(
            long newA,
            long newARow,
            int newRows,
            Panels newB,
            int newDepth,
            int newColumns,
            long newC,
            long newCRow,
            float newAlpha,
            Part newPart) {
        packs = false;
        product(newA, newARow, newRows, newB, newDepth, newColumns, newC, newCRow, newAlpha, 0, newPart);
    }

    /// Starts every row of `c` from the numbers at `newInitial`.
    void multiply(
            long newA,
            long newARow,
            int newRows,
            Panels newB,
            int newDepth,
            int newColumns,
            long newC,
            long newCRow,
            long newInitial) {
        packs = productTile == null && newRows >= LEAST_ROWS && newColumns >= LEAST_PACKED_COLUMNS;
        int most = packs ? Math.max(LEAST_ROWS, MOST_PACKED_FLOATS / newDepth / LEAST_ROWS * LEAST_ROWS) : newRows;
        for (int row = 0; row < newRows; row += most) {
            int count = Math.min(most, newRows - row);
            long left = newA + row * newARow;
            long to = newC + row * newCRow;
            product(left, newARow, count, newB, newDepth, newColumns, to, newCRow, 1f, newInitial, Part.ALL);
        }
    }

    private void product(
            long newA,
            long newARow,
            int newRows,
            Panels newB,
            int newDepth,
            int newColumns,
            long newC,
            long newCRow,
            float newAlpha,
            long newInitial,
            Part newPart) {
        a = newA;
        aRow = newARow;
        rows = newRows;
        b = newB;
        depth = newDepth;
        columns = newColumns;
        c = newC;
        cRow = newCRow;
        alpha = newAlpha;
        initial = newInitial;
        part = newPart;
        strips = Math.ceilDiv(columns, lanes);
        int groups = Math.ceilDiv(strips, Kernels.TILE_STRIPS);
        int wanted = Math.max(Math.ceilDiv(rows, MOST_ROWS), Math.ceilDiv(4 * pool.threads(), groups));
        blocks = Math.clamp(wanted, 1, Math.ceilDiv(rows, LEAST_ROWS));
        blockRows = Math.ceilDiv(Math.ceilDiv(rows, blocks), Kernels.TILE_ROWS) * Kernels.TILE_ROWS;
        long tiles = (DEPTH + Kernels.TILE_ROWS) * (long) Kernels.TILE_STRIPS * lanes;
        scratch.require(tiles + Math.max(ProductTile.ARGUMENTS, DEPTH * lanes));
        if (packs) {
            int packedRows = Math.ceilDiv(rows, Kernels.TILE_ROWS);
            packed = Memory.grown(packed, (long) packedRows * Kernels.TILE_ROWS * depth * Float.BYTES);
            pool.split(packedRows, pack);
        }
        pool.splitFreely(groups * blocks, 1, this);
    }

    private void pack(int worker, int from, int to) {
        for (int i = from; i < to; i++) {
            int row = i * Kernels.TILE_ROWS;
            long a0 = a + row * aRow;
            // The last row stands for those that are missing.
            long a1 = a + Math.min(row + 1, rows - 1) * aRow;
            long a2 = a + Math.min(row + 2, rows - 1) * aRow;
            long a3 = a + Math.min(row + 3, rows - 1) * aRow;
            long place = packed(row, 0);
            for (int k = 0; k < depth; k++) {
                long offset = (long) k * Float.BYTES;
                long four = place + Kernels.TILE_ROWS * offset;
                Memory.putFloat(four, Memory.getFloat(a0 + offset));
                Memory.putFloat(four + Float.BYTES, Memory.getFloat(a1 + offset));
                Memory.putFloat(four + 2 * Float.BYTES, Memory.getFloat(a2 + offset));
                Memory.putFloat(four + 3 * Float.BYTES, Memory.getFloat(a3 + offset));
            }
        }
    }

    /// Where four rows begin that were packed.
    private long packed(int row, int k) {
        return packed.address() + ((long) row * depth + (long) k * Kernels.TILE_ROWS) * Float.BYTES;
    }

    @Override
    public void run(int worker, int from, int to) {
        for (int task = from; task < to; task++) {
            int group = task / blocks;
            int firstStrip = group * Kernels.TILE_STRIPS;
            int lastColumn = Math.min(columns, (firstStrip + Kernels.TILE_STRIPS) * lanes);
            int firstRow = task % blocks * blockRows;
            int rowLimit = part == Part.UPPER_RESULT ? Math.min(rows, lastColumn) : rows;
            int endRow = Math.min(rowLimit, firstRow + blockRows);
            int endDepth = part == Part.UPPER_RIGHT ? Math.min(depth, lastColumn) : depth;
            if (firstRow < endRow) {
                block(scratch.of(worker), firstStrip, firstRow, endRow, endDepth);
            }
        }
    }

    private void block(long panel, int firstStrip, int firstRow, int endRow, int endDepth) {
        int firstColumn = firstStrip * lanes;
        int width = Math.min(Kernels.TILE_STRIPS * lanes, columns - firstColumn);
        if (initial != 0) {
            for (int row = firstRow; row < endRow; row++) {
                Memory.copyFloats(initial + (long) firstColumn * Float.BYTES, at(row, firstColumn), width);
            }
        }
        int taskStrips = Math.min(Kernels.TILE_STRIPS, strips - firstStrip);
        long vector = (long) lanes * Float.BYTES;
        for (int k = 0; k < endDepth; k += DEPTH) {
            int count = Math.min(DEPTH, endDepth - k);
            if (packs) {
                fillPacked(panel, firstStrip, taskStrips, k, count);
                sweepPacked(panel, k, count, firstRow, endRow, firstColumn, width);
                continue;
            }
            long stripBytes = count * vector;
            for (int strip = 0; strip < taskStrips; strip++) {
                b.fill(firstStrip + strip, k, count, panel + strip * stripBytes);
            }
            if (productTile != null && width == Kernels.TILE_STRIPS * lanes) {
                sweep(panel, stripBytes, k, count, firstRow, endRow, firstColumn);
                continue;
            }
            for (int row = firstRow; row < endRow; row += Kernels.TILE_ROWS) {
                int valid = Math.min(Kernels.TILE_ROWS, endRow - row);
                long left = a + row * aRow + (long) k * Float.BYTES;
                long right = panel;
                if (valid == Kernels.TILE_ROWS && width == Kernels.TILE_STRIPS * lanes) {
                    long to = at(row, firstColumn);
                    kernels.tile(left, aRow, valid, right, stripBytes, count, to, cRow, alpha);
                } else {
                    long edge = panel + DEPTH * Kernels.TILE_STRIPS * vector;
                    edge(left, valid, right, stripBytes, taskStrips, count, edge);
                    addEdge(edge, row, valid, firstColumn, width);
                }
            }
        }
    }

    private void sweep(long panel, long stripBytes, int k, int count, int firstRow, int endRow, int firstColumn) {
        long arguments = panel + (DEPTH + Kernels.TILE_ROWS) * (long) Kernels.TILE_STRIPS * lanes * Float.BYTES;
        for (int strip = 0; strip < Kernels.TILE_STRIPS; strip += ProductTile.STRIPS) {
            for (int row = firstRow; row < endRow; row += ProductTile.ROWS) {
                productTile.multiply(
                        a + row * aRow + (long) k * Float.BYTES,
                        aRow,
                        Math.min(ProductTile.ROWS, endRow - row),
                        panel + strip * stripBytes,
                        stripBytes,
                        count,
                        at(row, firstColumn + strip * lanes),
                        cRow,
                        alpha,
                        arguments);
            }
        }
    }

    /// All strips of a panel side by side; those that are missing are zero.
    private void fillPacked(long panel, int firstStrip, int taskStrips, int k, int count) {
        long vector = (long) lanes * Float.BYTES;
        long strip = panel + (DEPTH + Kernels.TILE_ROWS) * Kernels.TILE_STRIPS * vector;
        if (taskStrips < Kernels.TILE_STRIPS) {
            Memory.zeroFloats(panel, (long) count * Kernels.TILE_STRIPS * lanes);
        }
        for (int i = 0; i < taskStrips; i++) {
            b.fill(firstStrip + i, k, count, strip);
            kernels.spread(strip, count, panel + i * vector, Kernels.TILE_STRIPS * vector);
        }
    }

    private void sweepPacked(long panel, int k, int count, int firstRow, int endRow, int firstColumn, int width) {
        long edge = panel + (long) DEPTH * Kernels.TILE_STRIPS * lanes * Float.BYTES;
        long edgeRow = (long) Kernels.TILE_STRIPS * lanes * Float.BYTES;
        for (int row = firstRow; row < endRow; row += Kernels.TILE_ROWS) {
            int valid = Math.min(Kernels.TILE_ROWS, endRow - row);
            if (valid == Kernels.TILE_ROWS && width == Kernels.TILE_STRIPS * lanes) {
                kernels.packedTile(packed(row, k), panel, count, at(row, firstColumn), cRow, alpha);
            } else {
                Memory.zeroFloats(edge, (long) Kernels.TILE_ROWS * Kernels.TILE_STRIPS * lanes);
                kernels.packedTile(packed(row, k), panel, count, edge, edgeRow, alpha);
                addEdge(edge, row, valid, firstColumn, width);
            }
        }
    }

    private long at(int row, int column) {
        return c + row * cRow + (long) column * Float.BYTES;
    }

    /// A tile that does not fit `c`, into scratch.
    private void edge(long left, int valid, long right, long stripBytes, int taskStrips, int count, long edge) {
        long vector = (long) lanes * Float.BYTES;
        long edgeRow = Kernels.TILE_STRIPS * vector;
        Memory.zeroFloats(edge, (long) Kernels.TILE_ROWS * Kernels.TILE_STRIPS * lanes);
        if (taskStrips == Kernels.TILE_STRIPS) {
            kernels.tile(left, aRow, valid, right, stripBytes, count, edge, edgeRow, alpha);
            return;
        }
        for (int strip = 0; strip < taskStrips; strip++) {
            long from = right + strip * stripBytes;
            long to = edge + strip * vector;
            kernels.narrowTile(left, aRow, valid, from, count, to, edgeRow, alpha);
        }
    }

    private void addEdge(long edge, int row, int valid, int firstColumn, int width) {
        long edgeRow = (long) Kernels.TILE_STRIPS * lanes * Float.BYTES;
        for (int i = 0; i < valid; i++) {
            kernels.add(edge + i * edgeRow, at(row + i, firstColumn), width);
        }
    }

    @Override
    public void close() {
        packed.close();
    }
}

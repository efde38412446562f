package dev.halftone.runtime.cpu;

/// `c += aᵀ·b`. A slab of rows of either side is brought into strips and multiplied tile by tile. For `xᵀ·x` one slab
/// serves as both sides; tiles on and above the diagonal are computed, the rest is their mirror image. Where linears
/// over as many rows are computed in bfloat16, [TileGram] takes this over, if there is one.
final class Gram implements AutoCloseable {
    /// The strips of a tile over so many rows stay in the first cache.
    private static final int SLAB_ROWS = 128;
    private static final int MIRROR_BLOCK = 64;

    private final Kernels kernels;
    private final WorkerPool pool;
    private final Scratch scratch;
    private final int lanes;
    private final MatrixPanels leftPanels;
    private final MatrixPanels rightPanels;
    private final TileGram tileGram; // null for none

    private CpuMatrix sum;
    private boolean symmetric;
    private int rows; // of the sum: columns of a
    private int columns; // of the sum: columns of b
    private int leftStrips;
    private int rightStrips;
    private int first;
    private int count;
    private long leftSlab;
    private long rightSlab;

    // Bound once: a region allocates nothing.
    private final WorkerPool.Task pack = this::pack;
    private final WorkerPool.Task multiply = this::multiply;
    private final WorkerPool.Task mirror = this::mirror;

    /// @param tiles null for none
    Gram(Kernels kernels, BFloat16Tiles tiles, WorkerPool pool, Scratch scratch) {
        this.kernels = kernels;
        tileGram = tiles == null ? null : new TileGram(tiles, pool, scratch);
        this.pool = pool;
        this.scratch = scratch;
        this.lanes = kernels.lanes();
        this.leftPanels = new MatrixPanels(kernels);
        this.rightPanels = new MatrixPanels(kernels);
    }

    /// `gram += xᵀ·x`, both triangles.
    ///
    /// @param rounds whether bfloat16 is exact enough
    void add(CpuMatrix x, CpuMatrix gram, boolean rounds) {
        accumulate(x, x, gram, true, rounds);
        pool.splitFreely(Math.ceilDiv(rows, MIRROR_BLOCK), 1, mirror);
    }

    /// `sum += aᵀ·b`.
    ///
    /// @param rounds whether bfloat16 is exact enough
    void addProduct(CpuMatrix a, CpuMatrix b, CpuMatrix newSum, boolean rounds) {
        accumulate(a, b, newSum, false, rounds);
    }

    private void accumulate(CpuMatrix a, CpuMatrix b, CpuMatrix newSum, boolean same, boolean rounds) {
        sum = newSum;
        symmetric = same;
        rows = sum.rows();
        columns = sum.columns();
        if (rounds && tileGram != null && TileGram.takes(rows, columns)) {
            tileGram.accumulate(a, b, sum, same);
            return;
        }
        leftStrips = paddedStrips(rows);
        rightStrips = paddedStrips(columns);
        long rightFloats = (long) rightStrips * lanes * SLAB_ROWS;
        rightSlab = scratch.shared(rightFloats + (symmetric ? 0 : (long) leftStrips * lanes * SLAB_ROWS));
        leftSlab = symmetric ? rightSlab : rightSlab + rightFloats * Float.BYTES;
        scratch.require((long) Kernels.TILE_ROWS * Kernels.TILE_STRIPS * lanes);
        leftPanels.of(a.address(), a.rowBytes(), rows);
        rightPanels.of(b.address(), b.rowBytes(), columns);
        for (first = 0; first < b.rows(); first += SLAB_ROWS) {
            count = Math.min(SLAB_ROWS, b.rows() - first);
            pool.split(rightStrips + (symmetric ? 0 : leftStrips), pack);
            pool.splitFreely(rightStrips / Kernels.TILE_STRIPS, 1, multiply);
        }
    }

    /// Whole groups of strips, the last ones of zeros.
    private int paddedStrips(int width) {
        return Math.ceilDiv(Math.ceilDiv(width, lanes), Kernels.TILE_STRIPS) * Kernels.TILE_STRIPS;
    }

    private long strip(long slab, int strip) {
        return slab + (long) strip * count * lanes * Float.BYTES;
    }

    private void pack(int worker, int from, int to) {
        for (int strip = from; strip < to; strip++) {
            if (strip < rightStrips) {
                pack(rightPanels, columns, strip, strip(rightSlab, strip));
            } else {
                pack(leftPanels, rows, strip - rightStrips, strip(leftSlab, strip - rightStrips));
            }
        }
    }

    private void pack(MatrixPanels panels, int width, int strip, long to) {
        if (strip * lanes < width) {
            panels.fill(strip, first, count, to);
        } else {
            Memory.zeroFloats(to, (long) count * lanes);
        }
    }

    private void multiply(int worker, int from, int to) {
        int groups = rightStrips / Kernels.TILE_STRIPS;
        for (int task = from; task < to; task++) {
            // The longest columns first, so that no worker is left with one at the end.
            group(groups - 1 - task, scratch.of(worker));
        }
    }

    private void group(int group, long edge) {
        int width = Kernels.TILE_STRIPS * lanes;
        int firstColumn = group * width;
        long vector = (long) lanes * Float.BYTES;
        long right = strip(rightSlab, group * Kernels.TILE_STRIPS);
        long stripBytes = count * vector;
        int endRow = symmetric ? Math.min(rows, firstColumn + width) : rows;
        for (int row = 0; row < endRow; row += Kernels.TILE_ROWS) {
            long left = strip(leftSlab, row / lanes) + (long) (row % lanes) * Float.BYTES;
            int valid = Math.min(Kernels.TILE_ROWS, rows - row);
            if (valid == Kernels.TILE_ROWS && firstColumn + width <= columns) {
                kernels.columnTile(left, right, stripBytes, count, sum.at(row, firstColumn), sum.rowBytes());
            } else {
                long edgeRow = (long) width * Float.BYTES;
                Memory.zeroFloats(edge, (long) Kernels.TILE_ROWS * width);
                kernels.columnTile(left, right, stripBytes, count, edge, edgeRow);
                for (int i = 0; i < valid; i++) {
                    int part = Math.min(width, columns - firstColumn);
                    kernels.add(edge + i * edgeRow, sum.at(row + i, firstColumn), part);
                }
            }
        }
    }

    private void mirror(int worker, int from, int to) {
        for (int block = from; block < to; block++) {
            int firstRow = block * MIRROR_BLOCK;
            int endRow = Math.min(rows, firstRow + MIRROR_BLOCK);
            for (int firstColumn = 0; firstColumn < endRow; firstColumn += MIRROR_BLOCK) {
                for (int row = firstRow; row < endRow; row++) {
                    int endColumn = Math.min(row, firstColumn + MIRROR_BLOCK);
                    for (int column = firstColumn; column < endColumn; column++) {
                        Memory.putFloat(sum.at(row, column), Memory.getFloat(sum.at(column, row)));
                    }
                }
            }
        }
    }

    @Override
    public void close() {
        if (tileGram != null) {
            tileGram.close();
        }
    }
}

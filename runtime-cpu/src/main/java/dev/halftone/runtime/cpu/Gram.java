package dev.halftone.runtime.cpu;

/// `gram += xᵀ·x`. A slab of rows of `x` is brought into strips once and serves as both sides; tiles on and above the
/// diagonal are computed, the rest is their mirror image.
final class Gram {
    private static final int SLAB_ROWS = 256;
    private static final int MIRROR_BLOCK = 64;

    private final Kernels kernels;
    private final WorkerPool pool;
    private final Scratch scratch;
    private final int lanes;
    private final MatrixPanels panels;

    private CpuMatrix gram;
    private int size;
    private int strips;
    private int first;
    private int count;
    private long slab;

    // Bound once: a region allocates nothing.
    private final WorkerPool.Task pack = this::pack;
    private final WorkerPool.Task multiply = this::multiply;
    private final WorkerPool.Task mirror = this::mirror;

    Gram(Kernels kernels, WorkerPool pool, Scratch scratch) {
        this.kernels = kernels;
        this.pool = pool;
        this.scratch = scratch;
        this.lanes = kernels.lanes();
        this.panels = new MatrixPanels(kernels);
    }

    void add(CpuMatrix x, CpuMatrix newGram) {
        gram = newGram;
        size = gram.rows();
        // Whole groups of strips, the last ones of zeros.
        strips = Math.ceilDiv(Math.ceilDiv(size, lanes), Kernels.TILE_STRIPS) * Kernels.TILE_STRIPS;
        slab = scratch.shared((long) strips * lanes * SLAB_ROWS);
        scratch.require((long) Kernels.TILE_ROWS * Kernels.TILE_STRIPS * lanes);
        panels.of(x.address(), x.rowBytes(), size);
        int groups = strips / Kernels.TILE_STRIPS;
        for (first = 0; first < x.rows(); first += SLAB_ROWS) {
            count = Math.min(SLAB_ROWS, x.rows() - first);
            pool.split(strips, pack);
            pool.splitFreely(groups, 1, multiply);
        }
        mirror(gram);
    }

    /// Copies the upper triangle onto the lower one.
    private void mirror(CpuMatrix matrix) {
        gram = matrix;
        size = matrix.rows();
        pool.splitFreely(Math.ceilDiv(size, MIRROR_BLOCK), 1, mirror);
    }

    private long strip(int strip) {
        return slab + (long) strip * count * lanes * Float.BYTES;
    }

    private void pack(int worker, int from, int to) {
        for (int strip = from; strip < to; strip++) {
            if (strip * lanes < size) {
                panels.fill(strip, first, count, strip(strip));
            } else {
                Memory.zeroFloats(strip(strip), (long) count * lanes);
            }
        }
    }

    private void multiply(int worker, int from, int to) {
        int groups = strips / Kernels.TILE_STRIPS;
        for (int task = from; task < to; task++) {
            // The longest columns first, so that no worker is left with one at the end.
            columns(groups - 1 - task, scratch.of(worker));
        }
    }

    private void columns(int group, long edge) {
        int width = Kernels.TILE_STRIPS * lanes;
        int firstColumn = group * width;
        long vector = (long) lanes * Float.BYTES;
        long right = strip(group * Kernels.TILE_STRIPS);
        long stripBytes = count * vector;
        int endRow = Math.min(size, firstColumn + width);
        for (int row = 0; row < endRow; row += Kernels.TILE_ROWS) {
            long left = strip(row / lanes) + (long) (row % lanes) * Float.BYTES;
            int valid = Math.min(Kernels.TILE_ROWS, size - row);
            if (valid == Kernels.TILE_ROWS && firstColumn + width <= size) {
                long to = gram.at(row, firstColumn);
                kernels.tile(
                        left, Float.BYTES, vector, valid, right, stripBytes, vector, count, to, gram.rowBytes(), 1f);
            } else {
                long edgeRow = (long) width * Float.BYTES;
                Memory.zeroFloats(edge, (long) Kernels.TILE_ROWS * width);
                kernels.tile(left, Float.BYTES, vector, valid, right, stripBytes, vector, count, edge, edgeRow, 1f);
                for (int i = 0; i < valid; i++) {
                    int columns = Math.min(width, size - firstColumn);
                    kernels.add(edge + i * edgeRow, gram.at(row + i, firstColumn), columns);
                }
            }
        }
    }

    private void mirror(int worker, int from, int to) {
        for (int block = from; block < to; block++) {
            int firstRow = block * MIRROR_BLOCK;
            int endRow = Math.min(size, firstRow + MIRROR_BLOCK);
            for (int firstColumn = 0; firstColumn < endRow; firstColumn += MIRROR_BLOCK) {
                for (int row = firstRow; row < endRow; row++) {
                    int endColumn = Math.min(row, firstColumn + MIRROR_BLOCK);
                    for (int column = firstColumn; column < endColumn; column++) {
                        Memory.putFloat(gram.at(row, column), Memory.getFloat(gram.at(column, row)));
                    }
                }
            }
        }
    }
}

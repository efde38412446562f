package dev.halftone.runtime.cpu;

/// A linear over a few rows: bound by the reading of the weight, so all rows are served while a part of it is in cache.
final class SmallProduct implements WorkerPool.Task {
    private final Kernels kernels;
    private final WorkerPool pool;
    private final Scratch scratch;

    private PackedWeight weight;
    private int rows;
    private long prepared;
    private long sums;
    private long y;
    private long yRow;

    SmallProduct(Kernels kernels, WorkerPool pool, Scratch scratch) {
        this.kernels = kernels;
        this.pool = pool;
        this.scratch = scratch;
    }

    void multiply(PackedWeight newWeight, CpuMatrix x, CpuMatrix result) {
        weight = newWeight;
        rows = x.rows() == 1 ? 1 : Math.ceilDiv(x.rows(), Kernels.TILE_ROWS) * Kernels.TILE_ROWS;
        int padded = weight.paddedInputs();
        int outputs = weight.strips * weight.lanes;
        boolean direct = outputs == weight.outputs && rows == x.rows();
        long floats = (long) rows * padded + weight.groups + weight.lanes + (direct ? 0 : (long) rows * outputs);
        prepared = scratch.shared(floats);
        sums = prepared + (long) rows * padded * Float.BYTES;
        // The results start on a vector's boundary behind the sums.
        long behind = sums + (long) Math.ceilDiv(weight.groups, weight.lanes) * weight.vectorBytes();
        y = direct ? result.address() : behind;
        yRow = direct ? result.rowBytes() : (long) outputs * Float.BYTES;
        for (int row = 0; row < rows; row++) {
            long to = prepared + (long) row * padded * Float.BYTES;
            if (row < x.rows()) {
                Preparation.arrange(weight, x.row(row), to);
            } else {
                Memory.zeroFloats(to, padded);
            }
        }
        if (rows == 1 && weight.form.isCodes()) {
            Preparation.sum(prepared, weight.groups, weight.groupLength, sums);
        }
        pool.split(weight.strips, this);
        if (!direct) {
            for (int row = 0; row < x.rows(); row++) {
                Memory.copyFloats(y + row * yRow, result.row(row), weight.outputs);
            }
        }
    }

    @Override
    public void run(int worker, int from, int to) {
        if (rows == 1) {
            kernels.multiplyRow(weight, prepared, sums, from, to, y);
            return;
        }
        long xRow = (long) weight.paddedInputs() * Float.BYTES;
        if (rows == Kernels.TILE_ROWS) {
            kernels.multiplyFourRows(weight, prepared, xRow, from, to, y, yRow);
            return;
        }
        for (int strip = from; strip < to; strip += 2) {
            int end = Math.min(to, strip + 2);
            for (int row = 0; row < rows; row += Kernels.TILE_ROWS) {
                kernels.multiplyFourRows(weight, prepared + row * xRow, xRow, strip, end, y + row * yRow, yRow);
            }
        }
    }
}

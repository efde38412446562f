package dev.halftone.runtime.cpu;

/// A linear over a few rows: bound by the reading of the weight, so all rows are served while a part of it is in cache.
final class SmallProduct implements WorkerPool.Task {
    private final Kernels kernels;
    private final WorkerPool pool;
    private final Scratch scratch;

    // On the heap; see [Kernels#multiplyRow].
    private float[] row = new float[0];
    private float[] prepared = new float[0];
    private float[] sums = new float[0];

    private PackedWeight weight;
    private int blocks; // of four rows; 0 for a single row
    private long y;
    private long yRow;

    SmallProduct(Kernels kernels, WorkerPool pool, Scratch scratch) {
        this.kernels = kernels;
        this.pool = pool;
        this.scratch = scratch;
    }

    void multiply(PackedWeight newWeight, CpuMatrix x, CpuMatrix result) {
        weight = newWeight;
        blocks = x.rows() == 1 ? 0 : Math.ceilDiv(x.rows(), Kernels.TILE_ROWS);
        int rows = Math.max(1, blocks * Kernels.TILE_ROWS);
        prepare(x, rows);
        int outputs = weight.strips * weight.lanes;
        // Kernels write whole strips and whole blocks of rows.
        boolean direct = outputs == weight.outputs && rows == x.rows();
        y = direct ? result.address() : scratch.shared((long) rows * outputs);
        yRow = direct ? result.rowBytes() : (long) outputs * Float.BYTES;
        pool.split(weight.strips, this);
        if (!direct) {
            for (int i = 0; i < x.rows(); i++) {
                Memory.copyFloats(y + i * yRow, result.row(i), weight.outputs);
            }
        }
    }

    private void prepare(CpuMatrix x, int rows) {
        int padded = weight.paddedInputs();
        row = grown(row, weight.inputs);
        prepared = grown(prepared, rows * padded);
        if (rows == 1) {
            Memory.copyFloats(x.row(0), row, 0, weight.inputs);
            Preparation.arrange(weight, row, prepared, 0, 1);
            if (weight.form.isCodes()) {
                sums = grown(sums, weight.groups);
                Preparation.sum(prepared, weight.groups, weight.groupLength, sums);
            }
            return;
        }
        for (int i = 0; i < rows; i++) {
            // The last row stands for those that are missing.
            Memory.copyFloats(x.row(Math.min(i, x.rows() - 1)), row, 0, weight.inputs);
            int first = i / Kernels.TILE_ROWS * Kernels.TILE_ROWS * padded + i % Kernels.TILE_ROWS;
            Preparation.arrange(weight, row, prepared, first, Kernels.TILE_ROWS);
        }
    }

    private static float[] grown(float[] array, int length) {
        return array.length >= length ? array : new float[length];
    }

    @Override
    public void run(int worker, int from, int to) {
        if (blocks == 0) {
            kernels.multiplyRow(weight, prepared, sums, from, to, y);
        } else if (blocks == 1) {
            kernels.multiplyFourRows(weight, prepared, 0, from, to, y, yRow);
        } else {
            // Two strips at a time, so that the second block of rows finds them in cache.
            for (int strip = from; strip < to; strip += 2) {
                for (int block = 0; block < blocks; block++) {
                    int first = block * Kernels.TILE_ROWS * weight.paddedInputs();
                    long to4 = y + block * Kernels.TILE_ROWS * yRow;
                    kernels.multiplyFourRows(weight, prepared, first, strip, Math.min(to, strip + 2), to4, yRow);
                }
            }
        }
    }
}

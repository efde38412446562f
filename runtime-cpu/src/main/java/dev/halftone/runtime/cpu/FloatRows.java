package dev.halftone.runtime.cpu;

/// Rows as floats, for the vector kernels. On the heap; see [Kernels#multiplyRow].
final class FloatRows implements PreparedRows {
    private final Kernels kernels;
    private final WorkerPool pool;

    // Each worker's own.
    private final float[][] row;
    private final float[][] arranged; // [ROWS][paddedInputs]
    private final float[][] rowSums; // [ROWS][groups]

    private float[] prepared = new float[0]; // [blocks][paddedInputs][ROWS]; a single row as it is
    private float[] sums = new float[0]; // likewise, groups in the place of inputs

    private final WorkerPool.Task prepareBlocks = this::prepareBlocks; // bound once: a region allocates nothing
    private PackedWeight weight;
    private CpuMatrix x;
    private int blocks; // of rows; 0 for a single row
    private boolean needsSums;

    FloatRows(Kernels kernels, WorkerPool pool) {
        this.kernels = kernels;
        this.pool = pool;
        row = new float[pool.threads()][0];
        arranged = new float[pool.threads()][0];
        rowSums = new float[pool.threads()][0];
    }

    private static int blocks(int rows) {
        return rows == 1 ? 0 : Math.ceilDiv(rows, Kernels.ROWS);
    }

    @Override
    public int written(int rows) {
        return Math.max(1, blocks(rows) * Kernels.ROWS);
    }

    @Override
    public boolean isShared(PackedWeight one, PackedWeight other) {
        return one.sharesPreparation(other);
    }

    @Override
    public void prepare(PackedWeight[] weights, int count, CpuMatrix newX) {
        x = newX;
        weight = weights[0];
        blocks = blocks(x.rows());
        needsSums = false;
        for (int i = 0; i < count; i++) {
            needsSums |= weights[i].form.isCodes();
        }
        int rows = written(x.rows());
        int padded = weight.paddedInputs();
        for (int worker = 0; worker < row.length; worker++) {
            row[worker] = Scratch.grown(row[worker], weight.inputs);
            if (blocks > 0) {
                arranged[worker] = Scratch.grown(arranged[worker], Kernels.ROWS * padded);
                rowSums[worker] = Scratch.grown(rowSums[worker], Kernels.ROWS * weight.groups);
            }
        }
        prepared = Scratch.grown(prepared, rows * padded);
        sums = Scratch.grown(sums, rows * weight.groups);
        if (blocks == 0) {
            prepareRow(0, row[0], prepared, 0, sums, 0);
        } else if (blocks == 1) {
            prepareBlocks(0, 0, 1);
        } else {
            pool.split(blocks, prepareBlocks);
        }
    }

    private void prepareRow(int index, float[] values, float[] to, int first, float[] toSums, int place) {
        Memory.copyFloats(x.row(index), values, 0, weight.inputs);
        Preparation.arrange(weight, values, to, first, 1);
        if (needsSums) {
            Preparation.sum(to, first, weight.groups, weight.groupLength, toSums, place);
        }
    }

    private void prepareBlocks(int worker, int from, int to) {
        int padded = weight.paddedInputs();
        int groups = weight.groups;
        float[] block = arranged[worker];
        float[] blockSums = rowSums[worker];
        for (int i = from; i < to; i++) {
            for (int j = 0; j < Kernels.ROWS; j++) {
                // The last row stands for those that are missing.
                int index = Math.min(i * Kernels.ROWS + j, x.rows() - 1);
                prepareRow(index, row[worker], block, j * padded, blockSums, j * groups);
            }
            interleave(block, padded, prepared, i * Kernels.ROWS * padded);
            interleave(blockSums, groups, sums, i * Kernels.ROWS * groups);
        }
    }

    /// From `[ROWS][length]` to `[length][ROWS]`.
    private static void interleave(float[] from, int length, float[] to, int first) {
        for (int i = 0; i < length; i++) {
            int place = first + Kernels.ROWS * i;
            to[place] = from[i];
            to[place + 1] = from[length + i];
            to[place + 2] = from[2 * length + i];
            to[place + 3] = from[3 * length + i];
        }
    }

    @Override
    public void multiply(int worker, PackedWeight multiplied, int from, int to, long y, long yRow) {
        if (blocks == 0) {
            kernels.multiplyRow(multiplied, prepared, sums, from, to, y);
        } else {
            kernels.multiplyRows(multiplied, prepared, sums, blocks, from, to, y, yRow);
        }
    }
}

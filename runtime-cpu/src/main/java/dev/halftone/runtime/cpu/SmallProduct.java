package dev.halftone.runtime.cpu;

import java.util.Arrays;

/// Linears over a few rows: bound by the reading of the weights, so all rows are served while a part of a weight is in
/// cache. Linears that read the same input share one region of the pool.
final class SmallProduct implements WorkerPool.Task {
    /// Of a region, for each worker.
    private static final int PIECES = 4;

    private static final int LEAST_STRIPS = 8;

    private final Kernels kernels;
    private final WorkerPool pool;
    private final Scratch scratch;

    // On the heap; see [Kernels#multiplyRow]. The first three are each worker's own.
    private final float[][] row;
    private final float[][] arranged; // [ROWS][paddedInputs]
    private final float[][] rowSums; // [ROWS][groups]
    private float[] prepared = new float[0]; // [blocks][paddedInputs][ROWS]; a single row as it is
    private float[] sums = new float[0]; // likewise, groups in the place of inputs

    private final WorkerPool.Task prepare = this::prepare; // bound once: a region allocates nothing
    private CpuMatrix x;
    private int blocks; // of rows; 0 for a single row
    private int parts;
    private PackedWeight[] weights = new PackedWeight[4]; // [parts]
    private CpuMatrix[] results = new CpuMatrix[4]; // [parts]
    private long[] addresses = new long[4]; // [parts], where kernels write: a result, or scratch
    private long[] rowBytes = new long[4]; // [parts]
    private int[] ends = new int[4]; // [parts], strips of all parts up to this one

    SmallProduct(Kernels kernels, WorkerPool pool, Scratch scratch) {
        this.kernels = kernels;
        this.pool = pool;
        this.scratch = scratch;
        row = new float[pool.threads()][0];
        arranged = new float[pool.threads()][0];
        rowSums = new float[pool.threads()][0];
    }

    /// One linear.
    void multiply(PackedWeight weight, CpuMatrix x, CpuMatrix result) {
        add(weight, result);
        compute(x);
    }

    /// Adds a linear to the next [#compute].
    ///
    /// @return false, if it prepares the input in another way than those before it: compute these first
    boolean add(PackedWeight weight, CpuMatrix result) {
        if (parts > 0 && !weights[0].sharesPreparation(weight)) {
            return false;
        }
        if (parts == weights.length) {
            weights = Arrays.copyOf(weights, 2 * parts);
            results = Arrays.copyOf(results, 2 * parts);
            addresses = Arrays.copyOf(addresses, 2 * parts);
            rowBytes = Arrays.copyOf(rowBytes, 2 * parts);
            ends = Arrays.copyOf(ends, 2 * parts);
        }
        weights[parts] = weight;
        results[parts] = result;
        ends[parts] = weight.strips + (parts == 0 ? 0 : ends[parts - 1]);
        parts++;
        return true;
    }

    /// Multiplies all linears that were added, and forgets them.
    void compute(CpuMatrix newX) {
        x = newX;
        try {
            computeAll();
        } finally {
            parts = 0;
        }
    }

    private void computeAll() {
        blocks = x.rows() == 1 ? 0 : Math.ceilDiv(x.rows(), Kernels.ROWS);
        int rows = Math.max(1, blocks * Kernels.ROWS);
        prepare(rows);
        place(x.rows(), rows);
        pool.splitFreely(ends[parts - 1], piece(ends[parts - 1]), this);
        for (int part = 0; part < parts; part++) {
            CpuMatrix result = results[part];
            if (addresses[part] != result.address()) {
                for (int i = 0; i < x.rows(); i++) {
                    Memory.copyFloats(addresses[part] + i * rowBytes[part], result.row(i), weights[part].outputs);
                }
            }
        }
    }

    /// Strips that a worker takes at a time: some pieces for each, so that one that the machine slows down gets fewer
    /// of them, and whole fours, since kernels read four strips at once.
    private int piece(int strips) {
        int some = Math.ceilDiv(strips, PIECES * pool.threads());
        return Math.max(LEAST_STRIPS, Math.ceilDiv(some, 4) * 4);
    }

    /// Kernels write whole strips and whole blocks of rows: into scratch where the result has not the room.
    private void place(int valid, int rows) {
        long needed = 0;
        for (int part = 0; part < parts; part++) {
            if (!isDirect(part, valid, rows)) {
                needed += (long) rows * weights[part].strips * weights[part].lanes;
            }
        }
        long free = needed == 0 ? 0 : scratch.shared(needed);
        for (int part = 0; part < parts; part++) {
            if (isDirect(part, valid, rows)) {
                addresses[part] = results[part].address();
                rowBytes[part] = results[part].rowBytes();
            } else {
                addresses[part] = free;
                rowBytes[part] = (long) weights[part].strips * weights[part].lanes * Float.BYTES;
                free += rows * rowBytes[part];
            }
        }
    }

    private boolean isDirect(int part, int valid, int rows) {
        return valid == rows && weights[part].strips * weights[part].lanes == weights[part].outputs;
    }

    private void prepare(int rows) {
        PackedWeight weight = weights[0];
        int padded = weight.paddedInputs();
        for (int worker = 0; worker < row.length; worker++) {
            row[worker] = grown(row[worker], weight.inputs);
            if (blocks > 0) {
                arranged[worker] = grown(arranged[worker], Kernels.ROWS * padded);
                rowSums[worker] = grown(rowSums[worker], Kernels.ROWS * weight.groups);
            }
        }
        prepared = grown(prepared, rows * padded);
        sums = grown(sums, rows * weight.groups);
        if (blocks == 0) {
            prepareRow(0, row[0], prepared, 0, sums, 0);
        } else if (blocks == 1) {
            prepare(0, 0, 1);
        } else {
            pool.split(blocks, prepare);
        }
    }

    private void prepareRow(int index, float[] values, float[] to, int first, float[] toSums, int place) {
        PackedWeight weight = weights[0];
        Memory.copyFloats(x.row(index), values, 0, weight.inputs);
        Preparation.arrange(weight, values, to, first, 1);
        if (needsSums()) {
            Preparation.sum(to, first, weight.groups, weight.groupLength, toSums, place);
        }
    }

    private void prepare(int worker, int from, int to) {
        int padded = weights[0].paddedInputs();
        int groups = weights[0].groups;
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

    private boolean needsSums() {
        for (int part = 0; part < parts; part++) {
            if (weights[part].form.isCodes()) {
                return true;
            }
        }
        return false;
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

    private static float[] grown(float[] array, int length) {
        return array.length >= length ? array : new float[length];
    }

    @Override
    public void run(int worker, int from, int to) {
        int start = 0;
        for (int part = 0; part < parts; part++) {
            int first = Math.max(from, start) - start;
            int end = Math.min(to, ends[part]) - start;
            if (first < end) {
                multiply(part, first, end);
            }
            start = ends[part];
        }
    }

    private void multiply(int part, int from, int to) {
        if (blocks == 0) {
            kernels.multiplyRow(weights[part], prepared, sums, from, to, addresses[part]);
        } else {
            kernels.multiplyRows(weights[part], prepared, sums, blocks, from, to, addresses[part], rowBytes[part]);
        }
    }
}

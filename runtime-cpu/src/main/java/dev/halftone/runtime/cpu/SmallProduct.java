package dev.halftone.runtime.cpu;

import java.util.Arrays;

/// Linears over a few rows: bound by the reading of the weights, so all rows are served while a part of a weight is in
/// cache. Linears that read the same input share one region of the pool.
final class SmallProduct implements WorkerPool.Task {
    private final Kernels kernels;
    private final WorkerPool pool;
    private final Scratch scratch;

    // On the heap; see [Kernels#multiplyRow].
    private float[] row = new float[0];
    private float[] arranged = new float[0];
    private float[] rowSums = new float[0];
    private float[] prepared = new float[0]; // [blocks][paddedInputs][ROWS]; a single row as it is
    private float[] sums = new float[0]; // likewise, groups in the place of inputs

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
    void compute(CpuMatrix x) {
        try {
            computeAll(x);
        } finally {
            parts = 0;
        }
    }

    private void computeAll(CpuMatrix x) {
        blocks = x.rows() == 1 ? 0 : Math.ceilDiv(x.rows(), Kernels.ROWS);
        int rows = Math.max(1, blocks * Kernels.ROWS);
        prepare(x, rows);
        place(x.rows(), rows);
        pool.split(ends[parts - 1], this);
        for (int part = 0; part < parts; part++) {
            CpuMatrix result = results[part];
            if (addresses[part] != result.address()) {
                for (int i = 0; i < x.rows(); i++) {
                    Memory.copyFloats(addresses[part] + i * rowBytes[part], result.row(i), weights[part].outputs);
                }
            }
        }
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

    private void prepare(CpuMatrix x, int rows) {
        PackedWeight weight = weights[0];
        int padded = weight.paddedInputs();
        row = grown(row, weight.inputs);
        arranged = grown(arranged, padded);
        rowSums = grown(rowSums, weight.groups);
        prepared = grown(prepared, rows * padded);
        sums = grown(sums, rows * weight.groups);
        boolean single = blocks == 0;
        for (int i = 0; i < rows; i++) {
            // The last row stands for those that are missing.
            Memory.copyFloats(x.row(Math.min(i, x.rows() - 1)), row, 0, weight.inputs);
            float[] whole = single ? prepared : arranged;
            float[] wholeSums = single ? sums : rowSums;
            Preparation.arrange(weight, row, whole, 0, 1);
            if (needsSums()) {
                Preparation.sum(whole, weight.groups, weight.groupLength, wholeSums);
            }
            if (!single) {
                interleave(arranged, padded, i, prepared);
                interleave(rowSums, weight.groups, i, sums);
            }
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

    /// Spreads a row of `length` to its place among the rows of its block.
    private void interleave(float[] from, int length, int index, float[] to) {
        int place = index / Kernels.ROWS * Kernels.ROWS * length + index % Kernels.ROWS;
        for (int i = 0; i < length; i++, place += Kernels.ROWS) {
            to[place] = from[i];
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

package dev.halftone.runtime.cpu;

import java.util.Arrays;

/// Linears over a few rows: bound by the reading of the weights, so all rows are served while a part of a weight is in
/// cache. Linears that read the same input share one region of the pool.
final class SmallProduct implements WorkerPool.Task, AutoCloseable {
    private final WorkerPool pool;
    private final Scratch scratch;
    private final FloatRows floats;
    private final DigitRows digits; // null where the processor has no kernels for them
    private final BFloat16Rows bFloat16; // likewise

    private PreparedRows prepared; // one of them
    private CpuMatrix x;
    private int parts;
    private PackedWeight[] weights = new PackedWeight[4]; // [parts]
    private CpuMatrix[] results = new CpuMatrix[4]; // [parts]
    private long[] addresses = new long[4]; // [parts], where kernels write: a result, or scratch
    private long[] rowBytes = new long[4]; // [parts]
    private int[] ends = new int[4]; // [parts], strips of all parts up to this one

    /// @param digitKernels null for none
    SmallProduct(Kernels kernels, DigitKernels digitKernels, WorkerPool pool, Scratch scratch) {
        this.pool = pool;
        this.scratch = scratch;
        floats = new FloatRows(kernels, pool);
        digits = digitKernels == null ? null : new DigitRows(digitKernels, pool);
        bFloat16 = digitKernels == null ? null : new BFloat16Rows(digitKernels.rowProducts(), pool);
    }

    private PreparedRows rowsFor(PackedWeight weight) {
        if (digits != null && digits.take(weight)) {
            return digits;
        }
        return bFloat16 != null && bFloat16.take(weight) ? bFloat16 : floats;
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
        PreparedRows rows = rowsFor(weight);
        if (parts > 0 && !(rows == prepared && rows.isShared(weights[0], weight))) {
            return false;
        }
        prepared = rows;
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
        prepared.prepare(weights, parts, x);
        place(x.rows(), prepared.written(x.rows()));
        pool.splitShrinking(ends[parts - 1], PackedWeight.SIDE_BY_SIDE, this);
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

    @Override
    public void run(int worker, int from, int to) {
        int start = 0;
        for (int part = 0; part < parts; part++) {
            int first = Math.max(from, start) - start;
            int end = Math.min(to, ends[part]) - start;
            if (first < end) {
                prepared.multiply(worker, weights[part], first, end, addresses[part], rowBytes[part]);
            }
            start = ends[part];
        }
    }

    @Override
    public void close() {
        if (digits != null) {
            digits.close();
            bFloat16.close();
        }
    }
}

package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.MachineProbe;

/// The processor's limits: every thread runs the plainest loop there is.
final class CpuProbe implements MachineProbe {
    /// Beyond every cache; more would only take longer.
    private static final long LARGEST = 1L << 30;

    private static final int CHUNKS = 64;
    private static final int STEPS = 1 << 16;

    private final Kernels kernels;
    private final WorkerPool pool;
    private final int vectors; // of one chunk
    private final int vectorBytes;
    private final Memory memory; // [CHUNKS][vectors][lanes]
    private final Memory scratch; // [threads], a line each
    private volatile float sum; // results end here, so that no compiler leaves the work out

    private final WorkerPool.Task read = this::read;
    private final WorkerPool.Task multiplyAdd = this::multiplyAdd;

    CpuProbe(Kernels kernels, WorkerPool pool, long bytes) {
        this.kernels = kernels;
        this.pool = pool;
        vectorBytes = kernels.lanes() * Float.BYTES;
        vectors = (int) Math.max(1, Math.min(bytes, LARGEST) / CHUNKS / vectorBytes);
        memory = Memory.ofBytes((long) CHUNKS * vectors * vectorBytes);
        scratch = Memory.ofBytes(pool.threads() * Memory.LINE);
        // What nobody ever wrote is one page of zeros, again and again, and never leaves the cache.
        pool.split(CHUNKS, (worker, from, to) -> {
            long chunk = (long) vectors * vectorBytes;
            Memory.zeroFloats(memory.address() + from * chunk, (to - from) * chunk / Float.BYTES);
        });
    }

    @Override
    public double readingSpeed() {
        long start = System.nanoTime();
        pool.split(CHUNKS, read);
        return (double) CHUNKS * vectors * vectorBytes / seconds(start);
    }

    @Override
    public double multiplyAddSpeed() {
        long start = System.nanoTime();
        pool.split(CHUNKS, multiplyAdd);
        return operations() / seconds(start);
    }

    /// Of one [#multiplyAddSpeed].
    double operations() {
        return 2.0 * CHUNKS * STEPS * Kernels.MULTIPLY_ADDS * kernels.lanes();
    }

    private static double seconds(long start) {
        return Math.max(1, System.nanoTime() - start) / 1e9;
    }

    private void read(int worker, int from, int to) {
        for (int chunk = from; chunk < to; chunk++) {
            sum = kernels.read(
                    memory.address() + (long) chunk * vectors * vectorBytes,
                    vectors,
                    scratch.address() + worker * Memory.LINE);
        }
    }

    private void multiplyAdd(int worker, int from, int to) {
        for (int chunk = from; chunk < to; chunk++) {
            sum = kernels.multiplyAdd(STEPS, scratch.address() + worker * Memory.LINE);
        }
    }

    /// The sum of the latest chunk: zero after reading, since the memory is.
    float sum() {
        return sum;
    }

    @Override
    public void close() {
        memory.close();
        scratch.close();
    }
}

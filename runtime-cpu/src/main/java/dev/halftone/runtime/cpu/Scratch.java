package dev.halftone.runtime.cpu;

/// Memory for intermediate results, one block for each worker and one that all share; grown between regions, never
/// inside one, and kept.
final class Scratch implements AutoCloseable {
    private final Memory[] own;
    private Memory shared = Memory.ofBytes(Memory.LINE);

    Scratch(int workers) {
        own = new Memory[workers];
        for (int i = 0; i < workers; i++) {
            own[i] = Memory.ofBytes(Memory.LINE);
        }
    }

    /// Makes every worker's block hold at least `floats`; what it held is lost.
    void require(long floats) {
        for (int i = 0; i < own.length; i++) {
            own[i] = grown(own[i], floats);
        }
    }

    /// The shared block, of at least `floats`; what it held is lost when it grows.
    long shared(long floats) {
        shared = grown(shared, floats);
        return shared.address();
    }

    long of(int worker) {
        return own[worker].address();
    }

    /// `array` if it is long enough, else another in its place; what it held is lost then.
    static float[] grown(float[] array, int length) {
        return array.length >= length ? array : new float[length];
    }

    private static Memory grown(Memory memory, long floats) {
        if (memory.bytes() >= floats * Float.BYTES) {
            return memory;
        }
        memory.close();
        // Half as much again, so that a growing context does not reallocate at every token.
        return Memory.ofFloats(floats + floats / 2);
    }

    @Override
    public void close() {
        for (Memory memory : own) {
            memory.close();
        }
        shared.close();
    }
}

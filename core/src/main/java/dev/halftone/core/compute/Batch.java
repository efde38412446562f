package dev.halftone.core.compute;

import java.util.Arrays;

/// Which tokens one forward pass holds: for each sequence its slot in the [KvCache], the position of its first token
/// and
/// how many tokens. The tokens of all sequences lie one after another as the rows of every matrix. Mutable, so that a
/// generation steps without allocating.
public final class Batch {
    private int[] slots = new int[1];
    private int[] starts = new int[1];
    private int[] counts = new int[1];
    private int size;
    private int rows;

    /// One sequence in slot 0: `count` tokens from position `start` on.
    public static Batch single(int start, int count) {
        return new Batch().add(0, start, count);
    }

    /// Appends a sequence: `count` tokens at positions `start ...`, after the `start` tokens its slot already holds.
    public Batch add(int slot, int start, int count) {
        if (slot < 0 || start < 0 || count < 1) {
            throw new IllegalArgumentException("slot " + slot + ", start " + start + ", count " + count);
        }
        if (size == slots.length) {
            slots = Arrays.copyOf(slots, 2 * size);
            starts = Arrays.copyOf(starts, 2 * size);
            counts = Arrays.copyOf(counts, 2 * size);
        }
        slots[size] = slot;
        starts[size] = start;
        counts[size] = count;
        size++;
        rows += count;
        return this;
    }

    public void clear() {
        size = 0;
        rows = 0;
    }

    /// Number of sequences.
    public int size() {
        return size;
    }

    /// Tokens of all sequences together.
    public int rows() {
        return rows;
    }

    public int slot(int sequence) {
        return slots[sequence];
    }

    /// Position of the first token of `sequence`.
    public int start(int sequence) {
        return starts[sequence];
    }

    public int count(int sequence) {
        return counts[sequence];
    }
}

package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.AttentionShape;
import dev.halftone.core.compute.KvCache;

/// Keys as right-hand sides of `q·Kᵀ`: per head, strips of [Kernels#lanes] positions, `[headSize][lanes]` each. Values
/// as right-hand sides of `p·V`: per head, strips of [Kernels#lanes] of its columns, `[position][lanes]` each, the last
/// one
/// padded.
final class CpuKvCache implements KvCache {
    private final Memory keys; // [layer][slot][kvHead][position / lanes][headSize][lanes]
    private final Memory values; // [layer][slot][kvHead][paddedHead / lanes][position][lanes]
    private final int layers;
    private final int slots;
    private final int capacity;
    private final int kvHeads;
    private final int headSize;
    private final int lanes;
    private final int positions; // capacity in whole tiles

    CpuKvCache(int layers, int slots, int capacity, AttentionShape shape, int lanes) {
        if (layers < 1 || slots < 1 || capacity < 1) {
            throw new IllegalArgumentException("layers " + layers + ", slots " + slots + ", capacity " + capacity);
        }
        this.layers = layers;
        this.slots = slots;
        this.capacity = capacity;
        this.kvHeads = shape.kvHeads();
        this.headSize = shape.headSize();
        this.lanes = lanes;
        int tile = Kernels.TILE_STRIPS * lanes;
        positions = Math.ceilDiv(capacity, tile) * tile;
        long heads = (long) layers * slots * kvHeads;
        keys = Memory.ofFloats(heads * positions * headSize);
        values = Memory.ofFloats(heads * positions * paddedHead());
    }

    /// Columns of a row of values.
    int paddedHead() {
        return Math.ceilDiv(headSize, lanes) * lanes;
    }

    void require(AttentionShape shape, int layer) {
        if (!keys.isOpen()) {
            throw new IllegalStateException("the memory of this cache has been freed");
        }
        if (shape.kvHeads() != kvHeads || shape.headSize() != headSize || layer < 0 || layer >= layers) {
            throw new IllegalArgumentException("layer " + layer + " of " + shape + " in a cache of " + layers
                    + " layers of " + kvHeads + " heads of " + headSize);
        }
    }

    private long head(int layer, int slot, int kvHead) {
        return ((long) layer * slots + slot) * kvHeads + kvHead;
    }

    long keys(int layer, int slot, int kvHead) {
        return keys.address() + head(layer, slot, kvHead) * positions * headSize * Float.BYTES;
    }

    long values(int layer, int slot, int kvHead) {
        return values.address() + head(layer, slot, kvHead) * positions * paddedHead() * Float.BYTES;
    }

    /// From one strip of values to the next.
    long valueStripBytes() {
        return (long) positions * lanes * Float.BYTES;
    }

    /// From one strip of keys to the next.
    long keyStripBytes() {
        return (long) headSize * lanes * Float.BYTES;
    }

    /// Stores one token's keys and values of all heads.
    void store(int layer, int slot, int position, long tokenKeys, long tokenValues) {
        for (int head = 0; head < kvHeads; head++) {
            long from = tokenKeys + (long) head * headSize * Float.BYTES;
            long to = keys(layer, slot, head)
                    + position / lanes * keyStripBytes()
                    + (long) (position % lanes) * Float.BYTES;
            for (int i = 0; i < headSize; i++) {
                Memory.putFloat(to + (long) i * lanes * Float.BYTES, Memory.getFloat(from + (long) i * Float.BYTES));
            }
            from = tokenValues + (long) head * headSize * Float.BYTES;
            to = values(layer, slot, head) + (long) position * lanes * Float.BYTES;
            for (int i = 0; i < headSize; i += lanes) {
                Memory.copyFloats(from + (long) i * Float.BYTES, to, Math.min(lanes, headSize - i));
                to += valueStripBytes();
            }
        }
    }

    @Override
    public int slots() {
        return slots;
    }

    @Override
    public int capacity() {
        return capacity;
    }

    @Override
    public long bytes() {
        return keys.bytes() + values.bytes();
    }

    @Override
    public void close() {
        keys.close();
        values.close();
    }
}

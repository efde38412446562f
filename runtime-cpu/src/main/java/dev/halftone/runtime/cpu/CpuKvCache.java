package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.AttentionShape;
import dev.halftone.core.compute.CachedFloat16;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.tensor.DType;

/// Keys as right-hand sides of `q·Kᵀ`: per head, strips of [Kernels#lanes] positions, `[headSize][lanes]` each. Values
/// as right-hand sides of `p·V`: per head, strips of [Kernels#lanes] of its columns, `[position][lanes]` each, the last
/// one padded.
///
/// As float16, each two neighbouring vectors of a strip share one vector of words, the first one in the lower halves.
final class CpuKvCache implements KvCache {
    private final Memory keys; // [layer][slot][kvHead][position / lanes][keyRows][lanes]
    private final Memory values; // [layer][slot][kvHead][paddedHead / lanes][position][lanes]
    private final int layers;
    private final int slots;
    private final int capacity;
    private final int kvHeads;
    private final int headSize;
    private final int lanes;
    private final int positions; // capacity in whole tiles
    private final boolean halves;

    CpuKvCache(int layers, int slots, int capacity, AttentionShape shape, int lanes, DType numbers) {
        if (layers < 1 || slots < 1 || capacity < 1) {
            throw new IllegalArgumentException("layers " + layers + ", slots " + slots + ", capacity " + capacity);
        }
        if (numbers != DType.F32 && numbers != DType.F16) {
            throw new IllegalArgumentException("a cache of " + numbers + "; expected F32 or F16");
        }
        this.layers = layers;
        this.slots = slots;
        this.capacity = capacity;
        this.kvHeads = shape.kvHeads();
        this.headSize = shape.headSize();
        this.lanes = lanes;
        this.halves = numbers == DType.F16;
        int tile = Kernels.TILE_STRIPS * lanes;
        positions = Math.ceilDiv(capacity, tile) * tile;
        long heads = (long) layers * slots * kvHeads;
        keys = Memory.ofBytes(heads * (positions / lanes) * keyStripBytes());
        values = Memory.ofBytes(heads * (paddedHead() / lanes) * valueStripBytes());
    }

    /// Whether numbers are stored as float16, to be widened before they are multiplied.
    boolean halves() {
        return halves;
    }

    /// Columns of a row of values.
    int paddedHead() {
        return Math.ceilDiv(headSize, lanes) * lanes;
    }

    /// Vectors of a strip of keys.
    int keyRows() {
        return halves ? headSize + headSize % 2 : headSize;
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
        return keys.address() + head(layer, slot, kvHead) * (positions / lanes) * keyStripBytes();
    }

    long values(int layer, int slot, int kvHead) {
        return values.address() + head(layer, slot, kvHead) * (paddedHead() / lanes) * valueStripBytes();
    }

    /// From one strip of values to the next.
    long valueStripBytes() {
        return vectorBytes(positions);
    }

    /// From one strip of keys to the next.
    long keyStripBytes() {
        return vectorBytes(keyRows());
    }

    /// Of `count` vectors, an even number of them if they are [#halves].
    long vectorBytes(long count) {
        return count * lanes * (halves ? Short.BYTES : Float.BYTES);
    }

    /// Stores what one token's head brings.
    ///
    /// @throws dev.halftone.core.HalftoneException like [CachedFloat16#bits]
    void store(int layer, int slot, int kvHead, int position, long headKeys, long headValues) {
        long strip = keys(layer, slot, kvHead) + position / lanes * keyStripBytes();
        for (int i = 0; i < headSize; i++) {
            put(strip, i, position % lanes, Memory.getFloat(headKeys + (long) i * Float.BYTES));
        }
        strip = values(layer, slot, kvHead);
        for (int i = 0; i < headSize; i += lanes) {
            int count = Math.min(lanes, headSize - i);
            long from = headValues + (long) i * Float.BYTES;
            if (halves) {
                for (int lane = 0; lane < count; lane++) {
                    put(strip, position, lane, Memory.getFloat(from + (long) lane * Float.BYTES));
                }
            } else {
                Memory.copyFloats(from, strip + vectorBytes(position), count);
            }
            strip += valueStripBytes();
        }
    }

    private void put(long strip, int vector, int lane, float value) {
        if (halves) {
            long word = strip + ((long) vector / 2 * lanes + lane) * Integer.BYTES;
            Memory.putShort(word + (long) vector % 2 * Short.BYTES, CachedFloat16.bits(value));
        } else {
            Memory.putFloat(strip + ((long) vector * lanes + lane) * Float.BYTES, value);
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

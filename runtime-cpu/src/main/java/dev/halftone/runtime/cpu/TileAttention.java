package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.AttentionShape;
import dev.halftone.core.compute.Batch;
import java.util.Arrays;

/// Causal attention of many tokens with queries, keys, values and the softmax's weights rounded to bfloat16, on the
/// tiles
/// of AMX. Keys and values of a sequence are brought into order once for all its queries; scores and sums are float32.
final class TileAttention implements AutoCloseable {
    /// Tokens of one head that are a task.
    static final int QUERIES = BFloat16Tiles.ROWS;

    /// A block of queries costs as much as a whole one, so fewer tokens are not worth it.
    static final int LEAST_TOKENS = 8;

    private static final int BLOCK = BFloat16Tiles.COLUMNS;
    private static final int LANES = 16;

    /// Keys whose scores are computed at a time.
    private static final int CHUNK = 4 * BLOCK;

    private static final int STEPS = CHUNK / BFloat16Tiles.INPUTS;

    /// With a line more than the scores, so that the rows of a tile do not all fall into the same set of a cache.
    private static final long SCORE_ROW = CHUNK * Float.BYTES + Memory.LINE;

    private static final long HEADER =
            BFloat16Tiles.ARGUMENT_BYTES + (long) QUERIES * Float.BYTES + 2 * QUERIES * Memory.LINE;
    private static final float LOG2_E = 1.44269504f;

    private final BFloat16Tiles tiles;
    private final Kernels kernels;
    private final WorkerPool pool;
    private final Scratch scratch;
    private final Memory lowest = Memory.ofFloats(BLOCK); // scores of what is not to be seen
    private Memory panels = Memory.ofBytes(Memory.LINE);
    private long[] offsets = new long[16]; // of each sequence's panels

    private AttentionShape shape;
    private Batch batch;
    private CpuKvCache cache;
    private int layer;
    private int mostBlocks; // of a sequence
    private final WorkerPool.Task place = this::place;

    TileAttention(BFloat16Tiles tiles, Kernels kernels, WorkerPool pool, Scratch scratch) {
        this.tiles = tiles;
        this.kernels = kernels;
        this.pool = pool;
        this.scratch = scratch;
        for (int i = 0; i < BLOCK; i++) {
            Memory.putFloat(lowest.address() + (long) i * Float.BYTES, Float.NEGATIVE_INFINITY);
        }
    }

    /// Whether heads are whole steps of a product.
    static boolean takes(AttentionShape shape) {
        return shape.headSize() % BFloat16Tiles.INPUTS == 0;
    }

    /// Brings keys and values of all sequences with enough new tokens into order.
    void prepare(AttentionShape newShape, Batch newBatch, CpuKvCache newCache, int newLayer) {
        shape = newShape;
        batch = newBatch;
        cache = newCache;
        layer = newLayer;
        if (offsets.length < batch.size()) {
            offsets = Arrays.copyOf(offsets, Math.max(batch.size(), 2 * offsets.length));
        }
        long bytes = 0;
        mostBlocks = 0;
        for (int sequence = 0; sequence < batch.size(); sequence++) {
            offsets[sequence] = bytes;
            if (batch.count(sequence) >= LEAST_TOKENS) {
                bytes += shape.kvHeads() * (keyBytes(sequence) + valueBytes(sequence));
                mostBlocks = Math.max(mostBlocks, blocks(sequence));
            }
        }
        panels = Memory.grown(panels, bytes);
        long wide = (long) Math.max(cache.keyRows(), BLOCK) * Memory.LINE;
        scratch.require((workBytes() + wide) / Float.BYTES);
        pool.splitFreely(batch.size() * shape.kvHeads() * mostBlocks, 1, place);
    }

    private int end(int sequence) {
        return batch.start(sequence) + batch.count(sequence);
    }

    private int blocks(int sequence) {
        return Math.ceilDiv(end(sequence), BLOCK);
    }

    private int steps() {
        return shape.headSize() / BFloat16Tiles.INPUTS;
    }

    private long keyBlockBytes() {
        return (long) steps() * BFloat16Tiles.RIGHT_STEP;
    }

    private long keyBytes(int sequence) {
        return blocks(sequence) * keyBlockBytes();
    }

    private int valueBlocks() {
        return Math.ceilDiv(shape.headSize(), BLOCK);
    }

    private long valueBlockBytes(int sequence) {
        return (long) blocks(sequence) * BLOCK / BFloat16Tiles.INPUTS * BFloat16Tiles.RIGHT_STEP;
    }

    private long valueBytes(int sequence) {
        return valueBlocks() * valueBlockBytes(sequence);
    }

    private long keys(int sequence, int head) {
        return panels.address() + offsets[sequence] + head * (keyBytes(sequence) + valueBytes(sequence));
    }

    private long values(int sequence, int head) {
        return keys(sequence, head) + keyBytes(sequence);
    }

    private void place(int worker, int from, int to) {
        for (int task = from; task < to; task++) {
            int block = task % mostBlocks;
            int head = task / mostBlocks % shape.kvHeads();
            int sequence = task / mostBlocks / shape.kvHeads();
            if (batch.count(sequence) >= LEAST_TOKENS && block < blocks(sequence)) {
                placeKeys(sequence, head, block, scratch.of(worker));
                placeValues(sequence, head, block, scratch.of(worker));
            }
        }
    }

    private void placeKeys(int sequence, int head, int block, long work) {
        long wide = work + Memory.LINE * 2;
        long to = keys(sequence, head) + block * keyBlockBytes();
        int strips = BLOCK / LANES;
        long strip = cache.keys(layer, batch.slot(sequence), head) + (long) block * strips * cache.keyStripBytes();
        for (int i = 0; i < strips; i++) {
            long from = strip;
            if (cache.halves()) {
                kernels.widen(strip, cache.keyRows() / 2, wide);
                from = wide;
            }
            tiles.placeColumns(from, Memory.LINE, shape.headSize(), to + i * Memory.LINE, work);
            strip += cache.keyStripBytes();
        }
    }

    private void placeValues(int sequence, int head, int block, long work) {
        long wide = work + Memory.LINE * 2;
        int first = block * BLOCK;
        int count = Math.min(BLOCK, end(sequence) - first);
        long strip = cache.values(layer, batch.slot(sequence), head) + cache.vectorBytes(first);
        for (int i = 0; i < cache.paddedHead() / LANES; i++) {
            long from = strip;
            if (cache.halves()) {
                kernels.widen(strip, Math.ceilDiv(count, 2), wide);
                from = wide;
            }
            int column = i * LANES;
            long to = values(sequence, head)
                    + column / BLOCK * valueBlockBytes(sequence)
                    + (long) first / 2 * BFloat16Tiles.RIGHT_ROW
                    + (long) column % BLOCK * Integer.BYTES;
            tiles.placeColumns(from, Memory.LINE, count, to, work);
            // A weight of almost nothing times what an earlier sequence left may be anything.
            for (int word = Math.ceilDiv(count, 2); word < BLOCK / 2; word++) {
                Memory.zeroFloats(to + (long) word * BFloat16Tiles.RIGHT_ROW, LANES);
            }
            strip += cache.valueStripBytes();
        }
    }

    // A worker's scratch: arguments, shifts, maxima, totals, queries, sums of values, scores and weights of a chunk.

    private long queryBytes() {
        return (long) steps() * BFloat16Tiles.LEFT_STEP;
    }

    private long sumRow() {
        return (long) valueBlocks() * BLOCK * Float.BYTES + Memory.LINE;
    }

    private long workBytes() {
        return HEADER + queryBytes() + QUERIES * (sumRow() + SCORE_ROW) + (long) STEPS * BFloat16Tiles.LEFT_STEP;
    }

    /// Up to [#QUERIES] tokens of one head. The scores are computed twice, a chunk of keys at a time that stays in the
    /// first cache: once for the largest, then for the weights.
    ///
    /// @param query    of the first token, `queryRow` bytes before that of the next
    /// @param position of the first token
    void block(
            int worker,
            int sequence,
            int kvHead,
            long query,
            long queryRow,
            int count,
            int position,
            long result,
            long resultRow) {
        long arguments = scratch.of(worker);
        long shifts = arguments + BFloat16Tiles.ARGUMENT_BYTES;
        long maxima = shifts + (long) QUERIES * Float.BYTES;
        long totals = maxima + QUERIES * Memory.LINE;
        long left = totals + QUERIES * Memory.LINE;
        long sums = left + queryBytes();
        long scores = sums + QUERIES * sumRow();
        long weights = scores + QUERIES * SCORE_ROW;
        int base = Math.max(0, position - shape.window() + 1) / BLOCK * BLOCK;
        int end = position + count;
        float factor = shape.scale() * LOG2_E;
        for (int i = 0; i < count; i++) {
            tiles.placeRow(query + i * queryRow, steps(), left + (long) i * BFloat16Tiles.LEFT_ROW, arguments);
        }
        for (int i = 0; i < QUERIES * LANES; i++) {
            Memory.putFloat(maxima + (long) i * Float.BYTES, Float.NEGATIVE_INFINITY);
        }
        Memory.zeroFloats(totals, QUERIES * LANES);
        Memory.zeroFloats(sums, QUERIES * sumRow() / Float.BYTES);
        for (int first = base; first < end; first += CHUNK) {
            int steps = score(sequence, kvHead, left, first, count, position, scores, arguments);
            tiles.raiseMaxima(scores, SCORE_ROW, steps, maxima, arguments);
        }
        for (int i = 0; i < count; i++) {
            float maximum = kernels.maximum(maxima + i * Memory.LINE, LANES);
            Memory.putFloat(shifts + (long) i * Float.BYTES, -maximum * factor);
        }
        for (int first = base; first < end; first += CHUNK) {
            int steps = score(sequence, kvHead, left, first, count, position, scores, arguments);
            tiles.exponentials(scores, SCORE_ROW, steps, factor, shifts, weights, totals, arguments);
            long values = values(sequence, kvHead) + (long) first / 2 * BFloat16Tiles.RIGHT_ROW;
            long block = valueBlockBytes(sequence);
            tiles.multiply(weights, values, block, steps, valueBlocks(), sums, sumRow(), true, arguments);
        }
        for (int i = 0; i < count; i++) {
            float inverse = 1 / Lanes.sum(totals + i * Memory.LINE);
            kernels.scale(sums + i * sumRow(), inverse, result + i * resultRow, shape.headSize());
        }
    }

    /// Scores of the chunk of keys from `first` on; those that a query must not see are below all others.
    ///
    /// @return steps of the chunk that some query may see
    private int score(
            int sequence, int kvHead, long left, int first, int count, int position, long scores, long arguments) {
        int end = Math.min(first + CHUNK, position + count);
        int blocks = Math.ceilDiv(end - first, BLOCK);
        int steps = Math.ceilDiv(end - first, BFloat16Tiles.INPUTS);
        long keys = keys(sequence, kvHead) + first / BLOCK * keyBlockBytes();
        tiles.multiply(left, keys, keyBlockBytes(), steps(), blocks, scores, SCORE_ROW, false, arguments);
        int last = first + steps * BFloat16Tiles.INPUTS;
        boolean whole = last <= position + 1 && first > position + count - 1 - shape.window();
        for (int i = 0; i < count && !whole; i++) {
            long row = scores + i * SCORE_ROW;
            hide(row, 0, Math.min(position + i - shape.window() + 1, last) - first);
            hide(row, Math.max(position + i + 1 - first, 0), last - first);
        }
        return steps;
    }

    private void hide(long row, int from, int to) {
        for (int i = from; i < to; i += BLOCK) {
            Memory.copyFloats(lowest.address(), row + (long) i * Float.BYTES, Math.min(BLOCK, to - i));
        }
    }

    @Override
    public void close() {
        panels.close();
        lowest.close();
    }
}

package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.AttentionShape;
import dev.halftone.core.compute.Batch;
import java.util.Arrays;

/// Causal attention over the cache. A task is one block of queries that share a key/value head: up to [#QUERIES]
/// tokens of one head, or, for a sequence with a single new token, all query heads of one key/value head, so that the
/// cache is read once for them. A single token's context is cut into parts of [#PART] positions, so that there are more
/// tasks than heads; what they sum up is put together at the end, each relative to its own largest score
/// ([online softmax](https://arxiv.org/abs/1805.02867)). Scores of a block, `[queries][keys]`, live in the worker's
/// scratch; there is never a matrix of all queries by all keys. Where linears over as many rows are computed in
/// bfloat16, [TileAttention] takes the sequences with enough tokens, if there is one.
final class Attention implements AutoCloseable {
    private static final int QUERIES = TileAttention.QUERIES;

    /// Positions whose values are used for all rows of a block before the next ones.
    private static final int POSITIONS = 64;

    /// Positions of a single token's context in one task: whole tiles at every width. It does not depend on the number
    /// of threads, and so neither do results.
    static final int PART = 1024;

    private static final int WHOLE = -1;

    /// Floats that a vector, and what a function of machine code is told, have room in.
    private static final int ROOM = (int) (3 * Memory.LINE) / Float.BYTES;

    private final Kernels kernels;
    private final WorkerPool pool;
    private final Scratch scratch;
    private final int lanes;
    private final FloatTile floatTile; // null for none
    private final MachineVerbs verbs; // null for none
    private final TileAttention tileAttention; // null for none

    private CpuMatrix queries;
    private CpuMatrix keys;
    private CpuMatrix values;
    private CpuMatrix destination;
    private AttentionShape shape;
    private Batch batch;
    private CpuKvCache cache;
    private int layer;

    // One entry per task: sequence, head, first token of the block, first row of the sequence, and which part of the
    // context, or WHOLE.
    private int[] sequences = new int[16];
    private int[] heads = new int[16];
    private int[] tokens = new int[16];
    private int[] rows = new int[16];
    private int[] parts = new int[16];
    private int[] partials = new int[16]; // where a part leaves its sums
    private int tasks;
    private int allPartials;
    private boolean tiled;
    private long partial; // [allPartials][heads of a key/value head][partialFloats]

    private final WorkerPool.Task attend = this::attend;
    private final WorkerPool.Task store = this::store;

    /// @param machine for few queries; null for none
    /// @param tiles   for many; null for none
    Attention(Kernels kernels, DigitKernels machine, BFloat16Tiles tiles, WorkerPool pool, Scratch scratch) {
        this.kernels = kernels;
        floatTile = machine == null ? null : machine.floatTile();
        verbs = machine == null ? null : machine.verbs();
        tileAttention = tiles == null ? null : new TileAttention(tiles, kernels, pool, scratch);
        this.pool = pool;
        this.scratch = scratch;
        this.lanes = kernels.lanes();
    }

    /// @param rounds whether bfloat16 is exact enough
    void run(
            boolean rounds,
            CpuMatrix newQueries,
            CpuMatrix newKeys,
            CpuMatrix newValues,
            AttentionShape newShape,
            Batch newBatch,
            CpuKvCache newCache,
            int newLayer,
            CpuMatrix newDestination) {
        queries = newQueries;
        keys = newKeys;
        values = newValues;
        destination = newDestination;
        shape = newShape;
        batch = newBatch;
        cache = newCache;
        layer = newLayer;
        if (batch.rows() > batch.size()) {
            pool.split(batch.rows(), store);
        }
        int longest = plan();
        int mostQueries = Math.max(QUERIES, shape.heads() / shape.kvHeads());
        int blockRows = Math.ceilDiv(mostQueries, Kernels.TILE_ROWS) * Kernels.TILE_ROWS;
        int tile = Kernels.TILE_STRIPS * lanes;
        int width = (Math.ceilDiv(longest, tile) + 1) * tile;
        tiled = rounds && tileAttention != null && TileAttention.takes(shape);
        if (tiled) {
            tileAttention.prepare(shape, batch, cache, layer);
        }
        scratch.require((long) blockRows * (width + cache.paddedHead()) + 2L * blockRows + ROOM + wide());
        partial = scratch.shared(allPartials * partialBytes() / Float.BYTES);
        if (batch.rows() == batch.size()) {
            pool.splitShrinking(tasks, 1, attend); // neighbours to one worker, which asks for the keys of the next
        } else {
            pool.splitFreely(tasks, 1, attend);
        }
        merge();
    }

    /// Floats that a part leaves for one query: its sums, their total weight, and the score that they are relative to.
    private int partialFloats() {
        return cache.paddedHead() + lanes;
    }

    private long partialBytes() {
        return (long) shape.heads() / shape.kvHeads() * partialFloats() * Float.BYTES;
    }

    /// Floats that keys or values of float16 need once they are widened: of one tile, or of [#POSITIONS].
    private long wide() {
        if (!cache.halves()) {
            return 0;
        }
        long keyVectors = (long) Kernels.TILE_STRIPS * cache.keyRows();
        long valueVectors = (long) cache.paddedHead() / lanes * POSITIONS;
        return Math.max(keyVectors, valueVectors) * lanes;
    }

    /// Lists the tasks, the longest last rows of a sequence first.
    ///
    /// @return the longest sequence
    private int plan() {
        tasks = 0;
        allPartials = 0;
        int row = 0;
        int longest = 0;
        for (int sequence = 0; sequence < batch.size(); sequence++) {
            int count = batch.count(sequence);
            longest = Math.max(longest, batch.start(sequence) + count);
            if (count == 1) {
                for (int head = 0; head < shape.kvHeads(); head++) {
                    addParts(sequence, head, row);
                }
            } else {
                // Heads that share keys and values one after another, so that these stay in cache.
                int group = shape.heads() / shape.kvHeads();
                for (int head = 0; head < shape.heads(); head += group) {
                    for (int token = (count - 1) / QUERIES * QUERIES; token >= 0; token -= QUERIES) {
                        for (int i = 0; i < group; i++) {
                            addTask(sequence, head + i, token, row, WHOLE);
                        }
                    }
                }
            }
            row += count;
        }
        return longest;
    }

    private void addParts(int sequence, int head, int row) {
        int position = batch.start(sequence);
        int first = Math.max(0, position - shape.window() + 1) / PART;
        int last = position / PART;
        if (first == last) {
            addTask(sequence, head, 0, row, WHOLE);
            return;
        }
        for (int part = first; part <= last; part++) {
            addTask(sequence, head, 0, row, part);
        }
    }

    private void addTask(int sequence, int head, int token, int row, int part) {
        if (tasks == sequences.length) {
            sequences = Arrays.copyOf(sequences, 2 * tasks);
            heads = Arrays.copyOf(heads, 2 * tasks);
            tokens = Arrays.copyOf(tokens, 2 * tasks);
            rows = Arrays.copyOf(rows, 2 * tasks);
            parts = Arrays.copyOf(parts, 2 * tasks);
            partials = Arrays.copyOf(partials, 2 * tasks);
        }
        sequences[tasks] = sequence;
        heads[tasks] = head;
        tokens[tasks] = token;
        rows[tasks] = row;
        parts[tasks] = part;
        partials[tasks] = part == WHOLE ? WHOLE : allPartials++;
        tasks++;
    }

    /// Keys and values of sequences with several tokens, which look at each other's.
    private void store(int worker, int from, int to) {
        int row = 0;
        for (int sequence = 0; sequence < batch.size() && row < to; sequence++) {
            int count = batch.count(sequence);
            for (int token = Math.max(0, from - row); count > 1 && token < Math.min(count, to - row); token++) {
                for (int head = 0; head < shape.kvHeads(); head++) {
                    store(sequence, head, row + token, batch.start(sequence) + token);
                }
            }
            row += count;
        }
    }

    private void store(int sequence, int head, int row, int position) {
        int column = head * shape.headSize();
        cache.store(layer, batch.slot(sequence), head, position, keys.at(row, column), values.at(row, column));
    }

    private void attend(int worker, int from, int to) {
        int size = shape.headSize();
        int group = shape.heads() / shape.kvHeads();
        for (int task = from; task < to; task++) {
            int sequence = sequences[task];
            int slot = batch.slot(sequence);
            int position = batch.start(sequence) + tokens[task];
            int row = rows[task] + tokens[task];
            if (batch.count(sequence) == 1) {
                int column = heads[task] * group * size;
                long headBytes = (long) size * Float.BYTES;
                int part = parts[task];
                if (part == WHOLE || part == position / PART) {
                    store(sequence, heads[task], row, position);
                }
                block(
                        scratch.of(worker),
                        queries.at(row, column),
                        headBytes,
                        group,
                        position,
                        0,
                        part == WHOLE ? 0 : part * PART,
                        part == WHOLE ? position + 1 : Math.min(position + 1, (part + 1) * PART),
                        slot,
                        heads[task],
                        task + 1 < to ? firstKeys(task + 1) : 0,
                        part == WHOLE ? destination.at(row, column) : partial + partials[task] * partialBytes(),
                        headBytes,
                        part != WHOLE);
            } else {
                int column = heads[task] * size;
                int count = Math.min(QUERIES, batch.count(sequence) - tokens[task]);
                if (tiled && batch.count(sequence) >= TileAttention.LEAST_TOKENS) {
                    tileAttention.block(
                            worker,
                            sequence,
                            heads[task] / group,
                            queries.at(row, column),
                            queries.rowBytes(),
                            count,
                            position,
                            destination.at(row, column),
                            destination.rowBytes());
                    continue;
                }
                block(
                        scratch.of(worker),
                        queries.at(row, column),
                        queries.rowBytes(),
                        count,
                        position,
                        1,
                        0,
                        position + count,
                        slot,
                        heads[task] / group,
                        0,
                        destination.at(row, column),
                        destination.rowBytes(),
                        false);
            }
        }
    }

    /// Of a task with a single token; of another some address, which nobody reads.
    private long firstKeys(int task) {
        int sequence = sequences[task];
        int from = Math.max(parts[task] == WHOLE ? 0 : parts[task] * PART, batch.start(sequence) - shape.window() + 1);
        return cache.keys(layer, batch.slot(sequence), heads[task]) + tileStart(from) / lanes * cache.keyStripBytes();
    }

    /// Where the tile of keys begins that this position is in.
    private int tileStart(int position) {
        int tile = Kernels.TILE_STRIPS * lanes;
        return position / tile * tile;
    }

    /// Puts the parts of each head together.
    private void merge() {
        int task = 0;
        while (task < tasks) {
            if (parts[task] == WHOLE) {
                task++;
                continue;
            }
            int count = 1;
            while (task + count < tasks
                    && sequences[task + count] == sequences[task]
                    && heads[task + count] == heads[task]) {
                count++;
            }
            int group = shape.heads() / shape.kvHeads();
            for (int i = 0; i < group; i++) {
                int column = (heads[task] * group + i) * shape.headSize();
                long first = partial + partials[task] * partialBytes() + (long) i * partialFloats() * Float.BYTES;
                merge(first, count, destination.at(rows[task], column));
            }
            task += count;
        }
    }

    /// @param first of `count` parts of one query, [#partialBytes] from one to the next
    private void merge(long first, int count, long result) {
        int padded = cache.paddedHead();
        long totalAt = (long) padded * Float.BYTES;
        long maximumAt = totalAt + Float.BYTES;
        float maximum = Float.NEGATIVE_INFINITY;
        for (int part = 0; part < count; part++) {
            maximum = Math.max(maximum, Memory.getFloat(first + part * partialBytes() + maximumAt));
        }
        float total = 0;
        for (int part = 0; part < count; part++) {
            long sums = first + part * partialBytes();
            float factor = (float) Math.exp(Memory.getFloat(sums + maximumAt) - maximum);
            total += factor * Memory.getFloat(sums + totalAt);
            kernels.scale(sums, factor, sums, padded);
            if (part > 0) {
                kernels.add(sums, first, padded);
            }
        }
        kernels.scale(first, 1 / total, result, shape.headSize());
    }

    /// @param position of the first query
    /// @param advance  positions from one query to the next: 1 for tokens, 0 for heads of one token
    /// @param begin    first key to look at, if the window reaches so far
    /// @param end      behind the last key
    /// @param after    keys that will be read next, 0 where that is not known
    /// @param result   receives averages, or what a part leaves
    private void block(
            long work,
            long query,
            long queryRow,
            int count,
            int position,
            int advance,
            int begin,
            int end,
            int slot,
            int kvHead,
            long after,
            long result,
            long resultRow,
            boolean part) {
        int tile = Kernels.TILE_STRIPS * lanes;
        int low = Math.max(begin, position - shape.window() + 1);
        int base = tileStart(low);
        int width = Math.ceilDiv(end - base, tile) * tile;
        int padded = cache.paddedHead();
        int blockRows = Math.ceilDiv(count, Kernels.TILE_ROWS) * Kernels.TILE_ROWS;
        long scoreRow = (long) width * Float.BYTES;
        long sumRow = (long) padded * Float.BYTES;
        long sums = work + blockRows * scoreRow;
        long totals = sums + blockRows * sumRow;
        long maxima = totals + (long) blockRows * Float.BYTES;
        long room = maxima + (long) blockRows * Float.BYTES;
        // Halves are widened in pairs, so they begin at an even position.
        int even = cache.halves() ? low - low % 2 : low;
        long values = cache.values(layer, slot, kvHead) + cache.vectorBytes(even);
        scores(work, scoreRow, end - base, query, queryRow, count, base, slot, kvHead, values, room);
        for (int i = 0; i < count; i++) {
            int last = position + i * advance;
            int first = Math.max(begin, last - shape.window() + 1);
            int stop = Math.min(end, last + 1);
            long scores = work + i * scoreRow;
            long seen = scores + (long) (first - base) * Float.BYTES;
            float maximum = maximum(seen, stop - first, room);
            float total = exponentials(seen, stop - first, maximum, room);
            Memory.zeroFloats(scores, first - base);
            Memory.zeroFloats(scores + (long) (stop - base) * Float.BYTES, base + width - stop);
            Memory.putFloat(totals + (long) i * Float.BYTES, total);
            Memory.putFloat(maxima + (long) i * Float.BYTES, maximum);
        }
        Memory.zeroFloats(sums, (long) blockRows * padded);
        long weights = work + (long) (even - base) * Float.BYTES;
        weigh(weights, scoreRow, count, values, padded, end - even, sums, after, room);
        for (int i = 0; i < count; i++) {
            float total = Memory.getFloat(totals + (long) i * Float.BYTES);
            if (part) {
                long left = result + (long) i * partialFloats() * Float.BYTES;
                Memory.copyFloats(sums + i * sumRow, left, padded);
                Memory.putFloat(left + sumRow, total);
                Memory.putFloat(left + sumRow + Float.BYTES, Memory.getFloat(maxima + (long) i * Float.BYTES));
            } else {
                scale(sums + i * sumRow, 1 / total, result + i * resultRow, shape.headSize(), room);
            }
        }
    }

    private float maximum(long x, int count, long room) {
        int whole = count - count % lanes;
        if (verbs == null || whole == 0) {
            return kernels.maximum(x, count);
        }
        float maximum = verbs.maximum(x, whole / lanes, room);
        for (int i = whole; i < count; i++) {
            maximum = Math.max(maximum, Memory.getFloat(x + (long) i * Float.BYTES));
        }
        return maximum;
    }

    private float exponentials(long x, int count, float maximum, long room) {
        int whole = count - count % lanes;
        if (verbs == null || whole == 0) {
            return kernels.exponentials(x, count, maximum, room);
        }
        float sum = verbs.exponentials(x, whole / lanes, maximum, room);
        return RowKernel.exponentialTail(x, whole, count, maximum, sum);
    }

    private void scale(long x, float factor, long destination, int count, long room) {
        if (verbs == null) {
            kernels.scale(x, factor, destination, count);
        } else {
            verbs.multiply(x, factor, destination, count, room);
        }
    }

    /// See [FloatTile#multiply]; the vector kernels compute four strips where more than one is asked for.
    ///
    /// @param room for arguments
    private void tile(
            long a,
            long aRow,
            int rows,
            long b,
            long bStrip,
            int strips,
            long next,
            long nextStrip,
            int depth,
            long c,
            long cRow,
            float alpha,
            long room) {
        if (floatTile != null) {
            floatTile.multiply(a, aRow, rows, b, bStrip, strips, next, nextStrip, depth, c, cRow, alpha, room);
        } else if (strips == 1) {
            kernels.narrowTile(a, aRow, rows, b, depth, c, cRow, alpha);
        } else {
            kernels.tile(a, aRow, rows, b, bStrip, depth, c, cRow, alpha);
        }
    }

    private static long wide(long room) {
        return room + (long) ROOM * Float.BYTES;
    }

    /// `scale · q·Kᵀ` for `width` keys from `base` on; those a query must not see are computed too, and dropped later.
    ///
    /// @param values that will be read next
    /// @param room   for arguments, and for a tile of keys that are widened
    private void scores(
            long scores,
            long scoreRow,
            int width,
            long query,
            long queryRow,
            int count,
            int base,
            int slot,
            int kvHead,
            long values,
            long room) {
        long wide = wide(room);
        long vector = (long) lanes * Float.BYTES;
        long wideStrip = cache.keyRows() * vector;
        long stripBytes = cache.keyStripBytes();
        long keys = cache.keys(layer, slot, kvHead) + base / lanes * stripBytes;
        int strips = Math.ceilDiv(width, lanes);
        Memory.zeroFloats(
                scores, Math.ceilDiv(count, Kernels.TILE_ROWS) * Kernels.TILE_ROWS * (scoreRow / Float.BYTES));
        for (int strip = 0; strip < strips; strip += Kernels.TILE_STRIPS) {
            boolean last = strip + Kernels.TILE_STRIPS >= strips;
            long right = keys + strip * stripBytes;
            long next = last ? values : right + Kernels.TILE_STRIPS * stripBytes;
            long nextStrip = last ? cache.valueStripBytes() : stripBytes;
            if (cache.halves()) {
                kernels.widen(right, Kernels.TILE_STRIPS * cache.keyRows() / 2, wide);
                right = wide;
            }
            for (int row = 0; row < count; row += Kernels.TILE_ROWS) {
                tile(
                        query + row * queryRow,
                        queryRow,
                        Math.min(Kernels.TILE_ROWS, count - row),
                        right,
                        wideStrip,
                        Math.min(Kernels.TILE_STRIPS, strips - strip),
                        next,
                        nextStrip,
                        shape.headSize(),
                        scores + row * scoreRow + strip * vector,
                        scoreRow,
                        shape.scale(),
                        room);
            }
        }
    }

    /// `sums += weights·V`, a few positions at a time, so that their values stay in the first-level cache for all rows.
    ///
    /// @param after see [#block]
    /// @param room  for arguments, and for values that are widened
    private void weigh(
            long weights,
            long weightRow,
            int count,
            long values,
            int padded,
            int depth,
            long sums,
            long after,
            long room) {
        long wide = wide(room);
        long vector = (long) lanes * Float.BYTES;
        long sumRow = (long) padded * Float.BYTES;
        long stripBytes = cache.valueStripBytes();
        int strips = padded / lanes;
        long wideStrip = cache.halves() ? POSITIONS * vector : stripBytes;
        for (int first = 0; first < depth; first += POSITIONS) {
            int positions = Math.min(POSITIONS, depth - first);
            long stored = values + cache.vectorBytes(first);
            long right = stored;
            boolean last = first + POSITIONS >= depth;
            if (cache.halves()) {
                int words = Math.ceilDiv(positions, 2);
                for (int strip = 0; strip < strips; strip++) {
                    kernels.widen(stored + strip * stripBytes, words, wide + strip * wideStrip);
                }
                right = wide;
            }
            for (int row = 0; row < count; row += Kernels.TILE_ROWS) {
                int valid = Math.min(Kernels.TILE_ROWS, count - row);
                long left = weights + row * weightRow + (long) first * Float.BYTES;
                long to = sums + row * sumRow;
                int step;
                for (int strip = 0; strip < strips; strip += step) {
                    step = strips - strip >= Kernels.TILE_STRIPS ? Kernels.TILE_STRIPS : 1;
                    long next = strip + step < strips
                            ? stored + (strip + step) * stripBytes
                            : last ? after : stored + cache.vectorBytes(POSITIONS);
                    tile(
                            left,
                            weightRow,
                            valid,
                            right + strip * wideStrip,
                            wideStrip,
                            step,
                            next,
                            last && strip + step >= strips ? cache.keyStripBytes() : stripBytes,
                            positions,
                            to + strip * vector,
                            sumRow,
                            1f,
                            room);
                }
            }
        }
    }

    @Override
    public void close() {
        if (tileAttention != null) {
            tileAttention.close();
        }
    }
}

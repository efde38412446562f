package dev.halftone.core.model;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.tensor.DType;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Set;

/// One sequence being written: owns its cache and scratch, not the model. A step allocates nothing.
///
/// ```java
/// generation.start(prompt, 256);
/// for (int token = generation.step(sampler); token >= 0; token = generation.step(sampler)) {
///     print(decoder.push(token));
/// }
/// ```
public final class Generation implements AutoCloseable {
    /// Why nothing more comes.
    public enum End {
        /// The model ended the text itself.
        END_TOKEN,
        /// As many tokens as were asked for.
        TOKEN_LIMIT,
        /// The cache is full.
        CONTEXT
    }

    private final Llama llama;
    private final int chunk;
    private final int capacity;
    private final BitSet endTokens = new BitSet();
    private final KvCache cache;
    private final Batch batch = new Batch();
    private final int[] held; // [capacity], the tokens whose keys and values are cached, [0, position)
    private final int[] single = new int[1];
    private final Matrix logits; // [1, vocabulary]
    private final float[] hostLogits; // [vocabulary]
    private Workspace workspace;
    private Scratch hidden;
    private int position;
    private int pending; // chosen but not yet cached, or -1
    private int remaining;
    private End end = End.TOKEN_LIMIT;

    /// @param capacity  tokens of prompt and answer together
    /// @param chunk     tokens of a prompt that are computed at a time
    /// @param endTokens after which nothing follows
    public Generation(Llama llama, int capacity, int chunk, Set<Integer> endTokens) {
        this(llama, capacity, chunk, endTokens, DType.F32);
    }

    /// The same, with a cache of `cached` numbers, [DType#F32] or [DType#F16].
    public Generation(Llama llama, int capacity, int chunk, Set<Integer> endTokens, DType cached) {
        if (capacity < 1 || chunk < 1) {
            throw new IllegalArgumentException("capacity " + capacity + ", chunk " + chunk);
        }
        this.llama = llama;
        this.capacity = capacity;
        this.chunk = Math.min(chunk, capacity);
        endTokens.forEach(this.endTokens::set);
        int vocabulary = llama.config().vocabulary();
        held = new int[capacity];
        hostLogits = new float[vocabulary];
        cache = llama.allocateCache(1, capacity, cached);
        logits = llama.backend().allocate(1, vocabulary);
        allocateScratch(this.chunk);
    }

    private void allocateScratch(int rows) {
        workspace = llama.workspace(rows);
        hidden = new Scratch(llama.backend(), rows, llama.config().hidden());
    }

    /// Computes a prompt. What it has in common with the text so far is not computed again, so the next turn of a
    /// conversation is given whole.
    ///
    /// @param maximumTokens to write at most
    /// @return how many tokens of the prompt were still in the cache
    /// @throws HalftoneException of kind INPUT if the prompt is longer than the capacity
    public int start(int[] prompt, int maximumTokens) {
        if (prompt.length == 0 || maximumTokens < 0) {
            throw new IllegalArgumentException(
                    "a prompt of " + prompt.length + " tokens, at most " + maximumTokens + " more");
        }
        if (prompt.length > capacity) {
            throw new HalftoneException(
                    Kind.INPUT,
                    "the prompt does not fit the context",
                    "found " + prompt.length + " tokens, room for " + capacity,
                    "shorten the prompt or ask for a larger context");
        }
        boolean grows = llama.config().scaling().growsWithLength();
        boolean atOnce = grows && prompt.length > llama.config().context();
        boolean grown = grows && position > llama.config().context();
        int kept = atOnce || grown ? 0 : common(prompt);
        position = kept;
        pending = -1;
        remaining = maximumTokens;
        end = null;
        int rows = atOnce ? prompt.length : chunk;
        if (rows > workspace.maximumRows()) {
            // Here a prompt in pieces would be turned by other angles than the whole.
            closeScratch();
            allocateScratch(rows);
        }
        while (position < prompt.length) {
            int count = Math.min(rows, prompt.length - position);
            Matrix last = forward(Arrays.copyOfRange(prompt, position, position + count), count);
            if (position == prompt.length) {
                readLogits(last);
            }
        }
        return kept;
    }

    /// Length of the common beginning, short of the last token of the prompt: its logits are wanted.
    private int common(int[] prompt) {
        int most = Math.min(position, prompt.length - 1);
        int mismatch = Arrays.mismatch(prompt, 0, most, held, 0, most);
        return mismatch < 0 ? most : mismatch;
    }

    /// Chooses and returns the next token, or -1 if nothing more comes; then [#end] says why. A token that ends the
    /// text is not returned.
    ///
    /// @throws HalftoneException of kind NUMERICS if the logits are not numbers
    public int step(Sampler sampler) {
        if (end != null) {
            return -1;
        }
        if (remaining == 0) {
            return end(End.TOKEN_LIMIT);
        }
        if (pending >= 0) {
            if (position == capacity) {
                return end(End.CONTEXT);
            }
            single[0] = pending;
            readLogits(forward(single, 1));
            pending = -1;
        }
        int token = sampler.sample(hostLogits);
        if (endTokens.get(token)) {
            return end(End.END_TOKEN);
        }
        remaining--;
        pending = token;
        return token;
    }

    private int end(End reason) {
        end = reason;
        return -1;
    }

    /// Appends to the cache.
    ///
    /// @return the output of the last token, `[1, hidden]`
    private Matrix forward(int[] tokens, int count) {
        batch.clear();
        batch.add(0, position, count);
        Matrix output = hidden.rows(count);
        llama.forward(tokens, batch, cache, workspace, output);
        System.arraycopy(tokens, 0, held, position, count);
        position += count;
        return count == 1 ? output : output.rows(count - 1, 1);
    }

    private void readLogits(Matrix last) {
        llama.logits(last, logits);
        llama.backend().copyOut(logits, hostLogits, 0);
    }

    /// A copy of the logits, `[vocabulary]`, that the latest token was chosen by; after [#start], those of the first.
    public float[] logits() {
        return hostLogits.clone();
    }

    /// Tokens in the cache.
    public int position() {
        return position;
    }

    /// Why nothing more comes; null while more may come.
    public End end() {
        return end;
    }

    private void closeScratch() {
        workspace.close();
        hidden.close();
    }

    @Override
    public void close() {
        closeScratch();
        logits.close();
        cache.close();
    }
}

package dev.halftone.core.model;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Linear;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.layout.PackedLayout;
import dev.halftone.core.tensor.DType;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/// A Llama-class decoder with its weights bound to a backend ([Llama 2](https://arxiv.org/abs/2307.09288)). Holds no
/// state of a sequence: that is in a [KvCache] and a [Workspace], which the caller owns. Owns its weights, not its
/// backend, and needs the checkpoint no more once loaded unless the backend says otherwise.
public final class Llama implements AutoCloseable {
    /// The table of token embeddings, `[vocabulary, hidden]`.
    public static final String EMBEDDING = PackedLayout.EMBEDDING;
    /// The last norm, `[hidden]`.
    public static final String NORM = "model.norm.weight";
    /// The linear that makes logits; not in the file when the embeddings are tied.
    public static final String HEAD = PackedLayout.HEAD;

    private final LlamaConfig config;
    private final Backend backend;
    private final List<DecoderBlock> blocks = new ArrayList<>();
    private Linear embedding; // [vocabulary, hidden]
    private Linear head; // the same object when tied
    private Matrix norm; // [1, hidden]

    private Llama(LlamaConfig config, Backend backend) {
        this.config = config;
        this.backend = backend;
    }

    /// Binds all weights, one after another, and gives back the pages of each block of the checkpoint that was read, so
    /// that the peak is the bound model and one block.
    ///
    /// @throws MalformedCheckpointException if a tensor is missing or does not fit config.json
    public static Llama load(Checkpoint checkpoint, Backend backend) throws IOException {
        LlamaConfig config = LlamaConfig.of(
                checkpoint.config(), checkpoint.json("generation_config.json").orElse(null));
        LinearWeights weights = LinearWeights.of(checkpoint);
        Llama llama = new Llama(config, backend);
        try {
            llama.bind(weights, checkpoint);
        } catch (RuntimeException e) {
            llama.close();
            throw e;
        }
        return llama;
    }

    private void bind(LinearWeights weights, Checkpoint checkpoint) {
        WeightLoader loader = new WeightLoader(weights, checkpoint, backend);
        embedding = loader.table(EMBEDDING, config.vocabulary(), config.hidden());
        checkpoint.release(EMBEDDING);
        for (int layer = 0; layer < config.layers(); layer++) {
            blocks.add(DecoderBlock.load(config, layer, weights, checkpoint, backend));
            checkpoint.release(DecoderBlock.prefix(layer));
        }
        norm = loader.vector(NORM, config.hidden());
        head = tiesHead(config, weights) ? embedding : loader.linear(HEAD, config.vocabulary(), config.hidden(), false);
        checkpoint.release("");
    }

    /// Whether the head is the embedding table: a checkpoint that says so may still hold a packed head of its own.
    public static boolean tiesHead(LlamaConfig config, LinearWeights weights) {
        return config.tiedEmbeddings() && !weights.isPacked(HEAD);
    }

    public LlamaConfig config() {
        return config;
    }

    public Backend backend() {
        return backend;
    }

    /// An empty cache for this model that the caller closes.
    ///
    /// @param slots    sequences at a time
    /// @param capacity tokens of each
    public KvCache allocateCache(int slots, int capacity) {
        return allocateCache(slots, capacity, DType.F32);
    }

    /// The same, with keys and values rounded to `numbers`, [DType#F32] or [DType#F16].
    public KvCache allocateCache(int slots, int capacity, DType numbers) {
        return backend.allocateCache(config.layers(), slots, capacity, config.attention(0), numbers);
    }

    /// Working memory for passes of up to `maximumRows` tokens that the caller closes.
    public Workspace workspace(int maximumRows) {
        return new Workspace(backend, config, maximumRows);
    }

    /// Looks up the first `hidden.rows()` tokens.
    ///
    /// @throws IllegalArgumentException if one is not in the vocabulary
    public void embed(int[] tokens, Matrix hidden) {
        if (tokens.length < hidden.rows()) {
            throw new IllegalArgumentException(tokens.length + " tokens for " + hidden.rows() + " rows");
        }
        for (int i = 0; i < hidden.rows(); i++) {
            if (tokens[i] < 0 || tokens[i] >= config.vocabulary()) {
                throw new IllegalArgumentException("token " + tokens[i] + " at row " + i
                        + " is outside the vocabulary of " + config.vocabulary() + "; is the tokenizer of this model?");
            }
        }
        embedding.gather(tokens, hidden);
    }

    /// Embeds the tokens of `batch`, runs all blocks and the last norm. Each token's keys and values are stored in the
    /// cache at its position.
    ///
    /// @param tokens as the rows of the batch; more than `batch.rows()` are ignored
    /// @param hidden `[batch.rows(), hidden]`, overwritten with the normed output: what [#logits] takes
    /// @throws IllegalArgumentException if the batch does not fit the cache, the workspace or `hidden`
    public void forward(int[] tokens, Batch batch, KvCache cache, Workspace workspace, Matrix hidden) {
        requireRoom(batch, cache, workspace, hidden);
        embed(tokens, hidden);
        RotaryAngles angles = workspace.angles();
        angles.prepare(batch);
        for (int layer = 0; layer < config.layers(); layer++) {
            blocks.get(layer).forward(hidden, batch, angles, cache, layer, workspace);
        }
        backend.rmsNorm(hidden, norm, config.normEpsilon(), hidden);
    }

    private void requireRoom(Batch batch, KvCache cache, Workspace workspace, Matrix hidden) {
        if (batch.rows() < 1 || batch.rows() > workspace.maximumRows()) {
            throw new IllegalArgumentException(
                    "a batch of " + batch.rows() + " rows, room for 1 to " + workspace.maximumRows());
        }
        if (hidden.rows() != batch.rows() || hidden.columns() != config.hidden()) {
            throw new IllegalArgumentException("hidden is [" + hidden.rows() + ", " + hidden.columns() + "], expected ["
                    + batch.rows() + ", " + config.hidden() + "]");
        }
        for (int sequence = 0; sequence < batch.size(); sequence++) {
            int end = batch.start(sequence) + batch.count(sequence);
            if (batch.slot(sequence) >= cache.slots() || end > cache.capacity()) {
                throw new IllegalArgumentException("slot " + batch.slot(sequence) + " up to position " + end
                        + ", the cache has " + cache.slots() + " slots of " + cache.capacity());
            }
        }
    }

    /// Scores of every token of the vocabulary to come next, for any number of rows at a time.
    ///
    /// @param hidden `[n, hidden]` as [#forward] leaves it
    /// @param logits `[n, vocabulary]`
    public void logits(Matrix hidden, Matrix logits) {
        head.multiply(hidden, logits);
    }

    /// Block `layer`.
    public DecoderBlock block(int layer) {
        return blocks.get(layer);
    }

    /// Bytes that the bound weights occupy.
    public long weightBytes() {
        long bytes = embedding.bytes() + 4L * norm.columns();
        if (head != embedding) {
            bytes += head.bytes();
        }
        for (DecoderBlock block : blocks) {
            bytes += block.bytes();
        }
        return bytes;
    }

    /// Bytes of weights that a pass reads, whatever its number of rows, when it ends in logits: all but a table that is
    /// only looked up.
    public long weightBytesPerPass() {
        return head == embedding ? weightBytes() : weightBytes() - embedding.bytes();
    }

    @Override
    public void close() {
        blocks.forEach(DecoderBlock::close);
        blocks.clear();
        if (norm != null) {
            norm.close();
        }
        if (head != null && head != embedding) {
            head.close();
        }
        if (embedding != null) {
            embedding.close();
        }
    }
}

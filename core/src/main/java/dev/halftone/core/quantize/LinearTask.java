package dev.halftone.core.quantize;

import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.weight.QuantizationScheme;

/// One matrix that a run will quantize: a linear of a block, the head, or the table of embeddings.
///
/// @param layer   index of its block; what belongs to none stands behind the last one
/// @param site    whose input it reads; null outside of the blocks
/// @param linear  name inside the block, one of `site.linears()`; outside of the blocks the full one
/// @param outputs rows of its weight
/// @param inputs  columns of its weight
/// @param scheme  that it is rounded to
public record LinearTask(int layer, InputSite site, String linear, int outputs, int inputs, QuantizationScheme scheme) {
    /// The head of a model.
    static LinearTask head(LlamaConfig config, QuantizationScheme scheme) {
        return new LinearTask(config.layers(), null, Llama.HEAD, config.vocabulary(), config.hidden(), scheme);
    }

    /// The embeddings of a model.
    static LinearTask embedding(LlamaConfig config, QuantizationScheme scheme) {
        return new LinearTask(config.layers(), null, Llama.EMBEDDING, config.vocabulary(), config.hidden(), scheme);
    }

    /// Whether it is a linear of a block.
    public boolean isOfBlock() {
        return site != null;
    }

    /// Whether it is the linear that makes logits.
    public boolean isHead() {
        return linear.equals(Llama.HEAD);
    }

    /// Whether it is the table of embeddings.
    public boolean isEmbedding() {
        return linear.equals(Llama.EMBEDDING);
    }

    /// As in `model.layers.3.mlp.up_proj`.
    public String name() {
        return isOfBlock() ? DecoderBlock.prefix(layer) + linear : linear;
    }

    /// The tensor of the source that holds its weight.
    String source(LlamaConfig config) {
        return (isHead() && config.tiedEmbeddings() ? Llama.EMBEDDING : name()) + ".weight";
    }

    public long parameters() {
        return (long) outputs * inputs;
    }
}

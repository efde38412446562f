package dev.halftone.core.quantize;

import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.weight.QuantizationScheme;

/// One linear that a run will quantize: of a block, or the head.
///
/// @param layer   index of its block; the head stands behind the last one
/// @param site    whose input it reads; null for the head
/// @param linear  name inside the block, one of `site.linears()`; the full one of the head
/// @param outputs rows of its weight
/// @param inputs  columns of its weight
/// @param scheme  that it is rounded to
public record LinearTask(int layer, InputSite site, String linear, int outputs, int inputs, QuantizationScheme scheme) {
    /// The head of a model.
    static LinearTask head(LlamaConfig config, QuantizationScheme scheme) {
        return new LinearTask(config.layers(), null, Llama.HEAD, config.vocabulary(), config.hidden(), scheme);
    }

    /// Whether it is the linear that makes logits.
    public boolean isHead() {
        return site == null;
    }

    /// As in `model.layers.3.mlp.up_proj`.
    public String name() {
        return isHead() ? linear : DecoderBlock.prefix(layer) + linear;
    }

    /// The tensor of the source that holds its weight.
    String source(LlamaConfig config) {
        return isHead() && config.tiedEmbeddings() ? Llama.EMBEDDING : name() + ".weight";
    }

    public long parameters() {
        return (long) outputs * inputs;
    }
}

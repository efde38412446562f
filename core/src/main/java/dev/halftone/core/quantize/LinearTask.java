package dev.halftone.core.quantize;

import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.weight.QuantizationScheme;

/// One linear that a run will quantize.
///
/// @param layer   index of its block
/// @param site    whose input it reads
/// @param linear  name inside the block, one of `site.linears()`
/// @param outputs rows of its weight
/// @param inputs  columns of its weight
/// @param scheme  that it is rounded to
public record LinearTask(int layer, InputSite site, String linear, int outputs, int inputs, QuantizationScheme scheme) {
    /// As in `model.layers.3.mlp.up_proj`.
    public String name() {
        return DecoderBlock.prefix(layer) + linear;
    }

    public long parameters() {
        return (long) outputs * inputs;
    }
}

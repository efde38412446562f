package dev.halftone.core.quantize;

import dev.halftone.core.layout.PackedLayout;
import dev.halftone.core.weight.QuantizationScheme;
import java.util.Objects;

/// How a model is to be quantized. Every linear of the decoder blocks is; embedding, head, norms and biases are not.
///
/// @param quantizer finds the codes
/// @param scheme    bits, groups and range of the codes
/// @param layout    how they are stored
public record Recipe(WeightQuantizer quantizer, QuantizationScheme scheme, PackedLayout layout) {
    public Recipe {
        Objects.requireNonNull(quantizer);
        Objects.requireNonNull(scheme);
        Objects.requireNonNull(layout);
    }
}

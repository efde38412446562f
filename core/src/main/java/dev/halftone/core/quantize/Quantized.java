package dev.halftone.core.quantize;

import dev.halftone.core.weight.QuantizedWeight;
import java.util.List;

/// What a [WeightQuantizer] made of one weight.
///
/// @param weight   the codes, owned by the receiver
/// @param error    how far the restored weight is from the original
/// @param attempts every damping that was tried, in order, the last one being the one used; empty for methods without
public record Quantized(QuantizedWeight weight, QuantizationError error, List<DampingAttempt> attempts) {
    public Quantized {
        attempts = List.copyOf(attempts);
    }
}

package dev.halftone.core.quantize;

import java.util.List;

/// How the quantization of one linear went.
///
/// @param name     as in `model.layers.3.mlp.up_proj`
/// @param layer    index of its block; head and embeddings stand behind the last one
/// @param outputs  rows of its weight
/// @param inputs   columns of its weight
/// @param error    of the restored weight
/// @param attempts every damping that was tried; the last one was used
/// @param seconds  that finding the codes took
public record LinearReport(
        String name,
        int layer,
        int outputs,
        int inputs,
        QuantizationError error,
        List<DampingAttempt> attempts,
        double seconds) {
    public LinearReport {
        attempts = List.copyOf(attempts);
    }
}

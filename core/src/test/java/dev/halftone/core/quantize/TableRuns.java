package dev.halftone.core.quantize;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.layout.PackedLayouts;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.testing.SyntheticCheckpoint;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizationScheme;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;

/// What tests of a quantized head or table of embeddings have in common.
///
/// @param type of the model's numbers
record TableRuns(Path folder, DType type, Backend backend) {
    /// A model of 96 tokens and 64 hidden channels.
    Path model(boolean tied) throws IOException {
        Path model = folder.resolve("model");
        SyntheticCheckpoint.write(model, SyntheticCheckpoint.tinyConfig().put("tie_word_embeddings", tied), type, 5);
        return model;
    }

    /// 4 bits in groups of 32, or 8 per channel where inputs are rounded.
    Recipe recipe(WeightQuantizer quantizer, String layout, InputRounding inputs, Integer headBits) {
        boolean rounded = inputs.kind() != ActivationScheme.Kind.NONE;
        boolean awq = layout.equals("awq");
        QuantizationScheme scheme = PackedLayouts.scheme(layout, rounded ? 8 : 4, rounded ? -1 : 32, !awq, type);
        return new Recipe(List.of(), quantizer, scheme, PackedLayouts.of(layout, scheme, inputs.kind()), inputs)
                .withHeadBits(headBits);
    }

    QuantizationRun run(Path model, String out, Recipe recipe) {
        int[] tokens = IntStream.range(0, 48).map(i -> 7 * i % 96).toArray();
        return new QuantizationRun(model, folder.resolve(out), recipe, Calibration.of("text", tokens, 3, 16), backend);
    }
}

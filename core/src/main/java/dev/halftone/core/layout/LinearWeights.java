package dev.halftone.core.layout;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.Weight;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.Optional;

/// The linears of a checkpoint as the checkpoint means them, whether packed or in floating point. Each weight is read
/// when it is asked for and not kept. May be used from many threads.
public final class LinearWeights {
    private static final String CONFIG = "config.json";
    private static final String SECTION = "quantization_config";
    private static final String OWN_FILE = "quantize_config.json";
    private static final String SUPPORTED = "supported: gptq";

    private final Checkpoint checkpoint;
    private final GptqLayout layout; // null: dense

    private LinearWeights(Checkpoint checkpoint, GptqLayout layout) {
        this.checkpoint = checkpoint;
        this.layout = layout;
    }

    /// Reads `quantization_config` of `config.json`, else `quantize_config.json`, as old tools and new write them.
    ///
    /// @throws MalformedCheckpointException if the quantization is unknown, or used in a way that is not supported
    public static LinearWeights of(Checkpoint checkpoint) {
        JsonNode section = checkpoint.config().path(SECTION);
        if (section instanceof ObjectNode object) {
            return packed(checkpoint, object, checkpoint.directory().resolve(CONFIG), null);
        }
        if (!section.isMissingNode() && !section.isNull()) {
            throw new MalformedCheckpointException(
                    checkpoint.directory().resolve(CONFIG),
                    null,
                    SECTION + " is not an object",
                    "found " + section.getNodeType(),
                    "copy config.json from the original model");
        }
        Optional<ObjectNode> own;
        try {
            own = checkpoint.json(OWN_FILE);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        if (own.isPresent()) {
            // The first tools to write this file knew no other method, and did not name theirs.
            return packed(checkpoint, own.get(), checkpoint.directory().resolve(OWN_FILE), "gptq");
        }
        checkpoint.tensors().keySet().stream()
                .filter(name -> name.endsWith(".qweight") || name.endsWith(".weight_packed"))
                .findFirst()
                .ifPresent(name -> {
                    throw new MalformedCheckpointException(
                            checkpoint.directory(),
                            name,
                            "weights are packed, but nothing says how",
                            "neither " + CONFIG + " has " + SECTION + " nor is there a " + OWN_FILE,
                            "copy both files from the original model");
                });
        return new LinearWeights(checkpoint, null);
    }

    private static LinearWeights packed(Checkpoint checkpoint, ObjectNode section, Path file, String presetMethod) {
        String method = GptqSettings.either(section, "quant_method", "method", presetMethod, file);
        if (method == null) {
            throw new MalformedCheckpointException(
                    file, null, SECTION + " names no quant_method", SUPPORTED, "copy the file from the original model");
        }
        if (!method.equals("gptq")) {
            throw GptqSettings.unsupported(file, "quant_method '" + method + "'", SUPPORTED);
        }
        return new LinearWeights(checkpoint, GptqLayout.of(GptqSettings.of(section, file)));
    }

    /// The weight of a linear such as `model.layers.0.self_attn.q_proj`: a [DenseWeight] that lives as long as the
    /// checkpoint, or a [dev.halftone.core.weight.QuantizedWeight] of its own.
    ///
    /// @throws MalformedCheckpointException if it is missing or broken
    public Weight weight(String linear) {
        String dense = linear + ".weight";
        if (layout == null || !checkpoint.has(linear + ".qweight")) {
            return dense(checkpoint.tensor(dense));
        }
        if (checkpoint.has(dense)) {
            throw new MalformedCheckpointException(
                    checkpoint.file(dense), linear, "is there both packed and in floating point", null, null);
        }
        if (layout.settings().dynamic().excludes(linear)) {
            throw new MalformedCheckpointException(
                    checkpoint.file(linear + ".qweight"),
                    linear,
                    "is packed, but a dynamic rule excludes it",
                    null,
                    "check that config.json and weights are of the same model");
        }
        return layout.unpack(linear, checkpoint);
    }

    private Weight dense(Tensor tensor) {
        if (tensor.shape().rank() != 2 || !tensor.type().isFloating()) {
            throw new MalformedCheckpointException(
                    checkpoint.file(tensor.name()),
                    tensor.name(),
                    "is no weight",
                    "expected a floating-point matrix, found " + tensor.type() + " " + tensor.shape(),
                    null);
        }
        return new DenseWeight(tensor);
    }

    /// The bias of a linear, `[outputs]`, or null if it has none.
    ///
    /// @throws MalformedCheckpointException if it is not a floating-point vector
    public float[] bias(String linear) {
        String name = linear + ".bias";
        if (!checkpoint.has(name)) {
            return null;
        }
        Tensor bias = checkpoint.tensor(name);
        if (!bias.type().isFloating() || bias.shape().rank() != 1) {
            throw new MalformedCheckpointException(
                    checkpoint.file(name),
                    name,
                    "is no bias",
                    "expected a floating-point vector, found " + bias.type() + " " + bias.shape(),
                    null);
        }
        return bias.toFloats();
    }

    /// The format of the packed linears; empty for a dense checkpoint.
    public Optional<PackedLayout> layout() {
        return Optional.ofNullable(layout);
    }

    /// As in "gptq 4-bit g64 symmetric"; empty for a dense checkpoint.
    public Optional<String> description() {
        return layout().map(packed -> packed.name() + " " + layout.settings().description());
    }
}

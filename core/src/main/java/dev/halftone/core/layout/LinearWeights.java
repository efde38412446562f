package dev.halftone.core.layout;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.StoredWeight;
import dev.halftone.core.weight.Weight;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Optional;

/// The linears of a checkpoint as the checkpoint means them, whether packed or in floating point. Each weight is read
/// when it is asked for and not kept. May be used from many threads.
public final class LinearWeights {
    private static final String CONFIG = "config.json";
    private static final String SECTION = "quantization_config";
    /// As the first compressed checkpoints called it.
    private static final String OLD_SECTION = "compression_config";
    private static final String SUPPORTED = "supported: gptq, awq, compressed-tensors";

    private final Checkpoint checkpoint;
    private final PackedLayout layout; // null: dense

    private LinearWeights(Checkpoint checkpoint, PackedLayout layout) {
        this.checkpoint = checkpoint;
        this.layout = layout;
    }

    /// Reads `quantization_config` of `config.json`, else `quantize_config.json` or `quant_config.json`, as old tools
    /// and new write them.
    ///
    /// @throws MalformedCheckpointException if the quantization is unknown, or used in a way that is not supported
    public static LinearWeights of(Checkpoint checkpoint) {
        Section config = new Section(checkpoint.config(), checkpoint.directory().resolve(CONFIG));
        for (String key : List.of(SECTION, OLD_SECTION)) {
            if (config.has(key)) {
                return new LinearWeights(checkpoint, layout(config.child(key), null));
            }
        }
        // The first tools to write these files knew no other method, and did not name theirs.
        Optional<PackedLayout> layout = layout(checkpoint, GptqLayout.SECTION_FILE, "gptq")
                .or(() -> layout(checkpoint, "quant_config.json", "awq"));
        if (layout.isPresent()) {
            return new LinearWeights(checkpoint, layout.get());
        }
        checkpoint.tensors().keySet().stream()
                .filter(name -> name.endsWith(".qweight") || name.endsWith(".weight_packed"))
                .findFirst()
                .ifPresent(name -> {
                    throw new MalformedCheckpointException(
                            checkpoint.directory(),
                            name,
                            "weights are packed, but nothing says how",
                            "neither " + CONFIG + " has " + SECTION + " nor is there a " + GptqLayout.SECTION_FILE,
                            "copy both files from the original model");
                });
        return new LinearWeights(checkpoint, null);
    }

    private static Optional<PackedLayout> layout(Checkpoint checkpoint, String file, String preset) {
        try {
            return checkpoint
                    .json(file)
                    .map(tree -> layout(new Section(tree, checkpoint.directory().resolve(file)), preset));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /// @param preset method of a section that names none
    private static PackedLayout layout(Section section, String preset) {
        String method = section.either(preset, "quant_method", "method");
        if (method == null) {
            throw section.malformed(SECTION + " names no quant_method", SUPPORTED);
        }
        return switch (method) {
            case "gptq" -> GptqLayout.of(GptqSettings.of(section.tree(), section.file()));
            case "awq" -> AwqGemmLayout.of(section.tree(), section.file());
            case CompressedTensorsLayout.NAME -> CompressedTensorsLayout.of(section.tree(), section.file());
            default -> throw section.unsupported("quant_method '" + method + "'", SUPPORTED);
        };
    }

    /// The weight of a linear such as `model.layers.0.self_attn.q_proj`: a [DenseWeight] that lives as long as the
    /// checkpoint, or a [dev.halftone.core.weight.QuantizedWeight] of its own.
    ///
    /// @throws MalformedCheckpointException if it is missing or broken
    public Weight weight(String linear) {
        Weight weight = stored(linear);
        return weight instanceof StoredWeight codes ? codes.unpacked() : weight;
    }

    /// The same as a [StoredWeight], or a [DenseWeight]: it lives as long as the checkpoint, and its codes are
    /// read from there a few rows at a time.
    ///
    /// @throws MalformedCheckpointException if it is missing or broken
    public Weight stored(String linear) {
        return isPacked(linear) ? layout.stored(linear, checkpoint) : dense(linear);
    }

    /// Whether a linear is there in packed form.
    ///
    /// @throws MalformedCheckpointException if it is, but the configuration or other tensors contradict
    public boolean isPacked(String linear) {
        return layout != null && layout.holds(linear, checkpoint);
    }

    private Weight dense(String linear) {
        Tensor tensor = checkpoint.tensor(linear + ".weight");
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
        return layout().map(packed -> packed.name() + " " + packed.description());
    }
}

package dev.halftone.core.layout;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.StoredWeight;
import java.lang.foreign.Arena;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// A file format of quantized weights: several named tensors for each linear, and a section of `config.json`.
///
/// `linear` is the name without suffix, as in `model.layers.0.self_attn.q_proj`.
public sealed interface PackedLayout permits GptqLayout, AwqGemmLayout, CompressedTensorsLayout {
    /// The linear that makes logits, as every format calls it.
    String HEAD = "lm_head";

    /// The table of token embeddings, as every format calls it.
    String EMBEDDING = "model.embed_tokens";

    /// As configurations spell it.
    String name();

    /// Its settings, as in "4-bit g64 symmetric".
    String description();

    /// The file that repeats the quantization section for tools that look there; empty if none does.
    Optional<String> sectionFile();

    /// Checks, before any work, that a linear can be stored, and loaded by the tools that read this format.
    ///
    /// @throws HalftoneException of kind USAGE if its sizes or the scheme do not allow it
    void requireStorable(String linear, int outputs, int inputs, QuantizationScheme scheme);

    /// The tensors that [#pack] will make.
    ///
    /// @throws HalftoneException like [#requireStorable]
    List<TensorSpec> specs(String linear, int outputs, int inputs, QuantizationScheme scheme);

    /// The weight as tensors, in memory of `arena`.
    ///
    /// @throws HalftoneException        like [#requireStorable]
    /// @throws IllegalArgumentException if a code, zero or scale is none that the format can hold
    List<Tensor> pack(String linear, QuantizedWeight weight, Arena arena);

    /// Whether a linear lies in the checkpoint in this format, rather than in floating point.
    ///
    /// @throws MalformedCheckpointException if it does, but the configuration or other tensors contradict
    boolean holds(String linear, Checkpoint checkpoint);

    /// What [#pack] stored, or another tool, with its codes still in the checkpoint's memory.
    ///
    /// @throws MalformedCheckpointException if tensors are missing or do not fit together
    StoredWeight stored(String linear, Checkpoint checkpoint);

    /// The quantization section of `config.json`.
    ///
    /// @param tool  who made it, as `name:version`
    /// @param meta  how the codes were found, under the names that the format's own tools use; left out, like the
    ///              tool, where the format has no place for it
    /// @param dense      linears of the decoder blocks that were left in floating point
    /// @param exceptions linears of the decoder blocks whose scheme is not `scheme`, and theirs
    /// @param tables     schemes of [#HEAD], whose inputs are not rounded, and [#EMBEDDING], where they are packed
    /// @throws HalftoneException of kind USAGE if the format has no place for exceptions, or for a packed head
    ObjectNode config(
            QuantizationScheme scheme,
            String tool,
            Map<String, ?> meta,
            Collection<String> dense,
            Map<String, QuantizationScheme> exceptions,
            Map<String, QuantizationScheme> tables);

    /// The section of a file whose head and embedding are in floating point.
    default ObjectNode config(
            QuantizationScheme scheme,
            String tool,
            Map<String, ?> meta,
            Collection<String> dense,
            Map<String, QuantizationScheme> exceptions) {
        return config(scheme, tool, meta, dense, exceptions, Map.of());
    }

    /// The section of a file whose packed linears are all alike.
    default ObjectNode config(QuantizationScheme scheme, String tool, Map<String, ?> meta, Collection<String> dense) {
        return config(scheme, tool, meta, dense, Map.of());
    }
}

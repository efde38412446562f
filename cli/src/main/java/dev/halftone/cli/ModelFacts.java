package dev.halftone.cli;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Tensor;
import java.io.IOException;
import java.util.Collection;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/// Sizes of a model, from its configuration and its files' headers alone.
///
/// @param linears          matrices inside the blocks, those that are quantized, and head and embedding where they are
///                         packed
/// @param linearParameters weights in them
/// @param otherParameters  numbers of all other tensors: embedding and head in floating point, norms, biases
/// @param linearBytes      what the files hold for the linears: weights or codes, scales, zeros, order
/// @param totalBytes       what the files hold for all tensors
/// @param types            bytes by storage type
record ModelFacts(
        int linears,
        long linearParameters,
        long otherParameters,
        long linearBytes,
        long totalBytes,
        Map<DType, Long> types) {

    /// For a model whose head and embedding are in floating point.
    static ModelFacts of(LlamaConfig config, Collection<Tensor> tensors) {
        return of(config, List.of(), tensors);
    }

    /// @param packedTables [Llama#HEAD] and [Llama#EMBEDDING], those of them that are quantized
    static ModelFacts of(LlamaConfig config, Collection<String> packedTables, Collection<Tensor> tensors) {
        int linears = 0;
        long linearParameters = 0;
        for (InputSite site : InputSite.values()) {
            for (String name : site.linears()) {
                linears += config.layers();
                linearParameters += (long) config.layers() * site.outputs(name, config) * site.width(config);
            }
        }
        linears += packedTables.size();
        linearParameters += (long) packedTables.size() * config.vocabulary() * config.hidden();
        long otherParameters = 0;
        long linearBytes = 0;
        long totalBytes = 0;
        Map<DType, Long> types = new EnumMap<>(DType.class);
        for (Tensor tensor : tensors) {
            long bytes = tensor.data().byteSize();
            totalBytes += bytes;
            types.merge(tensor.type(), bytes, Long::sum);
            if (isInLinear(tensor.name(), config) || isIn(tensor.name(), packedTables)) {
                linearBytes += bytes;
            } else {
                otherParameters += tensor.shape().elements();
            }
        }
        return new ModelFacts(linears, linearParameters, otherParameters, linearBytes, totalBytes, types);
    }

    static LlamaConfig config(Checkpoint checkpoint) throws IOException {
        return LlamaConfig.of(
                checkpoint.config(), checkpoint.json("generation_config.json").orElse(null));
    }

    private static boolean isIn(String tensor, Collection<String> tables) {
        return tables.stream().anyMatch(table -> tensor.startsWith(table + ".")) && !tensor.endsWith(".bias");
    }

    /// Whether a tensor is the weight of a linear of a block, whole or packed; its bias is not.
    private static boolean isInLinear(String tensor, LlamaConfig config) {
        if (tensor.endsWith(".bias")) {
            return false;
        }
        for (int layer = 0; layer < config.layers(); layer++) {
            String prefix = DecoderBlock.prefix(layer);
            if (tensor.startsWith(prefix)) {
                String rest = tensor.substring(prefix.length());
                for (InputSite site : InputSite.values()) {
                    for (String name : site.linears()) {
                        if (rest.startsWith(name + ".")) {
                            return true;
                        }
                    }
                }
            }
        }
        return false;
    }

    long parameters() {
        return linearParameters + otherParameters;
    }

    /// Bits that one weight of a linear takes in the files, scales and zeros included.
    double bitsPerWeight() {
        return 8.0 * linearBytes / linearParameters;
    }

    /// Bits per parameter of the whole model.
    double bitsOverall() {
        return 8.0 * totalBytes / parameters();
    }
}

package dev.halftone.cli;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.layout.PackedLayout;
import dev.halftone.core.layout.PackedLayouts;
import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizationScheme;
import java.util.Arrays;
import java.util.List;

/// From the words of a command line to a scheme and a layout that holds it.
///
/// @param format one of [PackedLayouts#NAMES]
/// @param scheme what it holds
record SchemeOptions(String format, QuantizationScheme scheme) {
    /// What one format or another holds.
    static final List<Integer> BITS = List.of(2, 3, 4, 8);

    /// Tried in this order when the user names none.
    private static final List<Integer> USUAL_GROUPS = List.of(128, 64, 32);

    /// @param format     null for the one that most tools load
    /// @param groupSize  null for the first usual one that divides every linear of the model, or per channel
    /// @param checkpoint of the float model
    /// @throws HalftoneException for what is out of range, or the format cannot hold
    static SchemeOptions of(
            String format, int bits, Integer groupSize, boolean symmetric, LlamaConfig config, Checkpoint checkpoint) {
        if (!BITS.contains(bits)) {
            throw Usage.fault("--bits must be 2, 3, 4 or 8, found " + bits, "--bits 4");
        }
        int group = groupSize == null ? usualGroup(config) : groupSize;
        if (group != QuantizationScheme.PER_CHANNEL && group < 1) {
            throw Usage.fault(
                    "--group-size must be positive, or -1 for one group per output, found " + group,
                    "--group-size 128");
        }
        if (format != null && !PackedLayouts.NAMES.contains(format)) {
            throw Usage.fault(
                    "format '" + format + "' is unknown; known: " + String.join(", ", PackedLayouts.NAMES),
                    "--format gptq");
        }
        String chosen = format == null ? usualFormat(bits, symmetric) : format;
        if (chosen.equals("awq") && (bits != 4 || symmetric)) {
            throw Usage.fault(
                    "--format awq holds 4-bit asymmetric weights only, found " + bits + "-bit "
                            + (symmetric ? "symmetric" : "asymmetric"),
                    "--format awq --bits 4 --asymmetric, or --format " + usualFormat(bits, symmetric));
        }
        QuantizationScheme scheme = PackedLayouts.scheme(chosen, bits, group, symmetric, scaleType(checkpoint));
        return new SchemeOptions(chosen, scheme);
    }

    /// Symmetric: GPTQ, which everybody loads, and loads fast. Asymmetric: GPTQModel, and transformers through
    /// it, refuses version 1 of GPTQ by any tool but itself, and vLLM has its fast kernel for symmetric GPTQ alone.
    /// AWQ is asymmetric by definition, and these three, SGLang and vLLM without a GPU load it; but it ends at
    /// 4 bits, so that the others become version 2 of GPTQ.
    private static String usualFormat(int bits, boolean symmetric) {
        if (symmetric) {
            return "gptq";
        }
        return bits == 4 ? "awq" : "gptq_v2";
    }

    private static int usualGroup(LlamaConfig config) {
        return USUAL_GROUPS.stream()
                .filter(group -> Arrays.stream(InputSite.values()).allMatch(site -> site.width(config) % group == 0))
                .findFirst()
                .orElse(QuantizationScheme.PER_CHANNEL);
    }

    /// The type of the model's linears, or F32 where scales cannot be stored in it: the run will refuse such a model.
    private static DType scaleType(Checkpoint checkpoint) {
        String first =
                DecoderBlock.prefix(0) + InputSite.ATTENTION_INPUT.linears().getFirst() + ".weight";
        Tensor tensor = checkpoint.tensors().get(first);
        boolean holdsScales = tensor != null
                && switch (tensor.type()) {
                    case F32, F16, BF16 -> true;
                    case F64, I64, I32, I16, I8, U8, BOOL -> false;
                };
        return holdsScales ? tensor.type() : DType.F32;
    }

    /// @param inputs how they are rounded
    PackedLayout layout(ActivationScheme.Kind inputs) {
        return PackedLayouts.of(format, scheme, inputs);
    }
}

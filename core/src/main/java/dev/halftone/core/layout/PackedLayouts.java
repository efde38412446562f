package dev.halftone.core.layout;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.layout.GptqLayout.Version;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizationScheme;
import java.util.List;

/// The layouts that can be written, by the names that configurations and the command line give them.
public final class PackedLayouts {
    /// All of them, the one that most tools read first.
    public static final List<String> NAMES = List.of("gptq", "gptq_v2", "awq", CompressedTensorsLayout.NAME);

    private PackedLayouts() {}

    /// The scheme that a layout stores without loss: its type of scales, and its smallest zero.
    ///
    /// @param modelType of the model's own weights, which some layouts take for the scales
    /// @throws HalftoneException of kind USAGE if there is no such layout
    public static QuantizationScheme scheme(String name, int bits, int groupSize, boolean symmetric, DType modelType) {
        return switch (name) {
            case "gptq" -> QuantizationScheme.gptq(bits, groupSize, symmetric);
            case "gptq_v2" -> QuantizationScheme.gptqV2(bits, groupSize, symmetric);
            case "awq" -> QuantizationScheme.awq(bits, groupSize, symmetric);
            case CompressedTensorsLayout.NAME ->
                QuantizationScheme.compressedTensors(bits, groupSize, symmetric, modelType);
            default -> throw unknown(name);
        };
    }

    /// The layout for writing every linear in `scheme`. Whether it can hold the scheme, and a linear of some size,
    /// [PackedLayout#requireStorable] tells.
    ///
    /// @param activations how inputs are to be rounded
    /// @throws HalftoneException of kind USAGE if there is no such layout, or it cannot say that inputs are rounded
    public static PackedLayout of(String name, QuantizationScheme scheme, ActivationScheme.Kind activations) {
        return of(name, scheme, activations, false);
    }

    /// The same.
    ///
    /// @param actOrder whether columns may be grouped in another order than they are stored
    /// @throws HalftoneException of kind USAGE also if the layout has no place for such an order
    public static PackedLayout of(
            String name, QuantizationScheme scheme, ActivationScheme.Kind activations, boolean actOrder) {
        boolean rounded = activations != ActivationScheme.Kind.NONE;
        PackedLayout layout = switch (name) {
            case "gptq" -> GptqLayout.writing(Version.V1, scheme, actOrder);
            case "gptq_v2" -> GptqLayout.writing(Version.V2, scheme, actOrder);
            case "awq" -> AwqGemmLayout.of(scheme);
            case CompressedTensorsLayout.NAME ->
                rounded
                        ? CompressedTensorsLayout.integers(scheme, activations)
                        : CompressedTensorsLayout.packed(scheme);
            default -> throw unknown(name);
        };
        // compressed-tensors once had a setting for it; its present releases refuse files that use it.
        if (actOrder && !(layout instanceof GptqLayout)) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "the layout '" + name + "' holds groups of neighbouring columns only",
                    "columns of this model are grouped in another order (desc_act)",
                    "use gptq or gptq_v2");
        }
        if (rounded && !(layout instanceof CompressedTensorsLayout)) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "the layout '" + name + "' is for weights alone",
                    "it has no place for the scales of inputs",
                    "use " + CompressedTensorsLayout.NAME);
        }
        return layout;
    }

    /// The layout for writing the table of embeddings in `scheme`.
    ///
    /// @throws HalftoneException of kind USAGE if there is no such layout, or it has no place for such a table
    public static PackedLayout ofTable(String name, QuantizationScheme scheme) {
        if (!NAMES.contains(name)) {
            throw unknown(name);
        }
        if (!name.equals(CompressedTensorsLayout.NAME)) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "the layout '" + name + "' leaves the embedding table in floating point",
                    "'" + PackedLayout.EMBEDDING + "' is to be " + scheme,
                    "use " + CompressedTensorsLayout.NAME + ", or leave the table as it is");
        }
        return CompressedTensorsLayout.table(scheme);
    }

    private static HalftoneException unknown(String name) {
        return new HalftoneException(
                Kind.USAGE,
                "there is no layout '" + name + "'",
                "layouts: " + String.join(", ", NAMES),
                "choose one of these");
    }
}

package dev.halftone.core.layout;

import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizationScheme;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/// One of the `config_groups` of a compressed-tensors configuration: linears that are stored alike.
///
/// @param targets     the linears
/// @param bits        of one code
/// @param groupSize   inputs that share a scale, or -1 for all
/// @param symmetric   zero fixed at the middle code
/// @param actOrder    columns were grouped in another order than they are stored, so `weight_g_idx` is needed
/// @param activations how inputs are to be rounded
record CompressedTensorsGroup(
        LinearNames targets,
        Format format,
        int bits,
        int groupSize,
        boolean symmetric,
        boolean actOrder,
        ActivationScheme.Kind activations) {
    /// How codes are stored.
    enum Format {
        /// Several to a word; inputs are not rounded.
        PACKED("pack-quantized", List.of(4, 8)),
        /// As signed bytes.
        INT("int-quantized", List.of(8));

        private final String text;
        private final List<Integer> bits;

        Format(String text, List<Integer> bits) {
            this.text = text;
            this.bits = bits;
        }

        /// As configurations spell it.
        String text() {
            return text;
        }

        /// Widths of the codes it is known for here. Of the others, 3, 5, 6 and 7 are laid out one way by tools up to
        /// 2025 and another way by later ones, and nothing in a file tells which.
        List<Integer> bits() {
            return bits;
        }

        static Optional<Format> of(String text) {
            return Arrays.stream(values())
                    .filter(format -> format.text.equals(text))
                    .findFirst();
        }
    }

    /// Every linear in `scheme`.
    static CompressedTensorsGroup of(Format format, QuantizationScheme scheme, ActivationScheme.Kind activations) {
        return new CompressedTensorsGroup(
                LinearNames.ALL, format, scheme.bits(), scheme.groupSize(), scheme.symmetric(), false, activations);
    }

    /// Reads one group.
    ///
    /// @param preset format of the whole file
    /// @throws MalformedCheckpointException if it is incomplete, or asks for what is not supported
    static CompressedTensorsGroup of(Section section, String preset) {
        String text = section.text("format", preset);
        Format format = Format.of(text)
                .orElseThrow(() -> section.unsupported(
                        "compressed-tensors format '" + text + "'", "supported: pack-quantized, int-quantized"));
        Section weights = section.child("weights");
        if (weights == null) {
            throw section.unsupported("a config group without weights", "supported: groups that quantize weights");
        }
        if (section.has("output_activations")) {
            throw section.unsupported("output_activations", "supported: weights and input_activations");
        }
        requireInteger(weights, "weights");
        int bits = weights.number("num_bits");
        if (!format.bits().contains(bits)) {
            throw section.unsupported(text + " with " + bits + " bits", "supported: " + format.bits());
        }
        CompressedTensorsGroup group = new CompressedTensorsGroup(
                LinearNames.of(section, "targets"),
                format,
                bits,
                groupSize(weights),
                weights.flag("symmetric", true),
                actOrder(weights),
                activations(section.child("input_activations")));
        group.requireSupported(section);
        return group;
    }

    private void requireSupported(Section section) {
        switch (format) {
            case PACKED -> {
                if (activations != ActivationScheme.Kind.NONE) {
                    throw section.unsupported("pack-quantized with input_activations", "supported: int-quantized");
                }
            }
            case INT -> {
                if (groupSize != QuantizationScheme.PER_CHANNEL) {
                    throw section.unsupported("int-quantized with strategy 'group'", "supported: channel");
                }
                if (!symmetric) {
                    throw section.unsupported("int-quantized with zero points", "supported: symmetric weights");
                }
            }
        }
    }

    private static void requireInteger(Section section, String what) {
        String type = section.text("type", "int");
        if (!type.equals("int")) {
            throw section.unsupported(what + " of type '" + type + "'", "supported: int");
        }
    }

    private static int groupSize(Section weights) {
        String strategy = strategy(weights);
        return switch (strategy) {
            case "group" -> {
                int groupSize = weights.number("group_size");
                if (groupSize < 1) {
                    throw weights.malformed("group_size is " + groupSize, "expected a positive number");
                }
                yield groupSize;
            }
            case "channel" -> QuantizationScheme.PER_CHANNEL;
            default ->
                throw weights.unsupported("weights with strategy '" + strategy + "'", "supported: group, channel");
        };
    }

    /// Old files leave it to the group size.
    private static String strategy(Section arguments) {
        if (arguments.has("strategy") || !arguments.has("group_size")) {
            return arguments.text("strategy", "tensor").toLowerCase(Locale.ROOT);
        }
        return arguments.number("group_size") == QuantizationScheme.PER_CHANNEL ? "channel" : "group";
    }

    /// `weight` and its other name `static` reorder columns in calibration only; nothing of it is left in the file.
    private static boolean actOrder(Section weights) {
        if (weights.tree().path("actorder").isBoolean()) {
            return weights.flag("actorder", false);
        }
        String order = weights.text("actorder", "static").toLowerCase(Locale.ROOT);
        return switch (order) {
            case "group", "dynamic" -> true;
            case "weight", "static" -> false;
            default -> throw weights.unsupported("actorder '" + order + "'", "supported: weight, static, group");
        };
    }

    private static ActivationScheme.Kind activations(Section inputs) {
        if (inputs == null) {
            return ActivationScheme.Kind.NONE;
        }
        String supported = "supported: 8-bit symmetric integers, dynamic per token or static per tensor";
        requireInteger(inputs, "input_activations");
        int bits = inputs.has("num_bits") ? inputs.number("num_bits") : 8;
        if (bits != 8) {
            throw inputs.unsupported("input_activations with " + bits + " bits", supported);
        }
        if (!inputs.flag("symmetric", true)) {
            throw inputs.unsupported("input_activations with zero points", supported);
        }
        if (inputs.tree().path("dynamic").isTextual()) {
            throw inputs.unsupported("'" + inputs.text("dynamic", null) + "' dynamic input_activations", supported);
        }
        boolean dynamic = inputs.flag("dynamic", false);
        String strategy = strategy(inputs);
        if (dynamic && strategy.equals("token")) {
            return ActivationScheme.Kind.PER_TOKEN;
        }
        if (!dynamic && strategy.equals("tensor")) {
            return ActivationScheme.Kind.PER_TENSOR;
        }
        throw inputs.unsupported(
                (dynamic ? "dynamic" : "static") + " input_activations with strategy '" + strategy + "'", supported);
    }

    /// As in "4-bit g64 symmetric".
    String description() {
        return bits + "-bit " + (groupSize == QuantizationScheme.PER_CHANNEL ? "per channel" : "g" + groupSize)
                + (symmetric ? " symmetric" : " asymmetric")
                + (actOrder ? " act-order" : "")
                + switch (activations) {
                    case NONE -> "";
                    case PER_TOKEN -> ", made for 8-bit inputs per token";
                    case PER_TENSOR -> ", made for 8-bit inputs of one scale";
                };
    }
}

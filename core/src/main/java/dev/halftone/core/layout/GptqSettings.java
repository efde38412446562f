package dev.halftone.core.layout;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.layout.GptqLayout.Version;
import dev.halftone.core.weight.QuantizationScheme;
import java.nio.file.Path;
import java.util.List;

/// What a GPTQ configuration says of its linears.
///
/// @param bits      of one code
/// @param groupSize inputs that share a scale, or -1 for all
/// @param symmetric zero fixed at the middle code
/// @param actOrder  columns were grouped in another order than they are stored, so `g_idx` is needed
/// @param dynamic   linears that differ
record GptqSettings(
        Version version, int bits, int groupSize, boolean symmetric, boolean actOrder, DynamicRules dynamic) {
    static final List<Integer> BITS = List.of(2, 3, 4, 8);

    /// Settings that make another matrix of the stored one, in ways not implemented here.
    private static final List<String> UNSUPPORTED = List.of("adapter", "rotation");

    static GptqSettings of(Version version, QuantizationScheme scheme, boolean actOrder) {
        return new GptqSettings(
                version, scheme.bits(), scheme.groupSize(), scheme.symmetric(), actOrder, DynamicRules.NONE);
    }

    /// Reads a quantization section, of old tools or new.
    ///
    /// @param file where it stands
    /// @throws MalformedCheckpointException if it is incomplete, or asks for what is not supported
    static GptqSettings of(ObjectNode tree, Path file) {
        Section section = new Section(tree, file);
        String packed = section.text("pack_dtype", "int32");
        if (!packed.equals("int32")) {
            throw section.unsupported("pack_dtype '" + packed + "'", "supported: int32");
        }
        for (String key : UNSUPPORTED) {
            if (section.has(key)) {
                throw section.unsupported("a GPTQ checkpoint with '" + key + "'", "supported: plain GPTQ");
            }
        }
        GptqSettings settings = new GptqSettings(
                version(section),
                section.number("bits"),
                section.number("group_size"),
                section.flag("sym", true),
                section.flag("desc_act", false),
                DynamicRules.of(tree.path("dynamic"), file));
        settings.requireSupported(section);
        return settings;
    }

    private static Version version(Section section) {
        String format = section.either("gptq", "checkpoint_format", "format");
        if (section.flag("is_marlin_format", false)) {
            format = "marlin";
        }
        for (Version version : Version.values()) {
            if (version.format().equals(format)) {
                return version;
            }
        }
        throw section.unsupported("GPTQ checkpoint_format '" + format + "'", "supported: gptq, gptq_v2");
    }

    private void requireSupported(Section section) {
        if (!BITS.contains(bits)) {
            throw section.unsupported("GPTQ with " + bits + " bits", "supported: " + BITS);
        }
        section.requireGroupSize(groupSize);
    }

    /// The settings of one linear.
    ///
    /// @param file of the configuration
    GptqSettings of(String linear, Path file) {
        return dynamic.settings(linear)
                .map(tree -> {
                    Section own = new Section(tree, file);
                    GptqSettings merged = new GptqSettings(
                            version,
                            tree.has("bits") ? own.number("bits") : bits,
                            tree.has("group_size") ? own.number("group_size") : groupSize,
                            own.flag("sym", symmetric),
                            own.flag("desc_act", actOrder),
                            DynamicRules.NONE);
                    merged.requireSupported(own);
                    return merged;
                })
                .orElse(this);
    }

    /// As in "4-bit g64 symmetric".
    String description() {
        return bits + "-bit " + (groupSize == QuantizationScheme.PER_CHANNEL ? "per channel" : "g" + groupSize)
                + (symmetric ? " symmetric" : " asymmetric") + (actOrder ? " act-order" : "")
                + (dynamic.overrides().isEmpty() ? "" : ", some linears otherwise");
    }
}

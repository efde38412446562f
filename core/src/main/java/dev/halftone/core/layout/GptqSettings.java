package dev.halftone.core.layout;

import com.fasterxml.jackson.databind.JsonNode;
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

    static GptqSettings of(Version version, QuantizationScheme scheme) {
        return new GptqSettings(
                version, scheme.bits(), scheme.groupSize(), scheme.symmetric(), false, DynamicRules.NONE);
    }

    /// Reads a quantization section, of old tools or new.
    ///
    /// @param file where it stands
    /// @throws MalformedCheckpointException if it is incomplete, or asks for what is not supported
    static GptqSettings of(ObjectNode section, Path file) {
        String packed = text(section, "pack_dtype", "int32", file);
        if (!packed.equals("int32")) {
            throw unsupported(file, "pack_dtype '" + packed + "'", "supported: int32");
        }
        for (String key : UNSUPPORTED) {
            if (!section.path(key).isMissingNode() && !section.path(key).isNull()) {
                throw unsupported(file, "a GPTQ checkpoint with '" + key + "'", "supported: plain GPTQ");
            }
        }
        GptqSettings settings = new GptqSettings(
                version(section, file),
                number(section, "bits", file),
                number(section, "group_size", file),
                flag(section, "sym", true, file),
                flag(section, "desc_act", false, file),
                DynamicRules.of(section.path("dynamic"), file));
        settings.requireSupported(file);
        return settings;
    }

    private static Version version(ObjectNode section, Path file) {
        String format = either(section, "checkpoint_format", "format", "gptq", file);
        if (flag(section, "is_marlin_format", false, file)) {
            format = "marlin";
        }
        for (Version version : Version.values()) {
            if (version.format().equals(format)) {
                return version;
            }
        }
        throw unsupported(file, "GPTQ checkpoint_format '" + format + "'", "supported: gptq, gptq_v2");
    }

    private void requireSupported(Path file) {
        if (!BITS.contains(bits)) {
            throw unsupported(file, "GPTQ with " + bits + " bits", "supported: " + BITS);
        }
        if (groupSize != QuantizationScheme.PER_CHANNEL && groupSize < 1) {
            throw new MalformedCheckpointException(
                    file, null, "group_size is " + groupSize, "expected a positive number or -1", null);
        }
    }

    /// The settings of one linear.
    ///
    /// @param file of the configuration
    GptqSettings of(String linear, Path file) {
        return dynamic.settings(linear)
                .map(own -> {
                    GptqSettings merged = new GptqSettings(
                            version,
                            own.has("bits") ? number(own, "bits", file) : bits,
                            own.has("group_size") ? number(own, "group_size", file) : groupSize,
                            flag(own, "sym", symmetric, file),
                            flag(own, "desc_act", actOrder, file),
                            DynamicRules.NONE);
                    merged.requireSupported(file);
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

    /// The text under `key` or its `other` spelling.
    static String either(ObjectNode section, String key, String other, String preset, Path file) {
        String first = text(section, key, null, file);
        String second = text(section, other, null, file);
        if (first != null && second != null && !first.equals(second)) {
            throw new MalformedCheckpointException(
                    file,
                    null,
                    key + " and " + other + " disagree",
                    "found '" + first + "' and '" + second + "'",
                    "copy the file from the original model");
        }
        return first != null ? first : second != null ? second : preset;
    }

    private static String text(ObjectNode section, String key, String preset, Path file) {
        JsonNode value = section.path(key);
        if (value.isMissingNode() || value.isNull()) {
            return preset;
        }
        if (!value.isTextual()) {
            throw wrong(file, key, "a text", value);
        }
        return value.textValue();
    }

    private static int number(ObjectNode section, String key, Path file) {
        JsonNode value = section.path(key);
        if (!value.isIntegralNumber() || !value.canConvertToInt()) {
            throw wrong(file, key, "a whole number", value);
        }
        return value.intValue();
    }

    private static boolean flag(ObjectNode section, String key, boolean preset, Path file) {
        JsonNode value = section.path(key);
        if (value.isMissingNode() || value.isNull()) {
            return preset;
        }
        if (!value.isBoolean()) {
            throw wrong(file, key, "true or false", value);
        }
        return value.booleanValue();
    }

    private static MalformedCheckpointException wrong(Path file, String key, String expected, JsonNode found) {
        String value = found.isMissingNode() ? "nothing" : found.getNodeType().toString();
        return new MalformedCheckpointException(
                file,
                null,
                "quantization setting '" + key + "' is unusable",
                "expected " + expected + ", found " + value,
                "copy the file from the original model");
    }

    static MalformedCheckpointException unsupported(Path file, String what, String supported) {
        return new MalformedCheckpointException(
                file, null, what + " is not supported", supported, "use the unquantized model, or another file of it");
    }
}

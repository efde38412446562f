package dev.halftone.core.layout;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.weight.QuantizationScheme;
import java.nio.file.Path;

/// A part of a quantization configuration, read key by key.
///
/// @param file where it stands, for messages
record Section(ObjectNode tree, Path file) {
    private static final String FROM_ORIGINAL = "copy the file from the original model";

    /// True if `key` is there and not null.
    boolean has(String key) {
        return !tree.path(key).isMissingNode() && !tree.path(key).isNull();
    }

    String text(String key, String preset) {
        if (!has(key)) {
            return preset;
        }
        if (!tree.path(key).isTextual()) {
            throw unusable(key, "a text");
        }
        return tree.path(key).textValue();
    }

    int number(String key) {
        JsonNode value = tree.path(key);
        if (!value.isIntegralNumber() || !value.canConvertToInt()) {
            throw unusable(key, "a whole number");
        }
        return value.intValue();
    }

    boolean flag(String key, boolean preset) {
        if (!has(key)) {
            return preset;
        }
        if (!tree.path(key).isBoolean()) {
            throw unusable(key, "true or false");
        }
        return tree.path(key).booleanValue();
    }

    /// The text under one of `keys`, which are spellings of the same; where several are there, they must agree.
    String either(String preset, String... keys) {
        String found = null;
        for (int i = 0; i < keys.length; i++) {
            String value = text(keys[i], null);
            if (found == null) {
                found = value;
            } else if (value != null && !value.equalsIgnoreCase(found)) {
                throw malformed(keys[0] + " and " + keys[i] + " disagree", "found '" + found + "' and '" + value + "'");
            }
        }
        return found == null ? preset : found;
    }

    /// The object under `key`, or null.
    Section child(String key) {
        if (!has(key)) {
            return null;
        }
        if (tree.path(key) instanceof ObjectNode object) {
            return new Section(object, file);
        }
        throw unusable(key, "an object");
    }

    /// @throws MalformedCheckpointException if it is neither positive nor [QuantizationScheme#PER_CHANNEL]
    void requireGroupSize(int groupSize) {
        if (groupSize != QuantizationScheme.PER_CHANNEL && groupSize < 1) {
            throw malformed("group_size is " + groupSize, "expected a positive number or -1");
        }
    }

    MalformedCheckpointException unusable(String key, String expected) {
        JsonNode found = tree.path(key);
        return malformed(
                "quantization setting '" + key + "' is unusable",
                "expected " + expected + ", found "
                        + (found.isMissingNode()
                                ? "nothing"
                                : found.getNodeType().toString()));
    }

    MalformedCheckpointException malformed(String problem, String detail) {
        return new MalformedCheckpointException(file, null, problem, detail, FROM_ORIGINAL);
    }

    MalformedCheckpointException unsupported(String what, String supported) {
        return new MalformedCheckpointException(
                file, null, what + " is not supported", supported, "use the unquantized model, or another file of it");
    }
}

package dev.halftone.core.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.util.ArrayList;
import java.util.List;

/// Reads typed values from a JSON object; every complaint names the file and the key.
///
/// @param file   as shown to the user, such as `config.json`
/// @param prefix of the keys in complaints, such as `rope_scaling.`; empty at the top
record JsonFields(String file, String prefix, ObjectNode node) {
    static JsonFields of(String file, ObjectNode node) {
        return new JsonFields(file, "", node);
    }

    /// True if the key is there, even as null.
    boolean has(String key) {
        return node.has(key);
    }

    boolean isNull(String key) {
        return node.path(key).isNull();
    }

    /// True if the key is absent or null.
    boolean lacks(String key) {
        return !node.hasNonNull(key);
    }

    /// The object at `key`, or null if there is none.
    JsonFields section(String key) {
        if (lacks(key)) {
            return null;
        }
        if (node.get(key) instanceof ObjectNode object) {
            return new JsonFields(file, prefix + key + ".", object);
        }
        throw unfit(key, "an object");
    }

    /// A whole number in `[minimum, maximum]`.
    int whole(String key, int minimum, int maximum) {
        String expected = "a whole number from " + minimum + " to " + maximum;
        if (lacks(key)) {
            throw missing(key, expected);
        }
        JsonNode value = node.get(key);
        if (!value.isIntegralNumber()
                || !value.canConvertToInt()
                || value.intValue() < minimum
                || value.intValue() > maximum) {
            throw unfit(key, expected);
        }
        return value.intValue();
    }

    /// A whole number in `[1, maximum]`.
    int count(String key, int maximum) {
        return whole(key, 1, maximum);
    }

    int count(String key, int maximum, int absent) {
        return lacks(key) ? absent : count(key, maximum);
    }

    /// A finite number above zero.
    double positive(String key) {
        String expected = "a number above 0";
        if (lacks(key)) {
            throw missing(key, expected);
        }
        JsonNode value = node.get(key);
        if (!value.isNumber() || !(value.doubleValue() > 0) || !Double.isFinite(value.doubleValue())) {
            throw unfit(key, expected);
        }
        return value.doubleValue();
    }

    double positive(String key, double absent) {
        return lacks(key) ? absent : positive(key);
    }

    boolean flag(String key, boolean absent) {
        if (lacks(key)) {
            return absent;
        }
        if (!node.get(key).isBoolean()) {
            throw unfit(key, "true or false");
        }
        return node.get(key).booleanValue();
    }

    /// The text at `key`, or `absent`.
    String text(String key, String absent) {
        if (lacks(key)) {
            return absent;
        }
        if (!node.get(key).isTextual()) {
            throw unfit(key, "a text");
        }
        return node.get(key).textValue();
    }

    /// The texts at `key`; empty if there are none.
    List<String> texts(String key) {
        List<String> texts = new ArrayList<>();
        for (JsonNode value : lacks(key) ? List.<JsonNode>of() : array(key)) {
            if (!value.isTextual()) {
                throw unfit(key, "a list of texts");
            }
            texts.add(value.textValue());
        }
        return texts;
    }

    /// The token id, or list of token ids, below `vocabulary`; empty if absent or null.
    List<Integer> tokenIds(String key, int vocabulary) {
        if (lacks(key)) {
            return List.of();
        }
        List<Integer> ids = new ArrayList<>();
        for (JsonNode value : node.get(key).isArray() ? array(key) : List.of(node.get(key))) {
            if (!value.isIntegralNumber() || value.longValue() < 0 || value.longValue() >= vocabulary) {
                throw unfit(key, "token ids from 0 to " + (vocabulary - 1));
            }
            ids.add(value.intValue());
        }
        return ids;
    }

    private Iterable<JsonNode> array(String key) {
        if (!node.get(key).isArray()) {
            throw unfit(key, "a list");
        }
        return node.get(key);
    }

    HalftoneException missing(String key, String expected) {
        return new HalftoneException(
                Kind.INPUT,
                file + ": '" + prefix + key + "' is missing",
                "expected " + expected,
                "copy " + file + " again from where the model came from");
    }

    HalftoneException unfit(String key, String expected) {
        return unfit(key, expected, "copy " + file + " again from where the model came from");
    }

    HalftoneException unfit(String key, String expected, String remedy) {
        String found = String.valueOf(node.get(key));
        String shown = found.length() > 80 ? found.substring(0, 80) + "..." : found;
        return new HalftoneException(
                Kind.INPUT,
                file + ": '" + prefix + key + "' cannot be used",
                "found " + shown + ", expected " + expected,
                remedy);
    }
}

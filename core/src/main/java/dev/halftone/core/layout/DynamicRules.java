package dev.halftone.core.layout;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.weight.QuantizationScheme;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// The `dynamic` map of a GPTQ or AWQ configuration: regular expressions, matched from the start of a linear's name,
/// that exclude it (`-:`) or change its settings (`+:`, or no prefix). Exclusions come first, then the first match in
/// the order of the file.
///
/// @param exclusions linears that stay in floating point
/// @param overrides  linears with settings of their own
record DynamicRules(List<NamePattern> exclusions, List<Rule> overrides) {
    static final DynamicRules NONE = new DynamicRules(List.of(), List.of());

    private static final String WHAT = "a dynamic rule";

    /// @param settings that replace those of the whole file
    record Rule(NamePattern pattern, ObjectNode settings) {}

    DynamicRules {
        exclusions = List.copyOf(exclusions);
        overrides = List.copyOf(overrides);
    }

    /// @param map  the value of `dynamic`; null or missing means no rules
    /// @param file where it stands
    /// @throws MalformedCheckpointException if it is no map from regular expressions to objects
    static DynamicRules of(JsonNode map, Path file) {
        if (map.isMissingNode() || map.isNull()) {
            return NONE;
        }
        if (!map.isObject()) {
            throw new MalformedCheckpointException(
                    file, null, "dynamic is not an object", "found " + map.getNodeType(), null);
        }
        List<NamePattern> exclusions = new ArrayList<>();
        List<Rule> overrides = new ArrayList<>();
        for (Map.Entry<String, JsonNode> entry : map.properties()) {
            String text = entry.getKey();
            boolean excludes = text.startsWith("-:");
            NamePattern pattern =
                    NamePattern.of(excludes || text.startsWith("+:") ? text.substring(2) : text, WHAT, file);
            if (excludes) {
                // What stands behind an exclusion has no meaning; tools write {}.
                exclusions.add(pattern);
            } else if (entry.getValue() instanceof ObjectNode settings) {
                overrides.add(new Rule(pattern, settings));
            } else {
                throw new MalformedCheckpointException(
                        file,
                        null,
                        "dynamic rule '" + text + "' has no settings",
                        "expected an object, found " + entry.getValue().getNodeType(),
                        null);
            }
        }
        return new DynamicRules(exclusions, overrides);
    }

    /// Writes rules, if there need be any, that exclude exactly the linears `dense`, and change exactly `exceptions`:
    /// readers build every other one as the whole file says.
    static void write(Collection<String> dense, Map<String, QuantizationScheme> exceptions, ObjectNode section) {
        if (dense.isEmpty() && exceptions.isEmpty()) {
            return;
        }
        ObjectNode dynamic = section.putObject("dynamic");
        dense.forEach(linear -> dynamic.putObject("-:" + exactly(linear)));
        exceptions.forEach((linear, scheme) -> dynamic.putObject("+:" + exactly(linear))
                .put("bits", scheme.bits())
                .put("group_size", scheme.groupSize())
                .put("sym", scheme.symmetric()));
    }

    private static String exactly(String linear) {
        return "^" + linear.replace(".", "\\.") + "$";
    }

    boolean excludes(String linear) {
        return exclusions.stream().anyMatch(pattern -> pattern.matches(linear));
    }

    /// The settings that replace those of the whole file for this linear.
    Optional<ObjectNode> settings(String linear) {
        return overrides.stream()
                .filter(rule -> rule.pattern().matches(linear))
                .map(Rule::settings)
                .findFirst();
    }
}

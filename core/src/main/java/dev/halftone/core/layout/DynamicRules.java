package dev.halftone.core.layout;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/// The `dynamic` map of a GPTQ configuration: regular expressions, matched from the start of a linear's name, that
/// exclude it (`-:`) or change its settings (`+:`, or no prefix). Exclusions come first, then the first match in the
/// order of the file.
///
/// @param exclusions linears that stay in floating point
/// @param overrides  linears with settings of their own
record DynamicRules(List<Rule> exclusions, List<Rule> overrides) {
    static final DynamicRules NONE = new DynamicRules(List.of(), List.of());

    private static final int LONGEST_PATTERN = 10_000;

    /// @param settings that replace those of the whole file
    record Rule(Path file, Pattern pattern, ObjectNode settings) {
        boolean matches(String linear) {
            try {
                return pattern.matcher(new Rationed(linear)).lookingAt();
            } catch (RationedException e) {
                throw new MalformedCheckpointException(
                        file,
                        null,
                        "a dynamic rule takes too long to match",
                        "rule '" + pattern + "' on '" + linear + "'",
                        "simplify the rule");
            }
        }
    }

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
        List<Rule> exclusions = new ArrayList<>();
        List<Rule> overrides = new ArrayList<>();
        for (Map.Entry<String, JsonNode> entry : map.properties()) {
            String text = entry.getKey();
            boolean excludes = text.startsWith("-:");
            Pattern pattern = compile(excludes || text.startsWith("+:") ? text.substring(2) : text, file);
            if (excludes) {
                // What stands behind an exclusion has no meaning; tools write {}.
                exclusions.add(new Rule(file, pattern, null));
            } else if (entry.getValue() instanceof ObjectNode settings) {
                overrides.add(new Rule(file, pattern, settings));
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

    private static Pattern compile(String text, Path file) {
        try {
            if (text.length() <= LONGEST_PATTERN) {
                return Pattern.compile(text);
            }
        } catch (PatternSyntaxException e) {
            throw new MalformedCheckpointException(
                    file, null, "a dynamic rule is no regular expression", e.getDescription() + ": " + text, null);
        }
        throw new MalformedCheckpointException(
                file, null, "a dynamic rule is too long", text.length() + " characters", null);
    }

    boolean excludes(String linear) {
        return exclusions.stream().anyMatch(rule -> rule.matches(linear));
    }

    /// The settings that replace those of the whole file for this linear.
    Optional<ObjectNode> settings(String linear) {
        return overrides.stream()
                .filter(rule -> rule.matches(linear))
                .map(Rule::settings)
                .findFirst();
    }

    private static final class RationedException extends RuntimeException {
        private static final long serialVersionUID = 1L;
    }

    /// A text that can be looked at only so often: a hostile pattern makes the matcher backtrack for ages, and it
    /// cannot be interrupted otherwise.
    private static final class Rationed implements CharSequence {
        private static final int LOOKS = 1_000_000;

        private final String text;
        private int looks;

        Rationed(String text) {
            this.text = text;
        }

        @Override
        public char charAt(int index) {
            if (++looks > LOOKS) {
                throw new RationedException();
            }
            return text.charAt(index);
        }

        @Override
        public int length() {
            return text.length();
        }

        @Override
        public CharSequence subSequence(int start, int end) {
            return text.subSequence(start, end);
        }

        @Override
        public String toString() {
            return text;
        }
    }
}

package dev.halftone.core.layout;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/// A list of linears in a compressed-tensors configuration: exact names, regular expressions behind `re:`, and the
/// class name `Linear` for all of them. Entries that mean other kinds of modules match none.
record LinearNames(Set<String> exact, List<NamePattern> patterns) {
    private static final String CLASS = "Linear";
    private static final String PATTERN = "re:";

    static final LinearNames ALL = new LinearNames(Set.of(CLASS), List.of());
    static final LinearNames NONE = new LinearNames(Set.of(), List.of());

    LinearNames {
        exact = Set.copyOf(exact);
        patterns = List.copyOf(patterns);
    }

    /// The list under `key`; null or missing means none.
    static LinearNames of(Section section, String key) {
        Set<String> exact = new HashSet<>();
        List<NamePattern> patterns = new ArrayList<>();
        if (section.has(key)) {
            JsonNode list = section.tree().path(key);
            if (!list.isArray()) {
                throw section.unusable(key, "a list of names");
            }
            for (JsonNode entry : list) {
                if (!entry.isTextual()) {
                    throw section.unusable(key, "a list of names");
                }
                String text = entry.textValue();
                if (text.startsWith(PATTERN)) {
                    patterns.add(NamePattern.of(
                            text.substring(PATTERN.length()), "a rule of '" + key + "'", section.file()));
                } else {
                    exact.add(text);
                }
            }
        }
        return new LinearNames(exact, patterns);
    }

    boolean names(String linear) {
        return exact.contains(linear);
    }

    boolean matches(String linear) {
        return patterns.stream().anyMatch(pattern -> pattern.matches(linear));
    }

    boolean isAll() {
        return exact.contains(CLASS);
    }

    boolean contains(String linear) {
        return isAll() || names(linear) || matches(linear);
    }
}

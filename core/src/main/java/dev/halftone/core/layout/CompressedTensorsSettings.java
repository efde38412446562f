package dev.halftone.core.layout;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// What a compressed-tensors configuration says of its linears.
///
/// @param groups in the order of the file
/// @param ignore linears that stay in floating point whatever the groups say
record CompressedTensorsSettings(List<CompressedTensorsGroup> groups, LinearNames ignore) {
    CompressedTensorsSettings {
        groups = List.copyOf(groups);
    }

    /// Reads a quantization section.
    ///
    /// @param file where it stands
    /// @throws MalformedCheckpointException if it is incomplete, or asks for what is not supported
    static CompressedTensorsSettings of(ObjectNode tree, Path file) {
        Section section = new Section(tree, file);
        requirePlain(section);
        Section named = section.child("config_groups");
        if (named == null || named.tree().isEmpty()) {
            throw section.malformed("config_groups is missing or empty", "expected one group at least");
        }
        List<CompressedTensorsGroup> groups = new ArrayList<>();
        for (Map.Entry<String, JsonNode> group : named.tree().properties()) {
            if (!(group.getValue() instanceof ObjectNode)) {
                throw section.unsupported(
                        "config group '" + group.getKey() + "' by its name alone", "supported: groups spelled out");
            }
            groups.add(CompressedTensorsGroup.of(named.child(group.getKey()), section.text("format", null)));
        }
        return new CompressedTensorsSettings(groups, LinearNames.of(section, "ignore"));
    }

    /// Refuses what changes the meaning of weights or of the model in ways not implemented here.
    private static void requirePlain(Section section) {
        if (section.has("kv_cache_scheme")) {
            throw section.unsupported("a quantized cache ('kv_cache_scheme')", "supported: quantized weights");
        }
        Section sparsity = section.child("sparsity_config");
        if (sparsity != null && !sparsity.text("format", "dense").equals("dense")) {
            throw section.unsupported(
                    "sparsity_config format '" + sparsity.text("format", null) + "'", "supported: dense");
        }
        Section transform = section.child("transform_config");
        if (transform != null && !transform.tree().path("config_groups").isEmpty()) {
            throw section.unsupported("a checkpoint with 'transform_config'", "supported: plain weights");
        }
    }

    /// The group of a linear: the one that names it, else the first with an expression that matches it, else the first
    /// for all linears; empty if it stays in floating point.
    Optional<CompressedTensorsGroup> group(String linear) {
        if (ignore.contains(linear)) {
            return Optional.empty();
        }
        return groups.stream()
                .filter(group -> group.targets().names(linear))
                .findFirst()
                .or(() -> groups.stream()
                        .filter(group -> group.targets().matches(linear))
                        .findFirst())
                .or(() ->
                        groups.stream().filter(group -> group.targets().isAll()).findFirst());
    }

    /// As in "4-bit g64 symmetric".
    String description() {
        return groups.getFirst().description() + (groups.size() == 1 ? "" : ", some linears otherwise");
    }
}

package dev.halftone.core.convert;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/// How a byte-level tokenizer cuts a text before it merges: GGUF files name the way (`tokenizer.ggml.pre`),
/// tokenizer.json spells it out.
enum PreTokenizer {
    /// What readers assume of files that name none; no tokenizer.json has it.
    DEFAULT(
            List.of("default"),
            List.of(
                    "split [\\p{P}\\$\\+<=>\\^~\\|]+",
                    "split " + Patterns.GPT2,
                    "split \\p{N}+",
                    "split [0-9][0-9][0-9]",
                    "bytes")),
    GPT2(List.of("gpt-2"), List.of("bytes words")),
    SMOLLM(List.of("smollm"), List.of("digits", "bytes words")),
    LLAMA3(List.of("llama-bpe", "llama3", "llama-v3"), List.of("split " + Patterns.modern("{1,3}"), "bytes")),
    QWEN2(List.of("qwen2", "deepseek-r1-qwen"), List.of("split " + Patterns.modern(""), "bytes"));

    private static final class Patterns {
        static final String GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

        static String modern(String digits) {
            return "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" + digits
                    + "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
        }
    }

    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

    private final List<String> names;
    private final List<String> steps;

    PreTokenizer(List<String> names, List<String> steps) {
        this.names = names;
        this.steps = steps;
    }

    /// The name that files are given.
    String ggufName() {
        return names.getFirst();
    }

    static Optional<PreTokenizer> named(String name) {
        return Arrays.stream(values()).filter(pre -> pre.names.contains(name)).findFirst();
    }

    static String known() {
        return Arrays.stream(values()).map(PreTokenizer::ggufName).collect(Collectors.joining(", "));
    }

    /// Whether a piece that is a token needs no merges; readers decide so by the name alone.
    boolean ignoresMerges() {
        return this == LLAMA3;
    }

    /// Whether a text gets a first token where the file does not say.
    boolean addsBos() {
        return this == LLAMA3;
    }

    /// The `normalizer` that tokenizers of this kind have, perhaps null.
    JsonNode normalizer() {
        return this == QWEN2 ? NODES.objectNode().put("type", "NFC") : NODES.nullNode();
    }

    /// The `pre_tokenizer` of a tokenizer.json.
    JsonNode tree() {
        List<ObjectNode> nodes = new ArrayList<>();
        for (String step : steps) {
            ObjectNode node = NODES.objectNode();
            switch (step) {
                case "digits" -> node.put("type", "Digits").put("individual_digits", true);
                case "bytes", "bytes words" ->
                    node.put("type", "ByteLevel")
                            .put("add_prefix_space", false)
                            .put("trim_offsets", true)
                            .put("use_regex", step.equals("bytes words"));
                default -> {
                    node.put("type", "Split");
                    node.putObject("pattern").put("Regex", step.substring("split ".length()));
                    node.put("behavior", "Isolated").put("invert", false);
                }
            }
            nodes.add(node);
        }
        if (nodes.size() == 1) {
            return nodes.getFirst();
        }
        ObjectNode sequence = NODES.objectNode().put("type", "Sequence");
        ArrayNode array = sequence.putArray("pretokenizers");
        nodes.forEach(array::add);
        return sequence;
    }

    /// The kind of a tokenizer.json, if its normalizer, its pre-tokenizer and its use of merges are all those of
    /// one.
    static Optional<PreTokenizer> of(ObjectNode tokenizer) {
        List<String> found = new ArrayList<>();
        collect(tokenizer.path("pre_tokenizer"), found);
        boolean ignoresMerges = tokenizer.path("model").path("ignore_merges").asBoolean(false);
        String normalizer = tokenizer.path("normalizer").path("type").asText("");
        return Arrays.stream(values())
                .filter(pre -> pre.steps.equals(found) && pre.ignoresMerges() == ignoresMerges)
                // Readers do not normalise at all, so what is normalised away here stays a difference to theirs.
                .filter(pre -> normalizer.isEmpty()
                        || normalizer.equals(pre.normalizer().path("type").asText("")))
                .findFirst();
    }

    private static void collect(JsonNode node, List<String> steps) {
        switch (node.path("type").asText("")) {
            case "Sequence" -> node.path("pretokenizers").forEach(each -> collect(each, steps));
            case "Digits" -> steps.add(node.path("individual_digits").asBoolean() ? "digits" : "digits together");
            case "ByteLevel" -> {
                String step = node.path("use_regex").asBoolean(true) ? "bytes words" : "bytes";
                steps.add(node.path("add_prefix_space").asBoolean(true) ? step + " behind a space" : step);
            }
            case "Split" -> steps.add(split(node));
            default -> steps.add("unknown " + node.path("type").asText(""));
        }
    }

    private static String split(JsonNode node) {
        String behavior = node.path("behavior").asText("");
        boolean inverted = node.path("invert").asBoolean();
        // These patterns match everything, so keeping only what matches is the same as cutting around it.
        boolean plain = behavior.equals("Isolated") && !inverted || behavior.equals("Removed") && inverted;
        JsonNode pattern = node.path("pattern").path("Regex");
        return plain && pattern.isTextual() ? "split " + pattern.textValue() : "another split";
    }
}

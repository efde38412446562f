package dev.halftone.core.convert;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.GgufValue;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.model.LlamaConfig;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/// Puts the tokenizer of a checkpoint into the keys of a GGUF file.
final class GgufTokenizerWriter {
    private static final String PREFIX = "tokenizer.ggml.";
    private static final String FILE = "tokenizer.json";
    private static final String CONFIG = "tokenizer_config.json";
    private static final String SPACE = "\u2581";
    private static final String AGAIN = "copy " + FILE + " again from where the model came from";

    private final Path file;
    private final ObjectNode tokenizer;
    private final ObjectNode config;
    private final JsonNode model;
    private final String[] tokens;
    private final TokenKind[] kinds;

    private GgufTokenizerWriter(Path directory, ObjectNode tokenizer, ObjectNode config, int vocabulary) {
        this.file = directory.resolve(FILE);
        this.tokenizer = tokenizer;
        this.config = config;
        this.model = tokenizer.path("model");
        if (!model.path("type").asText("BPE").equals("BPE")) {
            throw unfit("is no BPE tokenizer", "found " + model.path("type"), "write another format");
        }
        this.tokens = new String[vocabulary];
        this.kinds = new TokenKind[vocabulary];
        readTokens();
    }

    /// @throws HalftoneException if there is no tokenizer, or none that GGUF readers know
    static GgufTokenizerWriter of(Checkpoint checkpoint, LlamaConfig config) throws IOException {
        Path directory = checkpoint.directory();
        ObjectNode tokenizer = checkpoint
                .json(FILE)
                .orElseThrow(() -> new MalformedCheckpointException(
                        directory,
                        null,
                        FILE + " is missing",
                        "a GGUF file holds the tokenizer",
                        "copy it from where the model came from"));
        ObjectNode own = checkpoint.json(CONFIG).orElseGet(tokenizer::objectNode);
        return new GgufTokenizerWriter(directory, tokenizer, own, config.vocabulary());
    }

    private MalformedCheckpointException unfit(String problem, String detail, String remedy) {
        return new MalformedCheckpointException(file, null, problem, detail, remedy);
    }

    private boolean isSentencePiece() {
        return model.path("byte_fallback").asBoolean(false);
    }

    private void readTokens() {
        for (Map.Entry<String, JsonNode> entry : model.path("vocab").properties()) {
            put(entry.getKey(), entry.getValue(), isByte(entry.getKey()) ? TokenKind.BYTE : TokenKind.NORMAL);
        }
        String unknown = model.path("unk_token").asText("");
        for (JsonNode added : tokenizer.path("added_tokens")) {
            String content = added.path("content").asText();
            TokenKind kind = added.path("special").asBoolean(false) ? TokenKind.CONTROL : TokenKind.USER_DEFINED;
            put(content, added.path("id"), content.equals(unknown) ? TokenKind.UNKNOWN : kind);
        }
        for (int id = 0; id < tokens.length; id++) {
            if (tokens[id] == null) {
                // Embedding tables are often larger than the vocabulary.
                tokens[id] = "[PAD" + id + "]";
                kinds[id] = TokenKind.UNUSED;
            }
        }
    }

    private boolean isByte(String token) {
        return isSentencePiece() && token.matches("<0x[0-9A-F]{2}>");
    }

    private void put(String token, JsonNode id, TokenKind kind) {
        if (!id.isIntegralNumber() || id.longValue() < 0 || id.longValue() >= tokens.length) {
            throw unfit(
                    "has a token outside of the embedding table",
                    "found id " + id + ", the table has " + tokens.length + " rows",
                    "check that " + FILE + " and config.json are of the same model");
        }
        int index = id.intValue();
        if (tokens[index] != null && !tokens[index].equals(token)) {
            throw unfit("gives id " + index + " to two tokens", null, AGAIN);
        }
        tokens[index] = token;
        kinds[index] = kind;
    }

    /// Puts all keys of the tokenizer.
    ///
    /// @param pre name of the way to cut texts, or null to recognise it
    /// @param llama what config.json says
    void write(String pre, LlamaConfig llama, Path directory, Map<String, GgufValue> keys) throws IOException {
        if (isSentencePiece()) {
            writeSentencePiece(keys);
        } else {
            writeByteLevel(pre, keys);
        }
        keys.put(PREFIX + "tokens", GgufValue.of(Arrays.asList(tokens)));
        keys.put(
                PREFIX + "token_type",
                GgufValue.of(Arrays.stream(kinds).mapToInt(TokenKind::id).toArray()));
        writeSpecial(llama, keys);
        String template = chatTemplate(directory);
        if (template != null) {
            keys.put("tokenizer.chat_template", GgufValue.of(template));
        }
    }

    private void writeByteLevel(String pre, Map<String, GgufValue> keys) {
        String name = pre != null
                ? pre
                : PreTokenizer.of(tokenizer)
                        .map(PreTokenizer::ggufName)
                        .orElseThrow(() -> unfit(
                                "cuts texts in a way that is not known",
                                "known: " + PreTokenizer.known() + "; found normalizer "
                                        + tokenizer.path("normalizer").path("type") + ", pre_tokenizer "
                                        + shortened(tokenizer.path("pre_tokenizer")) + ", ignore_merges "
                                        + model.path("ignore_merges").asBoolean(false),
                                "name it as GGUF readers do, if they know it"));
        keys.put(PREFIX + "model", GgufValue.of("gpt2"));
        keys.put(PREFIX + "pre", GgufValue.of(name));
        keys.put(PREFIX + "add_space_prefix", GgufValue.of(false));
        List<String> merges = new ArrayList<>();
        for (SentencePieceMerges.Merge merge : merges()) {
            merges.add(merge.left() + " " + merge.right());
        }
        keys.put(PREFIX + "merges", GgufValue.of(merges));
    }

    private static String shortened(JsonNode node) {
        String text = node.toString();
        return text.length() > 200 ? text.substring(0, 200) + "..." : text;
    }

    /// Both spellings: two texts, or one with a space between.
    private List<SentencePieceMerges.Merge> merges() {
        List<SentencePieceMerges.Merge> merges = new ArrayList<>();
        for (JsonNode merge : model.path("merges")) {
            String[] parts = merge.isArray()
                    ? new String[] {merge.path(0).asText(), merge.path(1).asText()}
                    : merge.asText().split(" ", 2);
            boolean two = parts.length == 2 && (!merge.isArray() || merge.size() == 2);
            if (!two || parts[0].isEmpty() || parts[1].isEmpty() || (parts[0] + parts[1]).contains(" ")) {
                throw unfit("merge " + merges.size() + " is not two pieces", "found " + shortened(merge), AGAIN);
            }
            merges.add(new SentencePieceMerges.Merge(parts[0], parts[1]));
        }
        return merges;
    }

    private void writeSentencePiece(Map<String, GgufValue> keys) {
        Map<String, Float> scores = SentencePieceMerges.scores(merges())
                .orElseThrow(() -> unfit(
                        "merges in an order that scores cannot say",
                        "a piece is made in two places of the list",
                        "write another format"));
        float[] all = new float[tokens.length];
        for (int id = 0; id < all.length; id++) {
            // No merge makes the others, so their score only has to be there.
            float last = -scores.size() - id;
            all[id] = kinds[id] == TokenKind.NORMAL ? scores.getOrDefault(tokens[id], last) : 0;
        }
        keys.put(PREFIX + "model", GgufValue.of("llama"));
        keys.put(PREFIX + "pre", GgufValue.of("default"));
        keys.put(PREFIX + "add_space_prefix", GgufValue.of(addsSpace()));
        keys.put(PREFIX + "scores", GgufValue.of(all));
    }

    /// Whether a text begins with a space that is not its own: by a normalizer in older files, by the
    /// pre-tokenizer in newer ones.
    private boolean addsSpace() {
        JsonNode normalizer = tokenizer.path("normalizer");
        JsonNode pre = tokenizer.path("pre_tokenizer");
        JsonNode plain = tokenizer
                .objectNode()
                .put("type", "Replace")
                .<ObjectNode>set("pattern", tokenizer.objectNode().put("String", " "))
                .put("content", SPACE);
        boolean cuts = !pre.isMissingNode() && !pre.isNull();
        if (!cuts && normalizer.equals(plain)) {
            return false;
        }
        JsonNode steps = normalizer.path("normalizers");
        if (!cuts
                && steps.size() == 2
                && steps.path(0).path("prepend").asText("").equals(SPACE)
                && steps.path(1).equals(plain)) {
            return true;
        }
        boolean untouched = normalizer.isMissingNode() || normalizer.isNull();
        if (untouched
                && pre.path("type").asText("").equals("Metaspace")
                && pre.path("replacement").asText("").equals(SPACE)
                && !pre.path("split").asBoolean(true)) {
            switch (pre.path("prepend_scheme").asText("always")) {
                case "never" -> {
                    return false;
                }
                case "first", "always" -> {
                    return true;
                }
                default -> throw unfit("has an unknown prepend_scheme", shortened(pre), "write another format");
            }
        }
        throw unfit(
                "treats spaces in a way that is not known",
                "found normalizer " + shortened(normalizer) + ", pre_tokenizer " + shortened(pre),
                "write another format");
    }

    private void writeSpecial(LlamaConfig llama, Map<String, GgufValue> keys) {
        int bos = named("bos_token", llama.bos());
        int eos = named(
                "eos_token",
                llama.endTokens().isEmpty() ? -1 : llama.endTokens().iterator().next());
        put(keys, "bos_token_id", bos);
        put(keys, "eos_token_id", eos);
        Set<Integer> others = new TreeSet<>(llama.endTokens());
        others.remove(eos);
        if (others.size() == 1) {
            put(keys, "eot_token_id", others.iterator().next());
        }
        put(keys, "unknown_token_id", named("unk_token", -1));
        put(keys, "padding_token_id", named("pad_token", -1));
        keys.put(PREFIX + "add_bos_token", GgufValue.of(adds("add_bos_token", bos, 0)));
        if (adds("add_eos_token", eos, -1)) {
            keys.put(PREFIX + "add_eos_token", GgufValue.of(true));
        }
    }

    private static void put(Map<String, GgufValue> keys, String key, int token) {
        if (token >= 0) {
            keys.put(PREFIX + key, GgufValue.of(token));
        }
    }

    /// A special token that tokenizer_config.json gives as text, plain or with its `content`.
    private int named(String key, int absent) {
        JsonNode node = config.path(key);
        JsonNode text = node.isObject() ? node.path("content") : node;
        int found = text.isTextual() ? Arrays.asList(tokens).indexOf(text.textValue()) : -1;
        return found < 0 ? absent : found;
    }

    /// Whether a text gets `token` at its begin or end: tokenizer_config.json says so, else the post-processor
    /// does.
    ///
    /// @param place 0 for the begin, -1 for the end
    private boolean adds(String key, int token, int place) {
        if (token < 0) {
            return false;
        }
        if (config.path(key).isBoolean()) {
            return config.path(key).booleanValue();
        }
        List<JsonNode> steps = new ArrayList<>();
        tokenizer.path("post_processor").path("processors").forEach(steps::add);
        steps.add(tokenizer.path("post_processor"));
        for (JsonNode step : steps) {
            JsonNode single = step.path("single");
            JsonNode end = single.path(place < 0 ? single.size() - 1 : place).path("SpecialToken");
            if (end.path("id").asText("").equals(tokens[token])) {
                return true;
            }
        }
        return false;
    }

    /// The template of tokenizer_config.json, or of a file of its own; of several, the one named `default`.
    private String chatTemplate(Path directory) throws IOException {
        JsonNode template = config.path("chat_template");
        if (template.isTextual()) {
            return template.textValue();
        }
        for (JsonNode each : template) {
            if (each.path("name").asText("").equals("default")) {
                return each.path("template").asText();
            }
        }
        Path own = directory.resolve("chat_template.jinja");
        return Files.isRegularFile(own) ? Files.readString(own, StandardCharsets.UTF_8) : null;
    }
}

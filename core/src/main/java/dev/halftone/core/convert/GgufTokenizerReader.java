package dev.halftone.core.convert;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.GgufMetadata;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/// Rebuilds tokenizer.json, tokenizer_config.json and generation_config.json from the keys of a GGUF file.
///
/// Two kinds of tokenizer are known: byte-level BPE (`gpt2`), whose way to cut texts the file only names, and
/// SentencePiece BPE (`llama`), whose merges are derived from its scores.
final class GgufTokenizerReader {
    private static final String PREFIX = "tokenizer.ggml.";
    /// SentencePiece's stand-in for a space.
    private static final String SPACE = "\u2581";

    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

    private final GgufMetadata metadata;
    private final List<String> tokens;
    private final TokenKind[] kinds;
    private final Map<String, Integer> ids = new LinkedHashMap<>();
    private final boolean sentencePiece;
    private final PreTokenizer preTokenizer; // null for SentencePiece

    private GgufTokenizerReader(GgufMetadata metadata) {
        this.metadata = metadata;
        String model = metadata.text(PREFIX + "model");
        if (!model.equals("gpt2") && !model.equals("llama")) {
            throw metadata.unfit(PREFIX + "model", "found '" + model + "', supported: gpt2, llama");
        }
        this.sentencePiece = model.equals("llama");
        this.tokens = metadata.texts(PREFIX + "tokens");
        this.kinds = kinds();
        for (int id = 0; id < tokens.size(); id++) {
            // What fills up the embedding table has no text of its own.
            if (kinds[id] != TokenKind.UNUSED && ids.putIfAbsent(tokens.get(id), id) != null) {
                throw metadata.unfit(
                        PREFIX + "tokens",
                        "tokens " + ids.get(tokens.get(id)) + " and " + id + " are the same text, expected one id");
            }
        }
        String pre = metadata.text(PREFIX + "pre", "default");
        this.preTokenizer = sentencePiece
                ? null
                : PreTokenizer.named(pre)
                        .orElseThrow(() -> metadata.unfit(
                                PREFIX + "pre",
                                "found pre-tokenizer '" + pre + "', supported: " + PreTokenizer.known()));
    }

    /// @throws MalformedCheckpointException if the file has no tokenizer, or one that is not supported
    static GgufTokenizerReader of(GgufMetadata metadata) {
        return new GgufTokenizerReader(metadata);
    }

    private TokenKind[] kinds() {
        String key = PREFIX + "token_type";
        TokenKind[] found = new TokenKind[tokens.size()];
        int[] types = metadata.has(key) ? metadata.wholes(key) : null;
        if (types != null && types.length != found.length) {
            throw metadata.unfit(key, "found " + types.length + " types for " + found.length + " tokens");
        }
        for (int i = 0; i < found.length; i++) {
            if (types != null && !TokenKind.isKnown(types[i])) {
                throw metadata.unfit(key, "token " + i + " has type " + types[i] + ", expected 1 to 6");
            }
            found[i] = types == null ? TokenKind.NORMAL : TokenKind.of(types[i]);
        }
        return found;
    }

    /// tokenizer.json.
    ObjectNode tokenizer() {
        ObjectNode tree = NODES.objectNode();
        tree.put("version", "1.0");
        tree.putNull("truncation");
        tree.putNull("padding");
        tree.set("added_tokens", addedTokens());
        tree.set("normalizer", sentencePiece ? sentencePieceNormalizer() : preTokenizer.normalizer());
        tree.set("pre_tokenizer", sentencePiece ? NODES.nullNode() : preTokenizer.tree());
        tree.set("post_processor", postProcessor());
        tree.set("decoder", sentencePiece ? sentencePieceDecoder() : byteLevel());
        tree.set("model", model());
        return tree;
    }

    private static ObjectNode byteLevel() {
        return typed("ByteLevel")
                .put("add_prefix_space", true)
                .put("trim_offsets", true)
                .put("use_regex", true);
    }

    private static ObjectNode typed(String type) {
        return NODES.objectNode().put("type", type);
    }

    private ArrayNode addedTokens() {
        ArrayNode added = NODES.arrayNode();
        for (int id = 0; id < tokens.size(); id++) {
            switch (kinds[id]) {
                case CONTROL, UNKNOWN, USER_DEFINED -> {
                    ObjectNode token = added.addObject();
                    token.put("id", id);
                    token.put("content", tokens.get(id));
                    token.put("single_word", false);
                    token.put("lstrip", false);
                    token.put("rstrip", false);
                    token.put("normalized", false);
                    token.put("special", kinds[id] != TokenKind.USER_DEFINED);
                }
                case NORMAL, UNUSED, BYTE -> {}
            }
        }
        return added;
    }

    private ObjectNode model() {
        ObjectNode model = typed("BPE");
        model.putNull("dropout");
        int unknown = token("unknown_token_id");
        model.put("unk_token", sentencePiece && unknown >= 0 ? tokens.get(unknown) : null);
        model.putNull("continuing_subword_prefix");
        model.putNull("end_of_word_suffix");
        model.put("fuse_unk", sentencePiece);
        model.put("byte_fallback", sentencePiece);
        model.put("ignore_merges", !sentencePiece && preTokenizer.ignoresMerges());
        // Special tokens are in the vocabulary too: it alone says which id a token has.
        ObjectNode vocabulary = model.putObject("vocab");
        ids.forEach(vocabulary::put);
        ArrayNode merges = model.putArray("merges");
        if (sentencePiece) {
            for (SentencePieceMerges.Merge merge : SentencePieceMerges.ofScores(scores())) {
                merges.addArray().add(merge.left()).add(merge.right());
            }
        } else {
            addMerges(merges);
        }
        return model;
    }

    private void addMerges(ArrayNode merges) {
        String key = PREFIX + "merges";
        for (String merge : metadata.texts(key)) {
            int space = merge.indexOf(' ');
            String left = space < 0 ? "" : merge.substring(0, space);
            String right = space < 0 ? "" : merge.substring(space + 1);
            if (!ids.containsKey(left) || !ids.containsKey(right) || !ids.containsKey(left + right)) {
                throw metadata.unfit(
                        key, "merge " + merges.size() + " is not two tokens that make a third, with a space between");
            }
            merges.addArray().add(left).add(right);
        }
    }

    private Map<String, Float> scores() {
        String key = PREFIX + "scores";
        float[] scores = metadata.reals(key);
        if (scores.length != tokens.size()) {
            throw metadata.unfit(key, "found " + scores.length + " scores for " + tokens.size() + " tokens");
        }
        Map<String, Float> normal = new LinkedHashMap<>();
        ids.forEach((token, id) -> {
            if (kinds[id] == TokenKind.NORMAL) {
                normal.put(token, scores[id]);
            }
        });
        if (normal.size() > 1 && new TreeSet<>(normal.values()).size() == 1) {
            throw metadata.unfit(key, "all scores are equal, so they do not say which pieces merge first");
        }
        return normal;
    }

    private boolean addsSpace() {
        return metadata.flag(PREFIX + "add_space_prefix", true);
    }

    private ObjectNode sentencePieceNormalizer() {
        ObjectNode replace = replace(" ", SPACE);
        if (!addsSpace()) {
            return replace;
        }
        ObjectNode sequence = typed("Sequence");
        sequence.putArray("normalizers")
                .add(typed("Prepend").put("prepend", SPACE))
                .add(replace);
        return sequence;
    }

    private static ObjectNode replace(String found, String instead) {
        ObjectNode replace = typed("Replace");
        replace.putObject("pattern").put("String", found);
        return replace.put("content", instead);
    }

    private ObjectNode sentencePieceDecoder() {
        ObjectNode sequence = typed("Sequence");
        ArrayNode decoders = sequence.putArray("decoders");
        decoders.add(replace(SPACE, " ")).add(typed("ByteFallback")).add(typed("Fuse"));
        if (addsSpace()) {
            decoders.add(typed("Strip").put("content", " ").put("start", 1).put("stop", 0));
        }
        return sequence;
    }

    private boolean addsBos() {
        return metadata.flag(PREFIX + "add_bos_token", sentencePiece || preTokenizer.addsBos());
    }

    private boolean addsEos() {
        return metadata.flag(PREFIX + "add_eos_token", false);
    }

    private JsonNode postProcessor() {
        int bos = addsBos() ? token("bos_token_id") : -1;
        int eos = addsEos() ? token("eos_token_id") : -1;
        if (bos < 0 && eos < 0) {
            return sentencePiece ? NODES.nullNode() : byteLevel().put("trim_offsets", false);
        }
        ObjectNode template = typed("TemplateProcessing");
        ObjectNode special = NODES.objectNode();
        ArrayNode single = template.putArray("single");
        ArrayNode pair = template.putArray("pair");
        for (int sequence = 0; sequence < 2; sequence++) {
            for (ArrayNode list : sequence == 0 ? List.of(single, pair) : List.of(pair)) {
                addSpecial(list, bos, sequence);
                list.addObject()
                        .putObject("Sequence")
                        .put("id", sequence == 0 ? "A" : "B")
                        .put("type_id", sequence);
                addSpecial(list, eos, sequence);
            }
        }
        for (int id : new int[] {bos, eos}) {
            if (id >= 0) {
                ObjectNode entry = special.putObject(tokens.get(id));
                entry.put("id", tokens.get(id));
                entry.putArray("ids").add(id);
                entry.putArray("tokens").add(tokens.get(id));
            }
        }
        template.set("special_tokens", special);
        return template;
    }

    private void addSpecial(ArrayNode list, int id, int sequence) {
        if (id >= 0) {
            list.addObject().putObject("SpecialToken").put("id", tokens.get(id)).put("type_id", sequence);
        }
    }

    /// The token at a key, or -1 if the file names none.
    private int token(String key) {
        return metadata.has(PREFIX + key) ? metadata.whole(PREFIX + key, 0, tokens.size() - 1) : -1;
    }

    /// tokenizer_config.json.
    ///
    /// @param context tokens that the model was made for
    ObjectNode config(int context) {
        ObjectNode config = NODES.objectNode();
        config.put("tokenizer_class", "PreTrainedTokenizerFast");
        config.put("model_max_length", context);
        config.put("clean_up_tokenization_spaces", false);
        Map<String, String> named = new HashMap<>();
        named.put("bos_token", "bos_token_id");
        named.put("eos_token", "eos_token_id");
        named.put("unk_token", "unknown_token_id");
        named.put("pad_token", "padding_token_id");
        for (String name : new TreeSet<>(named.keySet())) {
            int id = token(named.get(name));
            if (id >= 0) {
                config.put(name, tokens.get(id));
            }
        }
        config.put("add_bos_token", addsBos() && token("bos_token_id") >= 0);
        config.put("add_eos_token", addsEos() && token("eos_token_id") >= 0);
        if (metadata.has("tokenizer.chat_template")) {
            config.put("chat_template", metadata.text("tokenizer.chat_template"));
        }
        return config;
    }

    /// generation_config.json: the tokens that begin and end a text. A file may name the end of a turn apart from
    /// the end of a text.
    ObjectNode generation() {
        ObjectNode generation = NODES.objectNode();
        int bos = token("bos_token_id");
        int eos = token("eos_token_id");
        int endOfTurn = token("eot_token_id");
        int padding = token("padding_token_id");
        if (bos >= 0) {
            generation.put("bos_token_id", bos);
        }
        if (eos >= 0 && endOfTurn >= 0 && endOfTurn != eos) {
            generation.putArray("eos_token_id").add(eos).add(endOfTurn);
        } else if (eos >= 0 || endOfTurn >= 0) {
            generation.put("eos_token_id", Math.max(eos, endOfTurn));
        }
        if (padding >= 0) {
            generation.put("pad_token_id", padding);
        }
        return generation;
    }

    /// Number of tokens, those without use included.
    int size() {
        return tokens.size();
    }
}

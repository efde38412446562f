package dev.halftone.core.convert;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.model.GoldenFamily;
import java.io.IOException;
import java.nio.file.Path;

/// A golden model with a tokenizer of the same size: three special tokens and the 94 printable letters of ASCII.
final class TinyModel {
    static final int TOKENS = 97;

    private static final ObjectMapper JSON = new ObjectMapper();

    private TinyModel() {}

    /// Unpacks `family` below `parent` and puts a tokenizer beside it.
    static Path unpack(String family, Path parent) throws IOException {
        try (GoldenFamily golden = GoldenFamily.open(family, parent)) {
            putTokenizer(golden.directory(), tokenizer());
            return golden.directory();
        }
    }

    static void putTokenizer(Path directory, ObjectNode tokenizer) throws IOException {
        JSON.writeValue(directory.resolve("tokenizer.json").toFile(), tokenizer);
        ObjectNode config = JSON.createObjectNode();
        config.put("bos_token", "<s>").put("eos_token", "</s>").put("add_bos_token", true);
        config.put("chat_template", "{{ messages[0]['content'] }}");
        JSON.writeValue(directory.resolve("tokenizer_config.json").toFile(), config);
    }

    static ObjectNode tokenizer() {
        ObjectNode tree = JSON.createObjectNode().put("version", "1.0");
        ArrayNode added = tree.putArray("added_tokens");
        String[] special = {"<pad>", "<s>", "</s>"};
        for (int id = 0; id < special.length; id++) {
            added.addObject().put("id", id).put("content", special[id]).put("special", true);
            ObjectNode token = (ObjectNode) added.get(id);
            token.put("single_word", false)
                    .put("lstrip", false)
                    .put("rstrip", false)
                    .put("normalized", false);
        }
        tree.set("pre_tokenizer", PreTokenizer.GPT2.tree());
        ObjectNode model = tree.putObject("model").put("type", "BPE");
        ObjectNode vocabulary = model.putObject("vocab");
        for (char letter = '!'; letter <= '~'; letter++) {
            vocabulary.put(String.valueOf(letter), 3 + letter - '!');
        }
        model.putArray("merges");
        return tree;
    }
}

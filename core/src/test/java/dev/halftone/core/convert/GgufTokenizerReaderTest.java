package dev.halftone.core.convert;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.GgufFile;
import dev.halftone.core.checkpoint.GgufValue;
import dev.halftone.core.checkpoint.GgufWriter;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class GgufTokenizerReaderTest {
    @TempDir
    Path folder;

    private final Arena arena = Arena.ofConfined();
    private final Map<String, GgufValue> keys = new LinkedHashMap<>();
    private int files;

    GgufTokenizerReaderTest() {
        put("model", GgufValue.of("gpt2"));
        put("pre", GgufValue.of("gpt-2"));
        put("tokens", GgufValue.of(List.of("<s>", "</s>", "<eot>", "a", "b", "ab", "<user>", "[PAD7]", "[PAD7]")));
        put("token_type", GgufValue.of(new int[] {3, 3, 3, 1, 1, 1, 4, 5, 5}));
        put("merges", GgufValue.of(List.of("a b")));
        put("bos_token_id", GgufValue.of(0));
        put("eos_token_id", GgufValue.of(1));
    }

    @AfterEach
    void unmap() {
        arena.close();
    }

    private void put(String key, GgufValue value) {
        keys.put("tokenizer.ggml." + key, value);
    }

    private GgufTokenizerReader read() throws IOException {
        Path file = folder.resolve(files++ + ".gguf");
        try (GgufWriter writer = GgufWriter.create(file, keys, List.of())) {
            writer.publish();
        }
        return GgufTokenizerReader.of(GgufFile.map(file, arena).metadata());
    }

    private String refusal() {
        MalformedCheckpointException refusal =
                assertThrows(MalformedCheckpointException.class, () -> read().tokenizer());
        return refusal.getMessage().replaceAll(".*metadata ", "") + " | " + refusal.detail();
    }

    @Test
    void tellsSpecialTokensFromTheUsersAndLeavesOutWhatFillsUp() throws IOException {
        ObjectNode tree = read().tokenizer();
        assertEquals(4, tree.path("added_tokens").size());
        assertTrue(tree.at("/added_tokens/2/special").asBoolean());
        assertEquals("<user>", tree.at("/added_tokens/3/content").asText());
        assertFalse(tree.at("/added_tokens/3/special").asBoolean());
        assertEquals(6, tree.at("/added_tokens/3/id").asInt());
        assertEquals(7, tree.at("/model/vocab").size());
        assertEquals("[[\"a\",\"b\"]]", tree.at("/model/merges").toString());
    }

    @Test
    void endsATurnApartFromAText() throws IOException {
        assertEquals("1", read().generation().path("eos_token_id").toString());
        put("eot_token_id", GgufValue.of(2));
        assertEquals("[1,2]", read().generation().path("eos_token_id").toString());
        put("eot_token_id", GgufValue.of(1));
        assertEquals("1", read().generation().path("eos_token_id").toString());
    }

    /// Readers of llama-bpe files add it unless told otherwise, those of others do not.
    @Test
    void beginsTextsAsTheKindOfTokenizerDoes() throws IOException {
        assertFalse(read().config(8).path("add_bos_token").booleanValue());
        put("pre", GgufValue.of("llama-bpe"));
        assertTrue(read().config(8).path("add_bos_token").booleanValue());
        assertTrue(read().tokenizer().at("/model/ignore_merges").booleanValue());
        assertEquals(
                "<s>",
                read().tokenizer()
                        .at("/post_processor/single/0/SpecialToken/id")
                        .asText());
        put("add_bos_token", GgufValue.of(false));
        assertFalse(read().config(8).path("add_bos_token").booleanValue());
    }

    @Test
    void refusesOtherModels() {
        put("model", GgufValue.of("t5"));
        assertEquals("key 'tokenizer.ggml.model' cannot be used | found 't5', supported: gpt2, llama", refusal());
    }

    @Test
    void refusesTheSameTextTwice() {
        put("tokens", GgufValue.of(List.of("<s>", "</s>", "<eot>", "a", "a", "ab", "<user>", "x", "y")));
        assertEquals(
                "key 'tokenizer.ggml.tokens' cannot be used | tokens 3 and 4 are the same text, expected one id",
                refusal());
    }

    @Test
    void refusesTypesThatAreNoneOrTooFew() {
        put("token_type", GgufValue.of(new int[] {3, 3, 3, 1, 1, 1, 4, 5, 7}));
        assertEquals("key 'tokenizer.ggml.token_type' cannot be used | token 8 has type 7, expected 1 to 6", refusal());
        put("token_type", GgufValue.of(new int[] {3}));
        assertEquals("key 'tokenizer.ggml.token_type' cannot be used | found 1 types for 9 tokens", refusal());
    }

    @Test
    void refusesMergesOfWhatIsNoToken() {
        for (String merge : List.of("b a", "ab", "a x", "a  b", " ab")) {
            put("merges", GgufValue.of(List.of("a b", merge)));
            assertEquals(
                    "key 'tokenizer.ggml.merges' cannot be used"
                            + " | merge 1 is not two tokens that make a third, with a space between",
                    refusal(),
                    merge);
        }
    }

    @Test
    void refusesSpecialTokensOutsideOfTheVocabulary() {
        put("bos_token_id", GgufValue.of(9));
        put("add_bos_token", GgufValue.of(true));
        assertEquals(
                "key 'tokenizer.ggml.bos_token_id' cannot be used | found 9, expected a whole number from 0 to 8",
                refusal());
    }
}

package dev.halftone.core.convert;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.testing.Shared;
import java.io.IOException;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class PreTokenizerTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    private static ObjectNode tokenizer(String preTokenizer, String normalizer, boolean ignoresMerges)
            throws IOException {
        ObjectNode tree = JSON.createObjectNode();
        tree.set("pre_tokenizer", JSON.readTree(preTokenizer));
        tree.set("normalizer", JSON.readTree(normalizer));
        tree.putObject("model").put("ignore_merges", ignoresMerges);
        return tree;
    }

    @ParameterizedTest
    @EnumSource(PreTokenizer.class)
    void recognisesWhatItWrites(PreTokenizer pre) throws IOException {
        ObjectNode tree = tokenizer(pre.tree().toString(), pre.normalizer().toString(), pre.ignoresMerges());
        assertEquals(Optional.of(pre), PreTokenizer.of(tree));
        assertEquals(Optional.of(pre), PreTokenizer.named(pre.ggufName()));
    }

    @ParameterizedTest
    @CsvSource({"SmolLM2-135M-Instruct,SMOLLM", "tiny-storyteller,GPT2"})
    void recognisesRealTokenizers(String model, PreTokenizer expected) throws IOException {
        var file = Shared.directory("models").resolve(model).resolve("tokenizer.json");
        assertEquals(Optional.of(expected), PreTokenizer.of((ObjectNode) JSON.readTree(file.toFile())));
    }

    /// As the tokenizers of Llama 3 and Qwen 2 spell it.
    @Test
    void recognisesOtherSpellings() throws IOException {
        String pattern = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}%s|"
                + " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+";
        String steps = """
            {"type":"Sequence","pretokenizers":[
              {"type":"Split","pattern":{"Regex":"%s"},"behavior":"%s","invert":%s},
              {"type":"ByteLevel","add_prefix_space":false,"trim_offsets":false,"use_regex":false}]}
            """;
        String llama = steps.formatted(pattern.formatted("{1,3}"), "Isolated", "false");
        String removed = steps.formatted(pattern.formatted("{1,3}"), "Removed", "true");
        String qwen = steps.formatted(pattern.formatted(""), "Isolated", "false");
        assertEquals(Optional.of(PreTokenizer.LLAMA3), PreTokenizer.of(tokenizer(llama, "null", true)));
        assertEquals(Optional.of(PreTokenizer.LLAMA3), PreTokenizer.of(tokenizer(removed, "null", true)));
        assertEquals(Optional.of(PreTokenizer.QWEN2), PreTokenizer.of(tokenizer(qwen, "{\"type\":\"NFC\"}", false)));
    }

    @Test
    void recognisesNothingThatDiffersInOnePoint() throws IOException {
        String bytes = "{\"type\":\"ByteLevel\",\"add_prefix_space\":%s,\"use_regex\":%s}";
        assertEquals(Optional.empty(), PreTokenizer.of(tokenizer(bytes.formatted("true", "true"), "null", false)));
        assertEquals(Optional.empty(), PreTokenizer.of(tokenizer(bytes.formatted("false", "false"), "null", false)));
        assertEquals(Optional.empty(), PreTokenizer.of(tokenizer(bytes.formatted("false", "true"), "null", true)));
        assertEquals(
                Optional.empty(),
                PreTokenizer.of(tokenizer(bytes.formatted("false", "true"), "{\"type\":\"Lowercase\"}", false)));
        assertEquals(
                Optional.of(PreTokenizer.GPT2),
                PreTokenizer.of(tokenizer(bytes.formatted("false", "true"), "null", false)));
        assertEquals(
                Optional.empty(),
                PreTokenizer.of(tokenizer(PreTokenizer.LLAMA3.tree().toString(), "null", false)));
        assertTrue(PreTokenizer.named("tekken").isEmpty());
    }
}

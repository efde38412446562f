package dev.halftone.core.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TokenizerTest {
    @TempDir
    Path directory;

    @ParameterizedTest
    @CsvSource({
        "tiny-storyteller, tokenizer-tiny-storyteller.json",
        "SmolLM2-135M-Instruct, tokenizer-smollm2.json",
    })
    void encodesAndDecodesAwkwardTextsLikeTheOriginal(String model, String golden) throws IOException {
        Path files = Shared.directory("models/" + model);
        try (Tokenizer tokenizer = Tokenizer.of(files)) {
            for (TokenizerGolden wanted : TokenizerGolden.read(golden)) {
                String text = wanted.text();
                assertArrayEquals(wanted.ids(), tokenizer.encode(text), text);
                assertEquals(wanted.decoded(), tokenizer.decode(wanted.ids(), false), text);
                assertEquals(wanted.decodedWithoutSpecial(), tokenizer.decode(wanted.ids(), true), text);
            }
        }
    }

    @Test
    void encodesALongTextWithoutSeams() throws IOException {
        String text = Files.readString(Shared.directory("data/wikitext-2-raw").resolve("wiki.test.raw"));
        try (Tokenizer tokenizer = Tokenizer.of(Shared.directory("models/SmolLM2-135M-Instruct"))) {
            int[] ids = tokenizer.encode(text);
            assertEquals(text, tokenizer.decode(ids, false));
            // A cut inside the text would show at the cut: the parts encode to more tokens than the whole.
            int middle = text.indexOf("the", text.length() / 2) + 2;
            int parts = tokenizer.encode(text.substring(0, middle)).length
                    + tokenizer.encode(text.substring(middle)).length;
            assertTrue(ids.length < parts, ids.length + " tokens, in two parts " + parts);
        }
    }

    @Test
    void encodesHalfASurrogatePairAsTheReplacementCharacter() throws IOException {
        try (Tokenizer tokenizer = Tokenizer.of(bytes())) {
            assertArrayEquals(tokenizer.encode("a\uFFFDb"), tokenizer.encode("a\uD83Db"));
            assertArrayEquals(tokenizer.encode("\uFFFD"), tokenizer.encode("\uDC4D"));
            assertEquals("👍", tokenizer.decode(tokenizer.encode("👍"), false));
        }
    }

    @Test
    void ignoresTheLengthThatTheFileWouldCutOrPadTo() throws IOException {
        ObjectNode json = ByteTokenizer.json();
        json.putObject("truncation")
                .put("max_length", 4)
                .put("strategy", "LongestFirst")
                .put("stride", 0)
                .put("direction", "Right");
        ObjectNode padding = json.putObject("padding");
        padding.putObject("strategy").put("Fixed", 700);
        padding.put("direction", "Right").put("pad_id", 0).put("pad_type_id", 0).put("pad_token", "<s>");
        padding.putNull("pad_to_multiple_of");
        try (Tokenizer tokenizer = Tokenizer.of(ByteTokenizer.write(directory, json))) {
            assertEquals(600, tokenizer.encode("x".repeat(600)).length);
        }
    }

    private Path bytes() throws IOException {
        return ByteTokenizer.write(directory, ByteTokenizer.json());
    }

    private void config(String file, String json) throws IOException {
        Files.writeString(directory.resolve(file), json.replace('\'', '"'));
    }

    @Test
    void beginsATextWithWhatThePostProcessorPutsFirst() throws IOException {
        bytes();
        try (Tokenizer tokenizer = Tokenizer.of(directory)) {
            assertEquals(-1, tokenizer.bos());
            assertArrayEquals(tokenizer.encode("ab"), tokenizer.encodeWithBos("ab"));
        }
        ByteTokenizer.write(directory, ByteTokenizer.jsonThatBeginsTexts());
        try (Tokenizer tokenizer = Tokenizer.of(directory)) {
            assertEquals(256, tokenizer.bos());
            assertEquals(2, tokenizer.encode("ab").length, "only on request");
            assertArrayEquals(new int[] {256, 'a', 'b'}, tokenizer.encodeWithBos("ab"));
        }
    }

    @Test
    void letsTheConfigurationOverruleThePostProcessor() throws IOException {
        ByteTokenizer.write(directory, ByteTokenizer.jsonThatBeginsTexts());
        config("tokenizer_config.json", "{'add_bos_token':false,'bos_token':'<s>'}");
        try (Tokenizer tokenizer = Tokenizer.of(directory)) {
            assertEquals(-1, tokenizer.bos());
        }
        bytes();
        config("tokenizer_config.json", "{'add_bos_token':true,'bos_token':{'content':'<s>','special':true}}");
        try (Tokenizer tokenizer = Tokenizer.of(directory)) {
            assertEquals(256, tokenizer.bos());
        }
        config("tokenizer_config.json", "{'add_bos_token':true,'bos_token':'<nowhere>'}");
        HalftoneException fault = assertThrows(HalftoneException.class, () -> Tokenizer.of(directory));
        assertTrue(fault.explanation().contains("<nowhere>"), fault.explanation());
    }

    @Test
    void joinsTheEndTokensOfThreeFiles() throws IOException {
        bytes();
        try (Tokenizer tokenizer = Tokenizer.of(directory)) {
            assertEquals(Set.of(), tokenizer.endTokens());
        }
        config("config.json", "{'eos_token_id':3}");
        config("generation_config.json", "{'eos_token_id':[3,5]}");
        config("tokenizer_config.json", "{'eos_token':'</s>'}");
        try (Tokenizer tokenizer = Tokenizer.of(directory)) {
            assertEquals(Set.of(3, 5, 257), tokenizer.endTokens());
        }
    }

    @Test
    void findsATokenByItsTextAlone() throws IOException {
        try (Tokenizer tokenizer = Tokenizer.of(bytes())) {
            assertEquals(257, tokenizer.token("</s>"));
            assertEquals('a', tokenizer.token("a"));
            assertEquals(-1, tokenizer.token("ab"));
            assertEquals(-1, tokenizer.token(""));
        }
    }

    @Test
    void saysWhatIsMissingOrBroken() throws IOException {
        HalftoneException missing = assertThrows(HalftoneException.class, () -> Tokenizer.of(directory));
        assertEquals(HalftoneException.Kind.INPUT, missing.kind());
        assertTrue(missing.getMessage().contains("tokenizer.json' is missing"), missing.explanation());
        Files.writeString(directory.resolve("tokenizer.model"), "");
        HalftoneException other = assertThrows(HalftoneException.class, () -> Tokenizer.of(directory));
        assertTrue(other.explanation().contains("tokenizer.model"), other.explanation());
        for (String broken :
                new String[] {"", "{", "[]", "{\"version\":\"1.0\"}", "{\"model\":{\"type\":\"Magic\"}}"}) {
            Files.writeString(directory.resolve("tokenizer.json"), broken);
            HalftoneException fault = assertThrows(HalftoneException.class, () -> Tokenizer.of(directory), broken);
            assertEquals(HalftoneException.Kind.INPUT, fault.kind());
            assertTrue(fault.getMessage().contains("is not a tokenizer"), fault.explanation());
        }
        bytes();
        Files.writeString(directory.resolve("tokenizer_config.json"), "{\"bos_token\":");
        HalftoneException config = assertThrows(HalftoneException.class, () -> Tokenizer.of(directory));
        assertTrue(config.getMessage().contains("tokenizer_config.json"), config.explanation());
    }
}

package dev.halftone.core.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.testing.Shared;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class StreamingDecoderTest {
    @TempDir
    Path directory;

    private static List<String> pieces(StreamingDecoder decoder, int[] ids) {
        List<String> pieces = new ArrayList<>();
        for (int id : ids) {
            pieces.add(decoder.push(id));
        }
        pieces.add(decoder.flush());
        return pieces;
    }

    private Tokenizer bytes() throws IOException {
        return Tokenizer.of(ByteTokenizer.write(directory, ByteTokenizer.json()));
    }

    private Tokenizer byteFallback() throws IOException {
        return Tokenizer.of(ByteTokenizer.write(directory, ByteTokenizer.jsonWithByteFallback()));
    }

    @Test
    void holdsACharacterBackUntilItsLastByte() throws IOException {
        try (Tokenizer tokenizer = bytes()) {
            assertEquals(
                    List.of("a", "", "é", "", "", "", "👍", "b", ""),
                    pieces(tokenizer.streamingDecoder(), tokenizer.encode("aé👍b")));
        }
    }

    @Test
    void emitsAnIncompleteCharacterWhenTheTextEnds() throws IOException {
        try (Tokenizer tokenizer = bytes()) {
            int[] cut = {'a', 0xF0, 0x9F, 0x91};
            assertEquals(List.of("a", "", "", "", "\uFFFD"), pieces(tokenizer.streamingDecoder(), cut));
        }
    }

    @Test
    void givesNothingForNothing() throws IOException {
        try (Tokenizer tokenizer = bytes()) {
            assertEquals(List.of(""), pieces(tokenizer.streamingDecoder(), new int[0]));
        }
    }

    @Test
    void leavesSpecialTokensOut() throws IOException {
        try (Tokenizer tokenizer = bytes()) {
            int[] ids = {256, 'a', 256, 257, 0xC3, 257, 0xA9, 257};
            assertEquals(List.of("", "a", "", "", "", "", "é", "", ""), pieces(tokenizer.streamingDecoder(), ids));
        }
    }

    /// Bytes that never become text must neither wait for ever nor make each step dearer than the one before.
    @Test
    void doesNotWaitForEverForBytesThatAreNoText() throws IOException {
        try (Tokenizer tokenizer = bytes()) {
            int[] ids = IntStream.range(0, 500).map(i -> 0xFF).toArray();
            StreamingDecoder decoder = tokenizer.streamingDecoder();
            int emitted = 0;
            for (int i = 0; i < ids.length; i++) {
                emitted += decoder.push(ids[i]).length();
                assertTrue(i - emitted <= 36, "after " + i + " bytes only " + emitted + " characters");
            }
            assertEquals(500, emitted + decoder.flush().length());
        }
    }

    @Test
    void passesARealReplacementCharacterOn() throws IOException {
        try (Tokenizer tokenizer = bytes()) {
            String text = "\uFFFD".repeat(40) + "é";
            assertEquals(text, String.join("", pieces(tokenizer.streamingDecoder(), tokenizer.encode(text))));
        }
    }

    @Test
    void keepsTheSpaceBetweenWordsButNotBeforeTheFirst() throws IOException {
        try (Tokenizer tokenizer = byteFallback()) {
            int word = tokenizer.encode("ab")[0];
            int[] ids = {word, 0, word, word};
            assertEquals(List.of("ab", "", " ab", " ab", ""), pieces(tokenizer.streamingDecoder(), ids));
            assertEquals(
                    List.of(" ab", "", " ab", " ab", ""),
                    pieces(tokenizer.streamingDecoder(tokenizer.encode("c c")), ids));
        }
    }

    @Test
    void countsLeadingSpacesLikeTheWholeText() throws IOException {
        try (Tokenizer tokenizer = byteFallback()) {
            int space = 257;
            int[] ids = {space, space, space, 258};
            assertEquals("  a", tokenizer.decode(ids, true));
            assertEquals("  a", String.join("", pieces(tokenizer.streamingDecoder(), ids)));
        }
    }

    /// Here a run of byte tokens is text only as a whole: an incomplete character spoils those before it.
    @Test
    void survivesRunsOfByteTokens() throws IOException {
        try (Tokenizer tokenizer = byteFallback()) {
            String text = "aé👍好éab 👍👍ñc";
            List<String> pieces = pieces(tokenizer.streamingDecoder(), tokenizer.encode(text));
            assertEquals(text, String.join("", pieces));
            assertFalse(pieces.contains("\uFFFD"));
        }
    }

    @Test
    void equalsTheWholeForRandomTexts() throws IOException {
        Random random = new Random(5);
        int[] alphabet = "aZ 9.\n\té½好か👍🏽\u200D\uFFFD€".codePoints().toArray();
        try (Tokenizer tokenizer = bytes()) {
            for (int round = 0; round < 50; round++) {
                String text = IntStream.range(0, 1 + random.nextInt(60))
                        .map(i -> alphabet[random.nextInt(alphabet.length)])
                        .mapToObj(Character::toString)
                        .collect(Collectors.joining());
                List<String> pieces = pieces(tokenizer.streamingDecoder(), tokenizer.encode(text));
                assertEquals(text, String.join("", pieces));
                for (String piece : pieces) {
                    assertEquals(piece, new String(piece.getBytes(StandardCharsets.UTF_8), StandardCharsets.UTF_8));
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({
        "tiny-storyteller, tokenizer-tiny-storyteller.json",
        "SmolLM2-135M-Instruct, tokenizer-smollm2.json",
    })
    void equalsTheWholeForAwkwardTexts(String model, String golden) throws IOException {
        try (Tokenizer tokenizer = Tokenizer.of(Shared.directory("models/" + model))) {
            for (TokenizerGolden wanted : TokenizerGolden.read(golden)) {
                List<String> pieces = pieces(tokenizer.streamingDecoder(), wanted.ids());
                assertEquals(wanted.decodedWithoutSpecial(), String.join("", pieces), wanted.text());
            }
        }
    }
}

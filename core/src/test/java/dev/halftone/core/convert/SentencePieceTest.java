package dev.halftone.core.convert;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.GgufFile;
import dev.halftone.core.checkpoint.GgufMetadata;
import dev.halftone.core.checkpoint.GgufType;
import dev.halftone.core.checkpoint.GgufValue;
import dev.halftone.core.checkpoint.GgufWriter;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.convert.SentencePieceMerges.Merge;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SentencePieceTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int FIRST_PIECE = 3 + 256;

    @TempDir
    Path folder;

    private final Arena arena = Arena.ofConfined();

    @AfterEach
    void unmap() {
        arena.close();
    }

    @Test
    void ordersMergesByTheScoreOfTheirResult() {
        Map<String, Float> scores = new LinkedHashMap<>();
        scores.put("a", -10f);
        scores.put("b", -11f);
        scores.put("ab", -2f);
        scores.put("aba", -1f);
        scores.put("ba", -3f);
        scores.put("xyz", 0f);
        assertEquals(
                List.of(new Merge("ab", "a"), new Merge("a", "ba"), new Merge("a", "b"), new Merge("b", "a")),
                SentencePieceMerges.ofScores(scores));
    }

    @Test
    void cutsPiecesBetweenCharactersNotInside() {
        Map<String, Float> scores = Map.of("😀", -3f, "a", -2f, "😀a", -1f);
        assertEquals(List.of(new Merge("😀", "a")), SentencePieceMerges.ofScores(scores));
    }

    @Test
    void findsScoresThatOrderMergesTheSame() {
        List<Merge> merges = List.of(new Merge("a", "b"), new Merge("ab", "c"), new Merge("a", "bc"));
        assertEquals(Optional.of(Map.of("ab", 0f, "abc", -1f)), SentencePieceMerges.scores(merges));
        assertEquals(
                Optional.empty(),
                SentencePieceMerges.scores(List.of(new Merge("a", "bc"), new Merge("b", "c"), new Merge("ab", "c"))));
    }

    /// A vocabulary over a few letters with a score of its own for every piece.
    private static List<String> pieces(SplittableRandom random) {
        List<String> pieces = new ArrayList<>(List.of("\u2581", "a", "b", "c", "é"));
        while (pieces.size() < 60) {
            String piece = pieces.get(random.nextInt(pieces.size())) + pieces.get(random.nextInt(pieces.size()));
            if (!pieces.contains(piece) && piece.length() < 7) {
                pieces.add(piece);
            }
        }
        return pieces;
    }

    private GgufMetadata metadata(List<String> pieces, float[] scores, Map<String, GgufValue> more) throws IOException {
        List<String> tokens = new ArrayList<>(List.of("<unk>", "<s>", "</s>"));
        for (int i = 0; i < 256; i++) {
            tokens.add("<0x%02X>".formatted(i));
        }
        tokens.addAll(pieces);
        float[] all = new float[tokens.size()];
        int[] types = new int[tokens.size()];
        for (int i = 0; i < all.length; i++) {
            all[i] = i < FIRST_PIECE ? 0 : scores[i - FIRST_PIECE];
            types[i] = i == 0 ? 2 : i < 3 ? 3 : i < FIRST_PIECE ? 6 : 1;
        }
        Map<String, GgufValue> keys = new LinkedHashMap<>();
        keys.put("tokenizer.ggml.model", GgufValue.of("llama"));
        keys.put("tokenizer.ggml.tokens", GgufValue.of(tokens));
        keys.put("tokenizer.ggml.scores", GgufValue.of(all));
        keys.put("tokenizer.ggml.token_type", GgufValue.of(types));
        keys.put("tokenizer.ggml.bos_token_id", GgufValue.of(1));
        keys.put("tokenizer.ggml.eos_token_id", GgufValue.of(2));
        keys.put("tokenizer.ggml.unknown_token_id", GgufValue.of(0));
        keys.putAll(more);
        Path file = folder.resolve(more.size() + "-" + scores.length + ".gguf");
        Files.deleteIfExists(file);
        try (GgufWriter writer = GgufWriter.create(file, keys, List.of())) {
            writer.publish();
        }
        return GgufFile.map(file, arena).metadata();
    }

    private HuggingFaceTokenizer open(GgufMetadata metadata) throws IOException {
        ObjectNode tree = GgufTokenizerReader.of(metadata).tokenizer();
        JSON.writeValue(folder.resolve("tokenizer.json").toFile(), tree);
        return Texts.open(folder);
    }

    /// What SentencePiece does: merges the best pair, the leftmost of equals, until none is a piece; then spells
    /// what is no piece in bytes.
    private static int[] sentencePiece(String text, List<String> pieces, float[] scores) {
        List<String> symbols = new ArrayList<>();
        text.codePoints().forEach(point -> symbols.add(Character.toString(point)));
        while (true) {
            int best = -1;
            for (int i = 0; i + 1 < symbols.size(); i++) {
                int merged = pieces.indexOf(symbols.get(i) + symbols.get(i + 1));
                if (merged >= 0
                        && (best < 0
                                || scores[merged]
                                        > scores[pieces.indexOf(symbols.get(best) + symbols.get(best + 1))])) {
                    best = i;
                }
            }
            if (best < 0) {
                break;
            }
            symbols.set(best, symbols.get(best) + symbols.remove(best + 1));
        }
        List<Integer> ids = new ArrayList<>();
        for (String symbol : symbols) {
            if (pieces.contains(symbol)) {
                ids.add(FIRST_PIECE + pieces.indexOf(symbol));
            } else {
                for (byte each : symbol.getBytes(StandardCharsets.UTF_8)) {
                    ids.add(3 + (each & 0xFF));
                }
            }
        }
        return ids.stream().mapToInt(Integer::intValue).toArray();
    }

    /// Only pairs with one way to be cut: where a piece can be made in several, the two formats may choose another
    /// place first.
    private static List<String> unambiguous(List<String> pieces) {
        List<String> kept = new ArrayList<>();
        for (String piece : pieces) {
            long ways = java.util.stream.IntStream.range(1, piece.length())
                    .filter(cut -> kept.contains(piece.substring(0, cut)) && kept.contains(piece.substring(cut)))
                    .count();
            if (ways <= 1 && (piece.length() == 1 || ways == 1)) {
                kept.add(piece);
            }
        }
        return kept;
    }

    @Test
    void splitsTextsAsSentencePieceDoes() throws IOException {
        SplittableRandom random = new SplittableRandom(11);
        for (int round = 0; round < 5; round++) {
            List<String> pieces = unambiguous(pieces(random));
            float[] scores = new float[pieces.size()];
            for (int i = 0; i < scores.length; i++) {
                scores[i] = (float) -random.nextDouble(1, 100);
            }
            List<String> letters = List.of("a", "b", "c", "é", " ", "x", "😀");
            int merged = 0;
            try (HuggingFaceTokenizer found = open(metadata(pieces, scores, Map.of()))) {
                for (int t = 0; t < 200; t++) {
                    StringBuilder text = new StringBuilder();
                    for (int i = random.nextInt(1, 30); i > 0; i--) {
                        text.append(letters.get(random.nextInt(letters.size())));
                    }
                    String plain = text.toString();
                    String spaced = "\u2581" + plain.replace(' ', '\u2581');
                    int[] expected = sentencePiece(spaced, pieces, scores);
                    merged += spaced.length() - expected.length;
                    assertArrayEquals(expected, Texts.ids(found, plain), plain);
                }
            }
            assertFalse(merged == 0);
        }
    }

    @Test
    void spellsUnknownCharactersInBytesAndBack() throws IOException {
        List<String> pieces = List.of("\u2581", "a", "\u2581a");
        try (HuggingFaceTokenizer found = open(metadata(pieces, new float[] {-2, -3, -1}, Map.of()))) {
            int[] ids = Texts.ids(found, "a ñ");
            assertArrayEquals(new int[] {FIRST_PIECE + 2, FIRST_PIECE, 3 + 0xC3, 3 + 0xB1}, ids);
            assertEquals(
                    "a ñ",
                    found.decode(java.util.Arrays.stream(ids).asLongStream().toArray(), true));
        }
    }

    @Test
    void addsNoSpaceWhereTheFileSaysSo() throws IOException {
        List<String> pieces = List.of("\u2581", "a", "\u2581a");
        Map<String, GgufValue> plain = Map.of("tokenizer.ggml.add_space_prefix", GgufValue.of(false));
        try (HuggingFaceTokenizer found = open(metadata(pieces, new float[] {-2, -3, -1}, plain))) {
            assertArrayEquals(new int[] {FIRST_PIECE + 1, FIRST_PIECE + 2}, Texts.ids(found, "a a"));
        }
    }

    @Test
    void beginsTextsWithATokenUnlessTheFileSaysNo() throws IOException {
        List<String> pieces = List.of("\u2581", "a");
        try (HuggingFaceTokenizer found = open(metadata(pieces, new float[] {-2, -3}, Map.of()))) {
            assertArrayEquals(
                    new long[] {1, FIRST_PIECE, FIRST_PIECE + 1},
                    found.encode("a", true, false).getIds());
        }
        Map<String, GgufValue> ends = Map.of(
                "tokenizer.ggml.add_bos_token",
                GgufValue.of(false),
                "tokenizer.ggml.add_eos_token",
                GgufValue.of(true));
        try (HuggingFaceTokenizer found = open(metadata(pieces, new float[] {-2, -3}, ends))) {
            assertArrayEquals(
                    new long[] {FIRST_PIECE, FIRST_PIECE + 1, 2},
                    found.encode("a", true, false).getIds());
        }
    }

    @Test
    void refusesScoresThatSayNothing() throws IOException {
        GgufMetadata metadata = metadata(List.of("a", "b", "ab"), new float[] {-1000, -1000, -1000}, Map.of());
        assertEquals(
                "all scores are equal, so they do not say which pieces merge first",
                assertThrows(
                                MalformedCheckpointException.class,
                                () -> GgufTokenizerReader.of(metadata).tokenizer())
                        .detail());
    }

    /// Through the keys of a file and back: the same merges in the same order.
    @Test
    void comesBackFromAnExport() throws IOException {
        List<String> pieces = unambiguous(pieces(new SplittableRandom(3)));
        float[] scores = new float[pieces.size()];
        for (int i = 0; i < scores.length; i++) {
            scores[i] = -1 - 7 * i % 61;
        }
        ObjectNode tree =
                GgufTokenizerReader.of(metadata(pieces, scores, Map.of())).tokenizer();
        Path model = TinyModel.unpack("llama2", folder);
        ObjectNode config =
                (ObjectNode) JSON.readTree(model.resolve("config.json").toFile());
        int vocabulary = FIRST_PIECE + pieces.size();
        Path wider = Widened.of(model, folder.resolve("wider"), config, vocabulary);
        TinyModel.putTokenizer(wider, tree);
        Path file = folder.resolve("m.gguf");
        Conversion.toGguf(wider, file, GgufOptions.of(GgufType.F32, GgufType.F32), ConversionProgress.SILENT);
        GgufMetadata written = GgufFile.map(file, arena).metadata();
        assertEquals("llama", written.text("tokenizer.ggml.model"));
        assertEquals(
                tree.get("model").get("merges"),
                GgufTokenizerReader.of(written).tokenizer().get("model").get("merges"));
        assertEquals(
                tree.get("normalizer"),
                GgufTokenizerReader.of(written).tokenizer().get("normalizer"));
        assertArrayEquals(
                new int[] {2, 3, 3, 6}, java.util.Arrays.copyOf(written.wholes("tokenizer.ggml.token_type"), 4));
    }
}

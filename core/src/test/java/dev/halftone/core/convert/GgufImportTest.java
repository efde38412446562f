package dev.halftone.core.convert;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.testing.Shared;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The import of a real model: linears in Q4_1, embeddings in Q8_0, norms in F32.
class GgufImportTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String WEIGHTS = "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b";

    @TempDir
    static Path folder;

    private static Path original;
    private static Path imported;
    private static ConversionReport report;
    private static final AtomicInteger STEPS = new AtomicInteger();

    @BeforeAll
    static void importOnce() throws IOException {
        original = Shared.directory("models").resolve("SmolLM2-135M-Instruct");
        imported = folder.resolve("imported");
        report = Conversion.toDense(
                original.resolve("SmolLM2-135M-Instruct.Q4_1.gguf"), imported, DType.BF16, (tensor, done, total) -> {
                    assertEquals(STEPS.incrementAndGet(), done);
                    assertEquals(272, total);
                });
    }

    @Test
    void restoresTheReferenceCheckpointByteForByte() throws IOException, NoSuchAlgorithmException {
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        try (InputStream in =
                new DigestInputStream(Files.newInputStream(imported.resolve("model.safetensors")), digest)) {
            in.transferTo(java.io.OutputStream.nullOutputStream());
        }
        assertEquals(WEIGHTS, HexFormat.of().formatHex(digest.digest()));
    }

    @Test
    void reportsEveryTensor() {
        assertEquals(272, STEPS.get());
        assertEquals(272, report.tensors().size());
        assertFalse(report.exact());
        // Norms in the file are bfloat16 in float32's clothes; linears lose what bfloat16 cannot hold.
        report.tensors().stream()
                .filter(tensor -> tensor.name().endsWith("norm.weight"))
                .forEach(tensor -> assertTrue(tensor.exact(), tensor.name()));
        assertTrue(report.largestDifference() < 0.02, "half a unit of bfloat16 below 8");
    }

    @Test
    void rebuildsAConfigurationThatMeansTheSame() throws IOException {
        assertEquals(
                LlamaConfig.of(json(original, "config.json"), json(original, "generation_config.json")),
                LlamaConfig.of(json(imported, "config.json"), json(imported, "generation_config.json")));
    }

    @Test
    void rebuildsTheTokenizerConfiguration() throws IOException {
        ObjectNode expected = json(original, "tokenizer_config.json");
        ObjectNode found = json(imported, "tokenizer_config.json");
        for (String key :
                new String[] {"bos_token", "eos_token", "unk_token", "pad_token", "chat_template", "model_max_length"
                }) {
            assertEquals(expected.get(key), found.get(key), key);
        }
        assertEquals(
                json(original, "tokenizer.json").get("added_tokens"),
                json(imported, "tokenizer.json").get("added_tokens"));
        assertEquals(
                json(original, "tokenizer.json").get("model"),
                json(imported, "tokenizer.json").get("model"));
    }

    private static ObjectNode json(Path directory, String file) throws IOException {
        return (ObjectNode) JSON.readTree(directory.resolve(file).toFile());
    }

    @Test
    void rebuildsATokenizerThatSplitsTextsTheSame() throws IOException {
        try (HuggingFaceTokenizer expected = Texts.open(original);
                HuggingFaceTokenizer found = Texts.open(imported)) {
            for (String text : Texts.AWKWARD) {
                int[] ids = Texts.ids(expected, text);
                assertArrayEquals(ids, Texts.ids(found, text), text);
                long[] wide = java.util.Arrays.stream(ids).asLongStream().toArray();
                assertEquals(expected.decode(wide, false), found.decode(wide, false), text);
            }
        }
    }

    @Test
    void rebuildsATokenizerThatAgreesWithGoldenTexts() throws IOException {
        try (InputStream in = GgufImportTest.class.getResourceAsStream("/golden/tokenizer-smollm2.json");
                HuggingFaceTokenizer found = Texts.open(imported)) {
            JsonNode cases = JSON.readTree(in).get("cases");
            assertTrue(cases.size() > 50);
            for (JsonNode each : cases) {
                int[] ids = new int[each.get("ids").size()];
                for (int i = 0; i < ids.length; i++) {
                    ids[i] = each.get("ids").get(i).intValue();
                }
                assertArrayEquals(
                        ids,
                        Texts.ids(found, each.get("text").textValue()),
                        each.get("text").textValue());
            }
        }
    }

    @Test
    void rebuildsATokenizerThatSplitsALongTextTheSame() throws IOException {
        String text = Files.readString(Shared.directory("data").resolve("wikitext-2-raw/wiki.test.raw"))
                .substring(0, 300_000);
        try (HuggingFaceTokenizer expected = Texts.open(original);
                HuggingFaceTokenizer found = Texts.open(imported)) {
            int[] ids = Texts.ids(expected, text);
            assertTrue(ids.length > 60_000);
            assertArrayEquals(ids, Texts.ids(found, text));
        }
    }
}

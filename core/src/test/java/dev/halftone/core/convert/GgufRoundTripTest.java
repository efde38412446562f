package dev.halftone.core.convert;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.GgufFile;
import dev.halftone.core.checkpoint.GgufTensor;
import dev.halftone.core.checkpoint.GgufType;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.QuantizedWeight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Tiny models of every family, written as GGUF and read again.
class GgufRoundTripTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final GgufOptions FLOATS = GgufOptions.of(GgufType.F32, GgufType.F32);

    @TempDir
    Path folder;

    private Path export(Path model, GgufOptions options) throws IOException {
        Path file = folder.resolve("model-" + options.linears() + ".gguf");
        Conversion.toGguf(model, file, options, ConversionProgress.SILENT);
        return file;
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "llama2",
                "llama3",
                "llama31",
                "llama-linear",
                "llama-headdim",
                "tinyllama",
                "smollm2",
                "qwen2",
                "qwen3"
            })
    void bringsEveryTensorBackBitForBit(String family) throws IOException {
        Path model = TinyModel.unpack(family, folder);
        Path back = folder.resolve("back");
        ConversionReport report = Conversion.toDense(export(model, FLOATS), back, DType.F32, ConversionProgress.SILENT);
        assertTrue(report.exact());
        try (Checkpoint expected = Checkpoint.open(model);
                Checkpoint found = Checkpoint.open(back)) {
            assertEquals(config(expected), config(found));
            Map<String, Tensor> tensors = expected.tensors();
            assertEquals(tensors.keySet(), found.tensors().keySet());
            for (Tensor tensor : tensors.values()) {
                assertEquals(tensor.shape(), found.tensor(tensor.name()).shape());
                assertArrayEquals(tensor.toFloats(), found.tensor(tensor.name()).toFloats(), tensor.name());
            }
        }
    }

    private static LlamaConfig config(Checkpoint checkpoint) throws IOException {
        return LlamaConfig.of(
                checkpoint.config(), checkpoint.json("generation_config.json").orElse(null));
    }

    @Test
    void laysTheHalvesOfALlamaHeadSideBySide() throws IOException {
        Path model = TinyModel.unpack("llama2", folder);
        try (Arena arena = Arena.ofConfined();
                Checkpoint checkpoint = Checkpoint.open(model)) {
            GgufTensor stored = GgufFile.map(export(model, FLOATS), arena).tensor("blk.1.attn_k.weight");
            Tensor original = checkpoint.tensor("model.layers.1.self_attn.k_proj.weight");
            // Heads of 8: rows 0 4 1 5 2 6 3 7, then the same from 8 on.
            int[] order = {0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13};
            float[] row = new float[32];
            float[] expected = new float[32];
            for (int i = 0; i < order.length; i++) {
                TensorRows.of(stored).restore(i, row);
                original.copyTo(order[i] * 32L, 32, expected, 0);
                assertArrayEquals(expected, row, "row " + i);
            }
        }
    }

    @Test
    void leavesTheHeadsOfQwenAsTheyAre() throws IOException {
        Path model = TinyModel.unpack("qwen2", folder);
        try (Arena arena = Arena.ofConfined();
                Checkpoint checkpoint = Checkpoint.open(model)) {
            GgufFile file = GgufFile.map(export(model, FLOATS), arena);
            Tensor original = checkpoint.tensor("model.layers.0.self_attn.q_proj.bias");
            assertArrayEquals(
                    original.toFloats(),
                    TensorRows.of(file.tensor("blk.0.attn_q.bias")).all());
            assertEquals("qwen2", file.metadata().text("general.architecture"));
        }
    }

    @Test
    void writesTheRotaryFactorsOfLlama31() throws IOException {
        Path model = TinyModel.unpack("llama31", folder);
        try (Arena arena = Arena.ofConfined()) {
            GgufFile file = GgufFile.map(export(model, FLOATS), arena);
            // theta 500000, heads of 8, factor 8, bounds 1 and 4 over 32 tokens. Wavelengths 2 pi theta^(i/4): the
            // first, 6.28, is below 8 and kept; the second, 167, is above 32 and stretched, like the others.
            assertArrayEquals(
                    new float[] {1, 8, 8, 8},
                    TensorRows.of(file.tensor("rope_freqs.weight")).all());
        }
    }

    @Test
    void writesTheKeysThatReadersAskFor() throws IOException {
        Path model = TinyModel.unpack("llama-headdim", folder);
        try (Arena arena = Arena.ofConfined()) {
            var keys =
                    GgufFile.map(export(model, FLOATS.withName("Tiny")), arena).metadata();
            assertEquals("llama", keys.text("general.architecture"));
            assertEquals("Tiny", keys.text("general.name"));
            assertEquals(0, keys.whole("general.file_type", 0, 99));
            assertEquals(2, keys.whole("general.quantization_version", 0, 99));
            assertEquals(2, keys.whole("llama.block_count", 0, 99));
            assertEquals(128, keys.whole("llama.context_length", 0, 999));
            assertEquals(32, keys.whole("llama.embedding_length", 0, 99));
            assertEquals(48, keys.whole("llama.feed_forward_length", 0, 99));
            assertEquals(4, keys.whole("llama.attention.head_count", 0, 99));
            assertEquals(2, keys.whole("llama.attention.head_count_kv", 0, 99));
            assertEquals(12, keys.whole("llama.attention.key_length", 0, 99));
            assertEquals(12, keys.whole("llama.attention.value_length", 0, 99));
            assertEquals(12, keys.whole("llama.rope.dimension_count", 0, 99));
            assertEquals(10000, keys.positive("llama.rope.freq_base"));
            assertEquals(97, keys.whole("llama.vocab_size", 0, 999));
            assertEquals("gpt2", keys.text("tokenizer.ggml.model"));
            assertEquals("gpt-2", keys.text("tokenizer.ggml.pre"));
            assertEquals(1, keys.whole("tokenizer.ggml.bos_token_id", 0, 99));
            assertEquals(2, keys.whole("tokenizer.ggml.eos_token_id", 0, 99));
            assertTrue(keys.flag("tokenizer.ggml.add_bos_token", false));
            assertEquals("{{ messages[0]['content'] }}", keys.text("tokenizer.chat_template"));
            assertEquals(
                    List.of("<pad>", "<s>", "</s>", "!"),
                    keys.texts("tokenizer.ggml.tokens").subList(0, 4));
            assertArrayEquals(
                    new int[] {3, 3, 3, 1}, java.util.Arrays.copyOf(keys.wholes("tokenizer.ggml.token_type"), 4));
        }
    }

    @Test
    void fillsUpTheVocabularyOfALargerTable() throws IOException {
        Path model = TinyModel.unpack("qwen2", folder);
        try (Arena arena = Arena.ofConfined()) {
            var keys = GgufFile.map(export(model, FLOATS), arena).metadata();
            assertEquals(160, keys.texts("tokenizer.ggml.tokens").size());
            assertEquals("[PAD97]", keys.texts("tokenizer.ggml.tokens").get(97));
            assertEquals(5, keys.wholes("tokenizer.ggml.token_type")[97]);
        }
        Path back = folder.resolve("back");
        Conversion.toDense(folder.resolve("model-F32.gguf"), back, DType.BF16, ConversionProgress.SILENT);
        assertEquals(
                97,
                JSON.readTree(back.resolve("tokenizer.json").toFile())
                        .path("model")
                        .path("vocab")
                        .size());
    }

    @ParameterizedTest
    @ValueSource(strings = {"Q4_0", "Q4_1", "Q8_0", "F16", "BF16"})
    void roundsFloatsToEveryType(String type) throws IOException {
        Path model = TinyModel.unpack("llama2", folder);
        GgufType wanted = GgufType.valueOf(type);
        ConversionReport report = Conversion.toGguf(
                model, folder.resolve("m.gguf"), GgufOptions.of(wanted, GgufType.Q8_0), ConversionProgress.SILENT);
        try (Arena arena = Arena.ofConfined()) {
            GgufFile file = GgufFile.map(folder.resolve("m.gguf"), arena);
            assertEquals(wanted, file.tensor("blk.0.attn_q.weight").type());
            assertEquals(GgufType.Q8_0, file.tensor("token_embd.weight").type());
            assertEquals(GgufType.F32, file.tensor("blk.0.attn_norm.weight").type());
            // 48 columns are no whole blocks of 32.
            GgufType down = wanted.blockElements() == 1 ? wanted : GgufType.BF16;
            assertEquals(down, file.tensor("blk.0.ffn_down.weight").type());
            for (var tensor : report.tensors()) {
                assertEquals(file.tensor(tensor.name()).type().name(), tensor.stored());
                assertEquals(tensor.name().contains("norm"), tensor.exact(), tensor.name());
            }
        }
    }

    @Test
    void reportsTheLargestDifference() throws IOException {
        Path model = TinyModel.unpack("llama2", folder);
        ConversionReport report = Conversion.toGguf(
                model,
                folder.resolve("m.gguf"),
                GgufOptions.of(GgufType.Q8_0, GgufType.F32),
                ConversionProgress.SILENT);
        Path back = folder.resolve("back");
        Conversion.toDense(folder.resolve("m.gguf"), back, DType.F32, ConversionProgress.SILENT);
        try (Checkpoint before = Checkpoint.open(model);
                Checkpoint after = Checkpoint.open(back)) {
            String name = "model.layers.0.self_attn.v_proj.weight";
            double largest = GgufExport.difference(
                    before.tensor(name).toFloats(), after.tensor(name).toFloats());
            assertTrue(largest > 0);
            assertEquals(
                    largest,
                    report.tensors().stream()
                            .filter(tensor -> tensor.name().equals("blk.0.attn_v.weight"))
                            .findFirst()
                            .orElseThrow()
                            .largestDifference());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"Q4_0", "Q8_0"})
    void keepsCodesInAPackedDirectory(String type) throws IOException {
        Path model = TinyModel.unpack("llama2", folder);
        Path file = export(model, GgufOptions.of(GgufType.valueOf(type), GgufType.F16));
        Path packed = folder.resolve("packed");
        Path dense = folder.resolve("dense");
        ConversionReport report = Conversion.toPacked(file, packed, DType.F32, "gptq", ConversionProgress.SILENT);
        Conversion.toDense(file, dense, DType.F32, ConversionProgress.SILENT);
        assertTrue(report.exact());
        try (Checkpoint kept = Checkpoint.open(packed);
                Checkpoint restored = Checkpoint.open(dense)) {
            LinearWeights weights = LinearWeights.of(kept);
            assertEquals(
                    type.equals("Q4_0") ? "gptq 4-bit g32 symmetric" : "gptq 8-bit g32 symmetric",
                    weights.description().orElseThrow().replace(", some linears otherwise", ""));
            int codes = 0;
            for (ModelTensors.Entry entry : ModelTensors.of(config(kept))) {
                if (entry.role() == ModelTensors.Role.LINEAR) {
                    var weight = weights.weight(entry.linear());
                    codes += weight instanceof QuantizedWeight ? 1 : 0;
                    float[] expected = restored.tensor(entry.name()).toFloats();
                    float[] found = weight.restore();
                    for (int i = 0; i < expected.length; i++) {
                        // A negative step times 0 is -0.
                        assertEquals(expected[i] + 0f, found[i] + 0f, entry.name());
                    }
                }
            }
            // 48 is no multiple of 32: gate, up and down stay in floating point.
            assertEquals(2 * 4, codes);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"Q4_0", "Q8_0"})
    void packedCodesComeBackAsTheSameBlocks(String type) throws IOException {
        Path model = TinyModel.unpack("llama2", folder);
        Path file = export(model, GgufOptions.of(GgufType.valueOf(type), GgufType.F32));
        Path packed = folder.resolve("packed");
        Conversion.toPacked(file, packed, DType.F32, "gptq", ConversionProgress.SILENT);
        Path again = folder.resolve("again.gguf");
        ConversionReport report = Conversion.toGguf(packed, again, FLOATS, ConversionProgress.SILENT);
        assertTrue(report.exact());
        try (Arena arena = Arena.ofConfined()) {
            GgufTensor expected = GgufFile.map(file, arena).tensor("blk.0.attn_q.weight");
            GgufTensor found = GgufFile.map(again, arena).tensor("blk.0.attn_q.weight");
            assertEquals(GgufType.valueOf(type), found.type());
            assertEquals(-1, expected.data().mismatch(found.data()));
        }
    }

    @Test
    void restoresAPackedDirectoryToFloats() throws IOException {
        Path model = TinyModel.unpack("llama2", folder);
        Path file = export(model, GgufOptions.of(GgufType.Q4_0, GgufType.F16));
        Path packed = folder.resolve("packed");
        Conversion.toPacked(file, packed, DType.F16, "gptq", ConversionProgress.SILENT);
        Path dense = folder.resolve("dense");
        ConversionReport report = Conversion.toDense(packed, dense, DType.F32, ConversionProgress.SILENT);
        assertTrue(report.exact());
        try (Checkpoint expected = Checkpoint.open(packed);
                Checkpoint found = Checkpoint.open(dense)) {
            assertTrue(LinearWeights.of(found).layout().isEmpty());
            String linear = "model.layers.1.self_attn.o_proj";
            assertArrayEquals(
                    LinearWeights.of(expected).weight(linear).restore(),
                    found.tensor(linear + ".weight").toFloats());
            assertEquals("float32", found.config().path("torch_dtype").asText());
        }
        assertTrue(Files.isRegularFile(dense.resolve("tokenizer.json")));
    }

    @Test
    void refusesToPackWhatHasNoCodes() throws IOException {
        Path file = export(TinyModel.unpack("llama2", folder), FLOATS);
        HalftoneException refusal = assertThrows(
                HalftoneException.class,
                () -> Conversion.toPacked(file, folder.resolve("out"), DType.F16, "gptq", ConversionProgress.SILENT));
        assertEquals("no linear is Q4_0 or Q8_0", refusal.detail());
        assertTrue(Files.notExists(folder.resolve("out")));
    }

    @Test
    void refusesModelsThatReadersWouldRunDifferently() throws IOException {
        assertEquals(
                "a model with a sliding window cannot be written as GGUF",
                assertThrows(HalftoneException.class, () -> export(TinyModel.unpack("mistral", folder), FLOATS))
                        .getMessage());
        assertEquals(
                "a model with rotary scaling 'dynamic' cannot be written as GGUF",
                assertThrows(HalftoneException.class, () -> export(TinyModel.unpack("llama-dynamic", folder), FLOATS))
                        .getMessage());
    }

    @Test
    void refusesAWayToCutTextsThatHasNoName() throws IOException {
        Path model = TinyModel.unpack("llama2", folder);
        ObjectNode tokenizer = TinyModel.tokenizer();
        tokenizer.putObject("pre_tokenizer").put("type", "Whitespace");
        TinyModel.putTokenizer(model, tokenizer);
        MalformedCheckpointException refusal =
                assertThrows(MalformedCheckpointException.class, () -> export(model, FLOATS));
        assertTrue(refusal.getMessage().endsWith("cuts texts in a way that is not known"), refusal.getMessage());
        try (Arena arena = Arena.ofConfined()) {
            GgufFile file = GgufFile.map(export(model, FLOATS.withPreTokenizer("tekken")), arena);
            assertEquals("tekken", file.metadata().text("tokenizer.ggml.pre"));
        }
        MalformedCheckpointException unknown = assertThrows(
                MalformedCheckpointException.class,
                () -> Conversion.toDense(
                        folder.resolve("model-F32.gguf"), folder.resolve("out"), DType.F32, ConversionProgress.SILENT));
        assertEquals(
                "found pre-tokenizer 'tekken', supported: default, gpt-2, smollm, llama-bpe, qwen2", unknown.detail());
    }

    @Test
    void refusesAModelWithoutTokenizer() throws IOException {
        Path model = TinyModel.unpack("llama2", folder);
        Files.delete(model.resolve("tokenizer.json"));
        assertTrue(assertThrows(MalformedCheckpointException.class, () -> export(model, FLOATS))
                .getMessage()
                .endsWith("tokenizer.json is missing"));
    }

    @Test
    void leavesNothingBehindWhenAModelIsBroken() throws IOException {
        Path model = TinyModel.unpack("llama2", folder);
        ObjectNode config =
                (ObjectNode) JSON.readTree(model.resolve("config.json").toFile());
        config.put("intermediate_size", 64);
        JSON.writeValue(model.resolve("config.json").toFile(), config);
        assertThrows(MalformedCheckpointException.class, () -> export(model, FLOATS));
        try (var files = Files.list(folder)) {
            assertEquals(
                    List.of(),
                    files.filter(file -> file.toString().contains("gguf")).toList());
        }
    }

    @Test
    void cannotMistakeOneOrderOfRowsForTheOther() throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(TinyModel.unpack("llama2", folder))) {
            var entry = ModelTensors.of(config(checkpoint)).stream()
                    .filter(each -> each.heads() > 0)
                    .findFirst()
                    .orElseThrow();
            for (long row = 0; row < entry.shape().size(0); row++) {
                assertEquals(row, entry.toGguf().source(entry.fromGguf().source(row)));
            }
            assertNotEquals(entry.toGguf().source(1), entry.fromGguf().source(1));
        }
    }
}

package dev.halftone.core.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CheckpointTest {
    private static final String INDEX = "model.safetensors.index.json";

    @TempDir
    Path folder;

    private Path model;

    @BeforeEach
    void makeModel() throws IOException {
        model = Files.createDirectory(folder.resolve("Llama-3"));
        write("config.json", "{\"model_type\":\"llama\",\"rope\":Infinity}");
    }

    @Test
    void readsASingleFile() throws IOException {
        RawFile.writeValid(model.resolve("model.safetensors"), "a");
        RawFile.writeValid(model.resolve("consolidated.safetensors"), "a");
        try (Checkpoint checkpoint = Checkpoint.open(model)) {
            assertEquals(model, checkpoint.directory());
            assertEquals("llama", checkpoint.config().get("model_type").textValue());
            assertTrue(checkpoint.has("a"));
            assertFalse(checkpoint.has("b"));
            assertEquals(2, checkpoint.tensor("a").elements());
            assertEquals(model.resolve("model.safetensors"), checkpoint.file("a"));
            assertEquals(List.of(model.resolve("model.safetensors")), checkpoint.files());
        }
    }

    @Test
    void readsEveryFileWhenNoneIsNamed() throws IOException {
        RawFile.writeValid(model.resolve("x.safetensors"), "b");
        RawFile.writeValid(model.resolve("y.safetensors"), "a");
        try (Checkpoint checkpoint = Checkpoint.open(model)) {
            assertEquals(Set.of("a", "b"), checkpoint.tensors().keySet());
            assertEquals("a", checkpoint.tensors().firstKey());
        }
    }

    @Test
    void readsTheShardsThatTheIndexNames() throws IOException {
        RawFile.writeValid(model.resolve("one.safetensors"), "a");
        RawFile.writeValid(model.resolve("two.safetensors"), "b");
        RawFile.writeValid(model.resolve("model.safetensors"), "other");
        index("{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}");
        try (Checkpoint checkpoint = Checkpoint.open(model)) {
            assertEquals(Set.of("a", "b"), checkpoint.tensors().keySet());
            assertEquals(model.resolve("two.safetensors"), checkpoint.file("b"));
        }
    }

    @Test
    void readsFilesThroughLinks() throws IOException {
        RawFile.writeValid(folder.resolve("blob"), "a");
        Files.createSymbolicLink(model.resolve("model.safetensors"), folder.resolve("blob"));
        try (Checkpoint checkpoint = Checkpoint.open(model)) {
            assertTrue(checkpoint.has("a"));
        }
    }

    @Test
    void endsItsTensorsWhenItCloses() throws IOException {
        RawFile.writeValid(model.resolve("model.safetensors"), "a");
        Checkpoint checkpoint = Checkpoint.open(model);
        checkpoint.close();
        checkpoint.close();
        assertThrows(IllegalStateException.class, () -> checkpoint.tensor("a").toFloats());
    }

    @Test
    void keepsItsConfigurationFromCallers() throws IOException {
        RawFile.writeValid(model.resolve("model.safetensors"), "a");
        try (Checkpoint checkpoint = Checkpoint.open(model)) {
            checkpoint.config().removeAll();
            assertEquals("llama", checkpoint.config().get("model_type").textValue());
        }
    }

    @Test
    void readsOtherJsonFilesOnlyFromItsDirectory() throws IOException {
        RawFile.writeValid(model.resolve("model.safetensors"), "a");
        write("generation_config.json", "{\"eos\":2}");
        write("broken.json", "{\"eos\":");
        try (Checkpoint checkpoint = Checkpoint.open(model)) {
            assertEquals(
                    2,
                    checkpoint
                            .json("generation_config.json")
                            .orElseThrow()
                            .get("eos")
                            .intValue());
            assertTrue(checkpoint.json("absent.json").isEmpty());
            assertThrows(MalformedCheckpointException.class, () -> checkpoint.json("broken.json"));
            assertThrows(IllegalArgumentException.class, () -> checkpoint.json("../secret.json"));
        }
    }

    @Test
    void suggestsTheNameThatWasMeant() {
        HalftoneException refusal = refusal(folder.resolve("Lama-3"));
        assertEquals("no model at '" + folder.resolve("Lama-3") + "'", refusal.getMessage());
        assertEquals("did you mean '" + model + "'?", refusal.remedy());
        assertEquals(Kind.INPUT, refusal.kind());
        assertEquals("check the path", refusal(folder.resolve("something else")).remedy());
        assertEquals("check the path", refusal(folder.resolve("no/such/folder")).remedy());
    }

    @Test
    void refusesAFileInPlaceOfTheDirectory() throws IOException {
        Path file = model.resolve("model.safetensors");
        RawFile.writeValid(file, "a");
        assertRefused(refusal(file), "is a file", "config.json and weights");
    }

    @Test
    void refusesADirectoryWithoutConfig() throws IOException {
        Files.delete(model.resolve("config.json"));
        RawFile.writeValid(model.resolve("x.safetensors"), "b");
        RawFile.writeValid(model.resolve("y.safetensors"), "a");
        assertEquals(
                "'" + model + "': has 2 .safetensors and no config.json",
                refusal(model).getMessage());
    }

    @Test
    void refusesADirectoryWithoutWeights() {
        assertRefused(refusal(model), "has no .safetensors file", "[config.json]");
    }

    @ParameterizedTest
    @ValueSource(strings = {"pytorch_model.bin", "consolidated.00.pth", "model.pt"})
    void refusesPickles(String file) throws IOException {
        write(file, "PK");
        assertRefused(refusal(model), "only as pickle: [" + file + "]", "can run code");
    }

    @Test
    void pointsAtTheFaultInAConfig() throws IOException {
        RawFile.writeValid(model.resolve("model.safetensors"), "a");
        write("config.json", "{\n  \"hidden\": 12,\n  oops\n}");
        assertRefused(refusal(model), "config.json': not valid JSON", "line 3, column");
        write("config.json", "[1]");
        assertRefused(refusal(model), "config.json': not a JSON object", "ARRAY");
        write("config.json", "");
        assertRefused(refusal(model), "config.json': not a JSON object", "MISSING");
        write("config.json", "{} {}");
        assertRefused(refusal(model), "config.json': not valid JSON", "line 1");
        write("config.json", "{\"a\":1,\"a\":2}");
        assertRefused(refusal(model), "config.json': not valid JSON", "Duplicate");
        write("config.json", "{\"a\":" + "[".repeat(1000) + "]".repeat(1000) + "}");
        assertRefused(refusal(model), "config.json': not valid JSON", "nesting depth");
    }

    @Test
    void refusesAnIndexWithoutMap() throws IOException {
        RawFile.writeValid(model.resolve("model.safetensors"), "a");
        write(INDEX, "{\"weight_map\":[]}");
        assertRefused(refusal(model), INDEX + "': has no weight_map", "expected an object");
        write(INDEX, "{\"weight_map\":{}}");
        assertRefused(refusal(model), INDEX + "': has no weight_map", "expected an object");
        write(INDEX, "{\"weight_map\"");
        assertRefused(refusal(model), INDEX + "': not valid JSON", "line 1");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "../blob.safetensors",
                "/etc/x.safetensors",
                "a/b.safetensors",
                "..\\\\x.safetensors",
                "C:x.safetensors",
                "..",
                ".",
                "x\\u0000.safetensors",
                "pytorch_model.bin",
                ""
            })
    void refusesShardsOutsideTheDirectory(String shard) throws IOException {
        RawFile.writeValid(folder.resolve("blob.safetensors"), "a");
        index("{\"a\":\"" + shard + "\"}");
        assertRefused(refusal(model), "does not name a .safetensors file of this directory", "found");
    }

    @Test
    void refusesAnIndexWhoseShardIsNoText() throws IOException {
        index("{\"a\":7}");
        assertRefused(refusal(model), "does not name a .safetensors file", "found NUMBER");
    }

    @Test
    void listsMissingAndUnnamedShards() throws IOException {
        RawFile.writeValid(model.resolve("one.safetensors"), "a");
        RawFile.writeValid(model.resolve("stray.safetensors"), "x");
        index("{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\",\"c\":\"three.safetensors\"}");
        assertRefused(
                refusal(model),
                "names 2 of 3 files that are not there",
                "missing [three.safetensors, two.safetensors]; present but not named [stray.safetensors]");
    }

    @Test
    void refusesATensorMissingFromItsShard() throws IOException {
        RawFile.writeValid(model.resolve("one.safetensors"), "a");
        RawFile.writeValid(model.resolve("two.safetensors"), "b");
        index("{\"a\":\"one.safetensors\",\"b\":\"one.safetensors\",\"c\":\"two.safetensors\"}");
        assertRefused(refusal(model), "tensor 'b': tensor is not in the file", "found in 'two.safetensors'");
        index("{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\",\"c\":\"two.safetensors\"}");
        assertRefused(refusal(model), "tensor 'c': tensor is not in the file", "no file has it");
    }

    @Test
    void refusesATensorInTwoShards() throws IOException {
        RawFile.writeValid(model.resolve("one.safetensors"), "a");
        RawFile.writeValid(model.resolve("two.safetensors"), "a");
        HalftoneException refusal = refusal(model);
        assertTrue(
                refusal.getMessage().endsWith("tensor 'a': the same tensor is also in 'one.safetensors'"),
                refusal.getMessage());
    }

    @Test
    void namesTheBrokenShard() throws IOException {
        RawFile.writeValid(model.resolve("one.safetensors"), "a");
        write("two.safetensors", "version https://git-lfs.github.com/spec/v1\n");
        assertTrue(
                refusal(model).getMessage().startsWith("'" + model.resolve("two.safetensors") + "': is a 43-byte Git"));
    }

    @Test
    void saysWhichTensorIsMissingAndWhatComesClose() throws IOException {
        RawFile.writeValid(model.resolve("model.safetensors"), "model.layers.0.self_attn.q_proj.weight");
        try (Checkpoint checkpoint = Checkpoint.open(model)) {
            MalformedCheckpointException refusal = assertThrows(
                    MalformedCheckpointException.class,
                    () -> checkpoint.tensor("model.layers.0.self_attn.k_proj.weight"));
            assertRefused(
                    refusal,
                    "tensor 'model.layers.0.self_attn.k_proj.weight': tensor is missing",
                    "1 tensors, among them 'model.layers.0.self_attn.q_proj.weight'");
            assertEquals("model.layers.0.self_attn.k_proj.weight", refusal.tensor());
            assertThrows(MalformedCheckpointException.class, () -> checkpoint.file("absent"));
        }
    }

    private void write(String file, String text) throws IOException {
        Files.writeString(model.resolve(file), text);
    }

    private void index(String map) throws IOException {
        write(INDEX, "{\"metadata\":{\"total_size\":16},\"weight_map\":" + map + "}");
    }

    private static HalftoneException refusal(Path directory) {
        return assertThrows(
                HalftoneException.class, () -> Checkpoint.open(directory).close());
    }

    private static void assertRefused(HalftoneException refusal, String message, String detail) {
        assertTrue(refusal.getMessage().contains(message), refusal.getMessage());
        assertTrue(refusal.detail().contains(detail), refusal.detail());
        assertEquals(Kind.INPUT, refusal.kind());
    }
}

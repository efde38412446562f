package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.halftone.core.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class InspectCommandTest {
    private static final String MODEL =
            Shared.root().resolve("models/tiny-storyteller").toString();

    @TempDir
    Path folder;

    @Test
    void tellsWhatAFloatModelIs() {
        Invocation run = Invocation.of("inspect", MODEL);
        assertEquals(0, run.status(), run.err());
        assertTrue(run.out().contains("parameters     4.20 M, 3.15 M of them in 28 linears"), run.out());
        assertTrue(run.out().contains("quantization   none"), run.out());
        assertTrue(run.out().contains("context        1024 tokens"), run.out());
        assertTrue(run.out().contains("chat template  yes"), run.out());
    }

    @Test
    void tellsTheBitsOfAPackedModel() {
        String out = folder.resolve("out").toString();
        assertEquals(
                0,
                Invocation.of("quantize", MODEL, out, "--method", "rtn", "--bits", "3", "--group-size", "64")
                        .status());
        JsonNode done = Invocation.of("inspect", out, "--json").last();
        assertEquals("gptq 3-bit g64 symmetric", done.path("quantization").asText());
        assertEquals(
                4_196_608 - 3_145_728,
                done.path("parameters").asLong()
                        - done.path("linear_parameters").asLong());
        // 3 bits, and for each group of 64 a scale of 16 bits and a zero of 3; 4 bytes per input for its group.
        double groups = (16 + 3) / 64.0;
        assertEquals(3 + groups, done.path("bits_per_weight").asDouble(), 0.15);
        assertTrue(done.path("chat_template").asBoolean());
        assertTrue(done.path("tokenizer").asBoolean());
    }

    @Test
    void listsEveryTensor() {
        List<JsonNode> events =
                Invocation.of("inspect", MODEL, "--tensors", "--json").events();
        List<JsonNode> tensors = events.subList(0, events.size() - 1);
        assertEquals(4 * 9 + 2, tensors.size());
        long bytes = tensors.stream()
                .mapToLong(tensor -> tensor.path("bytes").asLong())
                .sum();
        assertEquals(events.getLast().path("bytes").asLong(), bytes);
        assertTrue(Invocation.of("inspect", MODEL, "--tensors").out().contains("model.layers.3.mlp.down_proj.weight"));
    }

    @Test
    void saysWhatIsWrongWithAFolder() throws IOException {
        Invocation empty = Invocation.of("inspect", folder.toString());
        assertEquals(3, empty.status());
        assertTrue(empty.err().contains("\n  try: "), empty.err());
        Files.writeString(folder.resolve("config.json"), "{\"architectures\": [\"MambaForCausalLM\"]}");
        Files.copy(Path.of(MODEL, "model.safetensors"), folder.resolve("model.safetensors"));
        Invocation mamba = Invocation.of("inspect", folder.toString());
        assertEquals(3, mamba.status());
        assertTrue(mamba.err().contains("MambaForCausalLM"), mamba.err());
        assertTrue(mamba.err().contains("supported: "), mamba.err());
    }

    @Test
    void makesControlCharactersInAConfigurationVisible() throws IOException {
        Files.writeString(folder.resolve("config.json"), "{\"architectures\": [\"\\u001b[2JEvil\"]}");
        Files.copy(Path.of(MODEL, "model.safetensors"), folder.resolve("model.safetensors"));
        Invocation run = Invocation.of("inspect", folder.toString());
        assertTrue(run.err().contains("\\u001b[2JEvil"), run.err());
        assertEquals(-1, run.err().indexOf('\u001b'));
    }

    @Test
    void tellsATruncatedFile() throws IOException {
        Files.copy(Path.of(MODEL, "config.json"), folder.resolve("config.json"));
        byte[] whole = Files.readAllBytes(Path.of(MODEL, "model.safetensors"));
        Files.write(folder.resolve("model.safetensors"), java.util.Arrays.copyOf(whole, whole.length / 4));
        Invocation run = Invocation.of("inspect", folder.toString());
        assertEquals(3, run.status());
        assertTrue(run.err().contains("model.safetensors"), run.err());
        assertTrue(run.err().contains("\n  try: "), run.err());
    }
}

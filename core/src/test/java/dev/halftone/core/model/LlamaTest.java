package dev.halftone.core.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.layout.LinearWeights;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class LlamaTest {
    private final Backend backend = new ReferenceBackend();

    @TempDir
    Path directory;

    private float[] logits(Path model) throws IOException {
        int[] tokens = {3, 1, 4, 1, 5, 9, 2, 6};
        try (Checkpoint checkpoint = Checkpoint.open(model);
                Llama llama = Llama.load(checkpoint, backend);
                KvCache cache = llama.allocateCache(1, 8);
                Workspace workspace = llama.workspace(8);
                Matrix hidden = backend.allocate(8, llama.config().hidden());
                Matrix logits = backend.allocate(8, llama.config().vocabulary())) {
            llama.forward(tokens, Batch.single(0, 8), cache, workspace, hidden);
            llama.logits(hidden, logits);
            float[] values = new float[8 * llama.config().vocabulary()];
            backend.copyOut(logits, values, 0);
            return values;
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"llama31", "llama-linear"})
    void loadsBothSpellingsOfTheRotaryRuleToEqualLogits(String family) throws IOException {
        try (GoldenFamily golden = GoldenFamily.open(family, directory)) {
            float[] old = logits(golden.directory());
            Files.move(
                    golden.directory().resolve("config-rope-parameters.json"),
                    golden.directory().resolve("config.json"),
                    StandardCopyOption.REPLACE_EXISTING);
            assertArrayEquals(old, logits(golden.directory()));
        }
    }

    @Test
    void bindsATiedTableOnce() throws IOException {
        try (GoldenFamily golden = GoldenFamily.open("smollm2", directory);
                Checkpoint checkpoint = golden.checkpoint();
                Llama llama = Llama.load(checkpoint, backend)) {
            LlamaConfig config = llama.config();
            long block = 2L * 54 * 54 + 2L * 54 * 18 + 3L * 54 * 44 + 2 * 54;
            assertEquals(4 * (97L * 54 + 2 * block + 54), llama.weightBytes());
            assertEquals(6, config.headSize());
        }
    }

    /// A copy of a family whose configuration says otherwise than its weights.
    private Path contradicting(String family, String key, String value) throws IOException {
        try (GoldenFamily golden = GoldenFamily.open(family, directory)) {
            ObjectNode config = golden.json("config.json");
            config.set(key, new ObjectMapper().readTree(value));
            Files.writeString(golden.directory().resolve("config.json"), config.toString());
            return golden.directory();
        }
    }

    @ParameterizedTest
    @CsvSource({
        "llama2, vocab_size, 98, model.embed_tokens.weight",
        "llama2, intermediate_size, 46, mlp.gate_proj.weight",
        "llama2, num_key_value_heads, 2, self_attn.k_proj.weight",
        "llama2, head_dim, 16, self_attn.q_proj.weight",
        "llama2, attention_bias, true, self_attn.q_proj.bias",
        "llama2, num_hidden_layers, 3, model.layers.2.self_attn.q_proj",
        "llama-headdim, attention_bias, false, self_attn.q_proj.bias",
        "llama-headdim, mlp_bias, false, mlp.gate_proj.bias",
        "smollm2, tie_word_embeddings, false, lm_head",
    })
    void namesTheTensorThatDoesNotFitTheConfiguration(String family, String key, String value, String tensor)
            throws IOException {
        Path model = contradicting(family, key, value);
        try (Checkpoint checkpoint = Checkpoint.open(model)) {
            MalformedCheckpointException fault =
                    assertThrows(MalformedCheckpointException.class, () -> Llama.load(checkpoint, backend));
            assertTrue(fault.explanation().contains(tensor), fault.explanation());
        }
    }

    @Test
    void refusesANormOfIntegers() throws IOException {
        try (GoldenFamily golden = GoldenFamily.open("llama2", directory)) {
            Path weights = golden.directory().resolve("model.safetensors");
            // Same size, another type: the header alone changes.
            byte[] bytes = Files.readAllBytes(weights);
            String text = new String(bytes, StandardCharsets.ISO_8859_1);
            int at = text.indexOf("F32", text.indexOf("\"model.norm.weight\""));
            bytes[at] = 'I';
            Files.write(weights, bytes);
            try (Checkpoint checkpoint = golden.checkpoint()) {
                MalformedCheckpointException fault =
                        assertThrows(MalformedCheckpointException.class, () -> Llama.load(checkpoint, backend));
                assertEquals("model.norm.weight", fault.tensor());
                assertTrue(fault.explanation().contains("I32"), fault.explanation());
            }
        }
    }

    @Test
    void refusesBatchesAndTokensThatDoNotFit() throws IOException {
        try (GoldenFamily golden = GoldenFamily.open("llama2", directory);
                Checkpoint checkpoint = golden.checkpoint();
                Llama llama = Llama.load(checkpoint, backend);
                KvCache cache = llama.allocateCache(2, 6);
                Workspace workspace = llama.workspace(4);
                Matrix hidden = backend.allocate(4, 32)) {
            int[] tokens = {1, 2, 3, 4};
            llama.forward(tokens, Batch.single(2, 4), cache, workspace, hidden);
            assertThrows(
                    IllegalArgumentException.class,
                    () -> llama.forward(tokens, Batch.single(3, 4), cache, workspace, hidden));
            assertThrows(
                    IllegalArgumentException.class,
                    () -> llama.forward(tokens, new Batch().add(2, 0, 4), cache, workspace, hidden));
            assertThrows(
                    IllegalArgumentException.class,
                    () -> llama.forward(tokens, Batch.single(0, 3), cache, workspace, hidden));
            assertThrows(
                    IllegalArgumentException.class,
                    () -> llama.forward(new int[] {1, 2, 3}, Batch.single(0, 4), cache, workspace, hidden));
            for (int outside : new int[] {-1, 97}) {
                assertThrows(
                        IllegalArgumentException.class,
                        () -> llama.forward(
                                new int[] {1, 2, 3, outside}, Batch.single(0, 4), cache, workspace, hidden));
            }
        }
        try (Workspace workspace = workspaceOf("llama2", 4)) {
            assertThrows(
                    IllegalArgumentException.class, () -> workspace.angles().prepare(Batch.single(0, 5)));
        }
    }

    private Workspace workspaceOf(String family, int rows) throws IOException {
        try (GoldenFamily golden = GoldenFamily.open(family, directory)) {
            return new Workspace(backend, LlamaConfig.of(golden.json("config.json")), rows);
        }
    }

    @Test
    void exchangesALinearForOneOfTheSameShapeOnly() throws IOException {
        try (GoldenFamily golden = GoldenFamily.open("llama2", directory);
                Checkpoint checkpoint = golden.checkpoint()) {
            LlamaConfig config = LlamaConfig.of(checkpoint.config());
            LinearWeights weights = LinearWeights.of(checkpoint);
            try (DecoderBlock block = DecoderBlock.load(config, 0, weights, checkpoint, backend)) {
                var other = backend.bind(weights.weight("model.layers.1.self_attn.k_proj"), null);
                block.replace("self_attn.q_proj", other);
                assertEquals(other, block.linear("self_attn.q_proj"));
                var wide = backend.bind(weights.weight("model.layers.1.mlp.up_proj"), null);
                assertThrows(IllegalArgumentException.class, () -> block.replace("self_attn.q_proj", wide));
                assertThrows(IllegalArgumentException.class, () -> block.linear("q_proj"));
            }
        }
    }
}

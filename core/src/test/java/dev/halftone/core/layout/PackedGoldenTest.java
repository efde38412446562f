package dev.halftone.core.layout;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.testing.Shared;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.Weight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Against checkpoints that GPTQModel wrote.
class GptqGoldenTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    @ParameterizedTest
    @ValueSource(
            strings = {
                "gptq-w4-g64-sym",
                "gptq-w4-g64-asym",
                "gptq-w4-g128-desc-act",
                "gptq-v2-w4-g32-asym",
                "gptq-w8-g128-sym"
            })
    void restoresTheWeightsThatTheOriginalToolMeant(String folder) throws Exception {
        Path directory = Shared.directory("golden").resolve(folder);
        JsonNode hashes =
                JSON.readTree(directory.resolve("expected.json").toFile()).get("restored_weight_sha256");
        assertEquals(28, hashes.size());
        try (Checkpoint checkpoint = Checkpoint.open(directory)) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            for (Map.Entry<String, JsonNode> expected : hashes.properties()) {
                String linear = linear(expected.getKey());
                assertEquals(expected.getValue().textValue(), sha256(weights.weight(linear)), linear);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "gptq-w4-g64-sym",
                "gptq-w4-g64-asym",
                "gptq-w4-g128-desc-act",
                "gptq-v2-w4-g32-asym",
                "gptq-w8-g128-sym"
            })
    void packsTheSameBytesAgain(String folder) throws Exception {
        try (Checkpoint checkpoint = Checkpoint.open(Shared.directory("golden").resolve(folder));
                Arena arena = Arena.ofConfined()) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            PackedLayout layout = weights.layout().orElseThrow();
            int compared = 0;
            for (String name : checkpoint.tensors().keySet()) {
                if (!name.endsWith(".qweight")) {
                    continue;
                }
                String linear = linear(name);
                QuantizedWeight weight = (QuantizedWeight) weights.weight(linear);
                List<TensorSpec> specs = layout.specs(linear, weight.outputs(), weight.inputs(), weight.scheme());
                List<Tensor> packed = layout.pack(linear, weight, arena);
                assertEquals(specs, packed.stream().map(TensorSpec::of).toList());
                for (Tensor tensor : packed) {
                    Tensor original = checkpoint.tensor(tensor.name());
                    assertEquals(TensorSpec.of(original), TensorSpec.of(tensor));
                    assertArrayEquals(bytes(original), bytes(tensor), tensor.name());
                    compared++;
                }
            }
            assertEquals(28 * 4, compared);
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "gptq-w4-g64-sym",
                "gptq-w4-g64-asym",
                "gptq-w4-g128-desc-act",
                "gptq-v2-w4-g32-asym",
                "gptq-w8-g128-sym"
            })
    void writesTheConfigurationThatTheOriginalToolWrote(String folder) throws Exception {
        try (Checkpoint checkpoint = Checkpoint.open(Shared.directory("golden").resolve(folder))) {
            ObjectNode original = (ObjectNode) checkpoint.config().get("quantization_config");
            assertEquals(original, checkpoint.json("quantize_config.json").orElseThrow());
            PackedLayout layout = LinearWeights.of(checkpoint).layout().orElseThrow();
            QuantizationScheme scheme = QuantizationScheme.gptq(
                    original.get("bits").intValue(),
                    original.get("group_size").intValue(),
                    original.get("sym").booleanValue());
            ObjectNode ours = layout.config(scheme, "halftone:1.2.3", Map.of("damp_percent", 0.05), List.of());
            assertEquals(
                    "{\"quantizer\":[\"halftone:1.2.3\"],\"damp_percent\":0.05}",
                    ours.remove("meta").toString());
            assertNotNull(original.remove("meta"));
            assertEquals(original, ours);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"gptq-w4-g128-desc-act"})
    void keepsTheGroupsOfReorderedColumns(String folder) throws Exception {
        try (Checkpoint checkpoint = Checkpoint.open(Shared.directory("golden").resolve(folder))) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            assertEquals(
                    "gptq 4-bit g128 symmetric act-order", weights.description().orElseThrow());
            QuantizedWeight weight = (QuantizedWeight) weights.weight("model.layers.0.self_attn.q_proj");
            assertNotNull(weight.groupOfColumn());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"awq-gemm-w4-g64", "ct-gptq-w4a16-g64-sym"})
    void refusesFormatsOfOtherFamiliesByName(String folder) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(Shared.directory("golden").resolve(folder))) {
            String message = Refusal.of(() -> LinearWeights.of(checkpoint));
            String method = checkpoint
                    .config()
                    .get("quantization_config")
                    .get("quant_method")
                    .textValue();
            assertEquals(
                    "'" + checkpoint.directory().resolve("config.json") + "': quant_method '" + method
                            + "' is not supported | supported: gptq",
                    message);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"tiny-storyteller"})
    void readsADenseModelAsItIs(String folder) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(Shared.directory("models").resolve(folder))) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            assertFalse(weights.layout().isPresent());
            Weight weight = weights.weight("model.layers.0.mlp.down_proj");
            assertEquals(256, weight.outputs());
            assertEquals(768, weight.inputs());
        }
    }

    private static String linear(String tensor) {
        return tensor.substring(0, tensor.lastIndexOf('.'));
    }

    private static byte[] bytes(Tensor tensor) {
        return tensor.data().toArray(ValueLayout.JAVA_BYTE);
    }

    private static String sha256(Weight weight) throws NoSuchAlgorithmException {
        float[] values = weight.restore();
        ByteBuffer bytes = ByteBuffer.allocate(values.length * 4).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(values);
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes.array()));
    }
}

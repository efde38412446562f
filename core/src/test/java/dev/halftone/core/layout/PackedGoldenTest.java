package dev.halftone.core.layout;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.testing.Shared;
import dev.halftone.core.weight.ActivationScheme;
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
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Against checkpoints that GPTQModel and llm-compressor wrote.
class PackedGoldenTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int LINEARS = 28;

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "gptq-w4-g64-sym|gptq 4-bit g64 symmetric",
                "gptq-w4-g64-asym|gptq 4-bit g64 asymmetric",
                "gptq-w4-g128-desc-act|gptq 4-bit g128 symmetric act-order",
                "gptq-v2-w4-g32-asym|gptq_v2 4-bit g32 asymmetric",
                "gptq-w8-g128-sym|gptq 8-bit g128 symmetric",
                "awq-gemm-w4-g64|awq 4-bit g64 asymmetric",
                "ct-gptq-w4a16-g64-sym|compressed-tensors 4-bit g64 symmetric",
                "ct-gptq-w4a16-g64-actorder|compressed-tensors 4-bit g64 symmetric",
                "ct-awq-w4a16-g64-asym|compressed-tensors 4-bit g64 asymmetric",
                "ct-w8a16-channel|compressed-tensors 8-bit g128 symmetric",
                "ct-sq-gptq-w8a8|compressed-tensors 8-bit per channel symmetric, made for 8-bit inputs per token",
                "ct-w8a8-static|compressed-tensors 8-bit per channel symmetric, made for 8-bit inputs of one scale"
            })
    void restoresTheWeightsThatTheOriginalToolMeant(String folder, String description) throws Exception {
        Path directory = Shared.directory("golden").resolve(folder);
        JsonNode hashes = hashes(directory);
        assertEquals(LINEARS, hashes.size());
        try (Checkpoint checkpoint = Checkpoint.open(directory)) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            assertEquals(description, weights.description().orElseThrow());
            for (Map.Entry<String, JsonNode> expected : hashes.properties()) {
                String linear = linear(expected.getKey());
                assertEquals(expected.getValue().textValue(), sha256(weights.weight(linear)), linear);
            }
        }
    }

    @ParameterizedTest
    @CsvSource({
        "gptq-w4-g64-sym, 4",
        "gptq-w4-g64-asym, 4",
        "gptq-w4-g128-desc-act, 4",
        "gptq-v2-w4-g32-asym, 4",
        "gptq-w8-g128-sym, 4",
        "awq-gemm-w4-g64, 3",
        "ct-gptq-w4a16-g64-sym, 3",
        "ct-gptq-w4a16-g64-actorder, 3",
        "ct-awq-w4a16-g64-asym, 4",
        "ct-w8a16-channel, 3",
        "ct-sq-gptq-w8a8, 2",
        "ct-w8a8-static, 3"
    })
    void packsTheSameBytesAgain(String folder, int tensors) throws Exception {
        Path directory = Shared.directory("golden").resolve(folder);
        try (Checkpoint checkpoint = Checkpoint.open(directory);
                Arena arena = Arena.ofConfined()) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            PackedLayout layout = weights.layout().orElseThrow();
            Set<String> compared = new TreeSet<>();
            Set<String> originals = new TreeSet<>();
            for (Map.Entry<String, JsonNode> hash : hashes(directory).properties()) {
                String linear = linear(hash.getKey());
                QuantizedWeight weight = (QuantizedWeight) weights.weight(linear);
                List<TensorSpec> specs = layout.specs(linear, weight.outputs(), weight.inputs(), weight.scheme());
                List<Tensor> packed = layout.pack(linear, weight, arena);
                assertEquals(specs, packed.stream().map(TensorSpec::of).toList());
                for (Tensor tensor : packed) {
                    Tensor original = checkpoint.tensor(tensor.name());
                    assertEquals(TensorSpec.of(original), TensorSpec.of(tensor));
                    assertArrayEquals(bytes(original), bytes(tensor), tensor.name());
                    compared.add(tensor.name());
                }
                checkpoint.tensors().keySet().stream()
                        .filter(name -> linear(name).equals(linear))
                        .forEach(originals::add);
            }
            assertEquals(LINEARS * tensors, compared.size());
            assertEquals(originals, compared);
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
    void writesTheConfigurationThatGptqModelWrote(String folder) throws Exception {
        try (Checkpoint checkpoint = Checkpoint.open(Shared.directory("golden").resolve(folder))) {
            ObjectNode original = section(checkpoint);
            assertEquals(original, checkpoint.json("quantize_config.json").orElseThrow());
            QuantizationScheme scheme = QuantizationScheme.gptq(
                    original.get("bits").intValue(),
                    original.get("group_size").intValue(),
                    original.get("sym").booleanValue());
            ObjectNode ours = LinearWeights.of(checkpoint)
                    .layout()
                    .orElseThrow()
                    .config(scheme, "halftone:1.2.3", Map.of("damp_percent", 0.05), List.of());
            assertEquals(
                    "{\"quantizer\":[\"halftone:1.2.3\"],\"damp_percent\":0.05}",
                    ours.remove("meta").toString());
            assertNotNull(original.remove("meta"));
            assertEquals(original, ours);
        }
    }

    @Test
    void writesTheConfigurationThatGptqModelWroteForAwq() throws Exception {
        try (Checkpoint checkpoint = Checkpoint.open(Shared.directory("golden").resolve("awq-gemm-w4-g64"))) {
            ObjectNode original = section(checkpoint);
            QuantizationScheme scheme = QuantizationScheme.awq(4, 64, false);
            ObjectNode ours = AwqGemmLayout.of(scheme).config(scheme, "halftone:1.2.3", Map.of(), List.of());
            assertEquals(
                    "{\"quantizer\":[\"halftone:1.2.3\"]}", ours.remove("meta").toString());
            assertNotNull(original.remove("meta"));
            // Which linears are in floating point, other readers look for there.
            assertTrue(ours.remove("modules_to_not_convert").isNull());
            assertEquals(original, ours);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "ct-gptq-w4a16-g64-sym, 4, 64, true, NONE",
        "ct-gptq-w4a16-g64-actorder, 4, 64, true, NONE",
        "ct-awq-w4a16-g64-asym, 4, 64, false, NONE",
        "ct-w8a16-channel, 8, 128, true, NONE",
        "ct-sq-gptq-w8a8, 8, -1, true, PER_TOKEN",
        "ct-w8a8-static, 8, -1, true, PER_TENSOR"
    })
    void writesTheConfigurationThatLlmCompressorWrote(
            String folder, int bits, int groupSize, boolean symmetric, ActivationScheme.Kind activations)
            throws Exception {
        try (Checkpoint checkpoint = Checkpoint.open(Shared.directory("golden").resolve(folder))) {
            ObjectNode original = section(checkpoint);
            QuantizationScheme scheme = QuantizationScheme.compressedTensors(bits, groupSize, symmetric, DType.BF16);
            ObjectNode ours = PackedLayouts.of("compressed-tensors", scheme, activations)
                    .config(scheme, "halftone:1.2.3", Map.of("damp_percent", 0.05), List.of());
            // Empty, and unknown to older readers.
            original.remove(List.of("sparsity_config", "transform_config"));
            ObjectNode group = (ObjectNode) original.at("/config_groups/group_0");
            for (String part : List.of("weights", "input_activations")) {
                if (group.get(part) instanceof ObjectNode arguments) {
                    arguments.remove(List.of("scale_dtype", "zp_dtype"));
                    // How scales were found, of which nothing is left in the file.
                    arguments.putNull("actorder").putNull("observer");
                }
            }
            assertEquals(original, ours);
        }
    }

    @Test
    void keepsTheGroupsOfReorderedColumns() throws Exception {
        try (Checkpoint checkpoint = Checkpoint.open(Shared.directory("golden").resolve("gptq-w4-g128-desc-act"))) {
            QuantizedWeight weight =
                    (QuantizedWeight) LinearWeights.of(checkpoint).weight("model.layers.0.self_attn.q_proj");
            assertNotNull(weight.groupOfColumn());
        }
    }

    @Test
    void readsHowInputsAreToBeRounded() throws Exception {
        Path golden = Shared.directory("golden");
        String linear = "model.layers.3.mlp.down_proj";
        try (Checkpoint weightsOnly = Checkpoint.open(golden.resolve("ct-w8a16-channel"));
                Checkpoint dynamic = Checkpoint.open(golden.resolve("ct-sq-gptq-w8a8"));
                Checkpoint fixed = Checkpoint.open(golden.resolve("ct-w8a8-static"))) {
            assertEquals(ActivationScheme.NONE, activations(weightsOnly, linear));
            assertEquals(ActivationScheme.PER_TOKEN, activations(dynamic, linear));
            assertEquals(
                    ActivationScheme.perTensor(
                            fixed.tensor(linear + ".input_scale").toFloats()[0]),
                    activations(fixed, linear));
        }
    }

    private static ActivationScheme activations(Checkpoint checkpoint, String linear) {
        return ((QuantizedWeight) LinearWeights.of(checkpoint).weight(linear)).activations();
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

    private static JsonNode hashes(Path directory) throws IOException {
        return JSON.readTree(directory.resolve("expected.json").toFile()).get("restored_weight_sha256");
    }

    private static ObjectNode section(Checkpoint checkpoint) {
        return (ObjectNode) checkpoint.config().get("quantization_config");
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

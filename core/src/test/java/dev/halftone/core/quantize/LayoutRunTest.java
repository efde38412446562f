package dev.halftone.core.quantize;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.layout.PackedLayouts;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.testing.Shared;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.Weight;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Writes a whole model in every layout. With `-Dhalftone.layouts=DIRECTORY` the folders stay there, each with the
/// logits
/// that it has here, for `tools/interop/load_elsewhere.py`.
class LayoutRunTest {
    private static final String KEPT = "halftone.layouts";

    private final Backend backend = new ReferenceBackend();

    @TempDir
    private Path temporary;

    @ParameterizedTest
    @CsvSource({
        "gptq, 4, 64, true, NONE",
        "gptq, 4, 64, false, NONE",
        "gptq, 8, -1, true, NONE",
        "gptq_v2, 4, 32, false, NONE",
        "awq, 4, 64, false, NONE",
        "compressed-tensors, 4, 64, true, NONE",
        "compressed-tensors, 4, 128, false, NONE",
        "compressed-tensors, 8, -1, true, NONE",
        "compressed-tensors, 8, -1, true, PER_TOKEN",
        "compressed-tensors, 8, -1, true, PER_TENSOR"
    })
    void writesAModelThatReadsBackAsItWasRounded(
            String name, int bits, int groupSize, boolean symmetric, ActivationScheme.Kind activations)
            throws IOException {
        Path source = Shared.directory("models").resolve("tiny-storyteller");
        Path target = directory()
                .resolve(String.join(
                        "-", name, bits + "", groupSize + "", symmetric ? "sym" : "asym", activations + ""));
        QuantizationScheme scheme = PackedLayouts.scheme(name, bits, groupSize, symmetric, DType.BF16);
        Recipe recipe = new Recipe(
                List.of(),
                new RoundToNearest(),
                scheme,
                PackedLayouts.of(name, scheme, activations),
                rounding(activations));
        int[] tokens = IntStream.range(0, 24).map(i -> i * 37 % 500).toArray();
        Calibration calibration = Calibration.of("text", tokens, 2, 12);
        QuantizationReport report =
                new QuantizationRun(source, target, recipe, calibration, backend).run(new QuantizationListener() {});
        assertEquals(28, report.verified());
        try (Checkpoint before = Checkpoint.open(source);
                Checkpoint after = Checkpoint.open(target)) {
            LinearWeights weights = LinearWeights.of(after);
            QuantizedWeight read = (QuantizedWeight) weights.weight("model.layers.2.self_attn.k_proj");
            Weight original = LinearWeights.of(before).weight("model.layers.2.self_attn.k_proj");
            assertEquals(scheme, read.scheme());
            assertEquals(activations, read.activations().kind());
            assertArrayEquals(RoundToNearest.round(original, scheme, backend).restore(), read.restore());
            ObjectNode section = (ObjectNode) after.config().get("quantization_config");
            assertEquals(name.replace("_v2", ""), section.get("quant_method").textValue());
            Optional<ObjectNode> own = after.json("quantize_config.json");
            if (name.equals("compressed-tensors")) {
                // A tool that finds this file takes the folder for GPTQ.
                assertFalse(own.isPresent());
            } else {
                assertEquals(section, own.orElseThrow());
                assertEquals("rtn", section.at("/meta/algorithm").textValue());
            }
            assertTrue(after.json("halftone.json").orElseThrow().has("scheme"));
        }
        if (System.getProperty(KEPT) != null) {
            ObjectNode run = new ObjectMapper().createObjectNode();
            run.putPOJO("tokens", ModelRun.tokens()).putPOJO("logits", ModelRun.logits(target, backend));
            Files.writeString(target.resolve("halftone_logits.json"), run.toString());
        }
    }

    private Path directory() throws IOException {
        String kept = System.getProperty(KEPT);
        return kept == null ? temporary : Files.createDirectories(Path.of(kept));
    }

    private static InputRounding rounding(ActivationScheme.Kind kind) {
        return switch (kind) {
            case NONE -> InputRounding.NONE;
            case PER_TOKEN -> InputRounding.PER_TOKEN;
            case PER_TENSOR -> InputRounding.perTensor(InputRange.MIN_MAX);
        };
    }
}

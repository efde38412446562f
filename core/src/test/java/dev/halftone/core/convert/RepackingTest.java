package dev.halftone.core.convert;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.layout.PackedLayouts;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.quantize.Calibration;
import dev.halftone.core.quantize.InputRounding;
import dev.halftone.core.quantize.QuantizationListener;
import dev.halftone.core.quantize.QuantizationRun;
import dev.halftone.core.quantize.Recipe;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.quantize.SchemeOverride;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.testing.Shared;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.Weight;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Folders that GPTQModel and llm-compressor packed, in every other layout that can hold them.
class RepackingTest {
    private static final QuantizationListener SILENT = new QuantizationListener() {};

    @TempDir
    Path folder;

    private ConversionReport repack(Path source, String target, String layout) throws IOException {
        return Conversion.repack(source, folder.resolve(target), layout, ConversionProgress.SILENT);
    }

    private static Path golden(String name) {
        return Shared.directory("golden").resolve(name);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "awq-gemm-w4-g64|gptq_v2, awq, compressed-tensors",
                "ct-awq-w4a16-g64-asym|gptq_v2, awq, compressed-tensors",
                "ct-gptq-w4a16-g64-actorder|gptq, gptq_v2, awq, compressed-tensors",
                "ct-gptq-w4a16-g64-sym|gptq, gptq_v2, awq, compressed-tensors",
                "ct-sq-gptq-w8a8|compressed-tensors",
                "ct-w8a8-static|compressed-tensors",
                "ct-w8a16-channel|gptq, gptq_v2, compressed-tensors",
                "gptq-v2-w4-g32-asym|gptq, gptq_v2, awq, compressed-tensors",
                "gptq-w4-g128-desc-act|gptq, gptq_v2",
                "gptq-w4-g64-asym|gptq, gptq_v2, awq, compressed-tensors",
                "gptq-w4-g64-sym|gptq, gptq_v2, awq, compressed-tensors",
                "gptq-w8-g128-sym|gptq, gptq_v2, compressed-tensors"
            })
    void theSameNumbersInEveryLayout(String name, String layouts) throws IOException {
        Path source = golden(name);
        for (String layout : layouts.split(", ")) {
            assertTrue(repack(source, layout, layout).exact(), layout);
            requireSame(source, folder.resolve(layout), layout);
        }
    }

    private static void requireSame(Path source, Path target, String layout) throws IOException {
        try (Checkpoint before = Checkpoint.open(source);
                Checkpoint after = Checkpoint.open(target)) {
            LinearWeights original = LinearWeights.of(before);
            LinearWeights written = LinearWeights.of(after);
            assertEquals(layout, written.layout().orElseThrow().name());
            int packed = 0;
            for (ModelTensors.Entry entry : ModelTensors.of(LlamaConfig.of(before.config()))) {
                if (entry.role() != ModelTensors.Role.LINEAR) {
                    assertEquals(
                            -1,
                            before.tensor(entry.name())
                                    .data()
                                    .mismatch(after.tensor(entry.name()).data()));
                    continue;
                }
                Weight first = original.weight(entry.linear());
                Weight second = written.weight(entry.linear());
                assertArrayEquals(first.restore(), second.restore(), entry.linear());
                if (first instanceof QuantizedWeight codes) {
                    QuantizedWeight others = (QuantizedWeight) second;
                    assertArrayEquals(codes.codes(), others.codes());
                    assertArrayEquals(codes.zeros(), others.zeros());
                    assertEquals(codes.activations(), others.activations());
                    packed++;
                }
            }
            assertEquals(28, packed);
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "awq-gemm-w4-g64|gptq|has a zero point of 0, which the gptq format cannot hold",
                "gptq-w4-g128-desc-act|awq|the layout 'awq' holds groups of neighbouring columns only",
                "gptq-w4-g128-desc-act|compressed-tensors|holds groups of neighbouring columns only",
                "gptq-w8-g128-sym|awq|the AWQ format cannot hold 8-bit codes",
                "ct-w8a8-static|gptq|the layout 'gptq' is for weights alone"
            })
    void refusesWhatALayoutHasNoPlaceFor(String name, String layout, String what) {
        Path source = golden(name);
        HalftoneException refusal = assertThrows(HalftoneException.class, () -> repack(source, "out", layout));
        assertEquals(Kind.USAGE, refusal.kind());
        assertTrue(refusal.getMessage().contains(what), refusal.getMessage());
        assertTrue(Files.notExists(folder.resolve("out")));
    }

    @Test
    void refusesAFloatModel() {
        Path source = Shared.root().resolve("models/tiny-storyteller");
        HalftoneException refusal = assertThrows(HalftoneException.class, () -> repack(source, "out", "gptq"));
        assertTrue(refusal.getMessage().contains("is not quantized"), refusal.getMessage());
        assertTrue(Files.notExists(folder.resolve("out")));
    }

    /// Linears of other bits, others in floating point, a head of its own, and scales in bfloat16.
    @Test
    void keepsExceptionsAndTheHead() throws IOException {
        QuantizationScheme scheme = PackedLayouts.scheme("compressed-tensors", 4, 64, true, DType.BF16);
        Recipe recipe = new Recipe(
                        List.of(),
                        new RoundToNearest(),
                        scheme,
                        PackedLayouts.of("compressed-tensors", scheme, ActivationScheme.Kind.NONE),
                        InputRounding.NONE)
                .withOverrides(List.of(
                        SchemeOverride.leave(Pattern.compile("layers\\.0\\.mlp\\.(gate|up)_proj")),
                        SchemeOverride.round(Pattern.compile("down_proj"), 8, 32)))
                .withHeadBits(8);
        Path source = folder.resolve("mixed");
        new QuantizationRun(
                        Shared.directory("models").resolve("tiny-storyteller"),
                        source,
                        recipe,
                        (Calibration) null,
                        new ReferenceBackend())
                .run(SILENT);
        assertTrue(repack(source, "v2", "gptq_v2").exact());
        assertTrue(repack(folder.resolve("v2"), "back", "compressed-tensors").exact());
        for (String target : List.of("v2", "back")) {
            try (Checkpoint before = Checkpoint.open(source);
                    Checkpoint after = Checkpoint.open(folder.resolve(target))) {
                LinearWeights original = LinearWeights.of(before);
                LinearWeights written = LinearWeights.of(after);
                for (String linear : List.of(
                        "lm_head",
                        "model.layers.0.mlp.up_proj",
                        "model.layers.0.mlp.down_proj",
                        "model.layers.3.self_attn.q_proj")) {
                    Weight weight = written.weight(linear);
                    assertArrayEquals(original.weight(linear).restore(), weight.restore(), linear);
                    if (linear.endsWith("up_proj")) {
                        assertTrue(weight instanceof DenseWeight);
                    } else {
                        int bits = linear.endsWith("q_proj") ? 4 : 8;
                        assertEquals(bits, ((QuantizedWeight) weight).scheme().bits());
                    }
                }
            }
        }
        HalftoneException refusal = assertThrows(HalftoneException.class, () -> repack(source, "out", "awq"));
        assertEquals(Kind.USAGE, refusal.kind());
        assertTrue(Files.notExists(folder.resolve("out")));
    }
}

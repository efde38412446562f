package dev.halftone.core.convert;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.GgufType;
import dev.halftone.core.convert.ConversionReport.TensorReport;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.testing.Shared;
import dev.halftone.core.weight.QuantizedWeight;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Checkpoints that GPTQModel packed, written as GGUF and read again.
class PackedExportTest {
    @TempDir
    Path folder;

    /// The packed model with the tokenizer of the model that it was made from.
    private Path model(String name) throws IOException {
        Path directory = Files.createDirectory(folder.resolve(name));
        try (Stream<Path> files = Files.list(Shared.directory("golden").resolve(name))) {
            for (Path file : files.toList()) {
                Files.copy(file, directory.resolve(file.getFileName()));
            }
        }
        for (String file : new String[] {"tokenizer.json", "tokenizer_config.json"}) {
            Files.copy(Shared.directory("models").resolve("tiny-storyteller").resolve(file), directory.resolve(file));
        }
        return directory;
    }

    private ConversionReport export(Path model, GgufType linears) throws IOException {
        return Conversion.toGguf(
                model, folder.resolve("m.gguf"), GgufOptions.of(linears, GgufType.F16), ConversionProgress.SILENT);
    }

    private static List<TensorReport> linears(ConversionReport report) {
        return report.tensors().stream()
                .filter(tensor ->
                        tensor.name().matches("blk\\.\\d+\\.(attn_[qkv]|attn_output|ffn_(gate|up|down))\\.weight"))
                .toList();
    }

    @ParameterizedTest
    @CsvSource({"gptq-w4-g64-sym,Q4_0", "gptq-w8-g128-sym,Q8_0"})
    void movesSymmetricCodesWithoutAnyChange(String name, String type) throws IOException {
        Path model = model(name);
        ConversionReport report = export(model, GgufType.F32);
        assertEquals(28, linears(report).size());
        for (TensorReport tensor : linears(report)) {
            assertEquals(new TensorReport(tensor.name(), type, 0), tensor);
        }
        Path back = folder.resolve("back");
        Conversion.toDense(folder.resolve("m.gguf"), back, DType.F32, ConversionProgress.SILENT);
        requireSameLinears(model, back);
    }

    private static void requireSameLinears(Path packed, Path dense) throws IOException {
        try (Checkpoint before = Checkpoint.open(packed);
                Checkpoint after = Checkpoint.open(dense)) {
            LinearWeights weights = LinearWeights.of(before);
            int compared = 0;
            for (var entry : ModelTensors.of(LlamaConfig.of(before.config()))) {
                if (entry.role() == ModelTensors.Role.LINEAR) {
                    assertArrayEquals(
                            weights.weight(entry.linear()).restore(),
                            after.tensor(entry.name()).toFloats(),
                            entry.name());
                    compared++;
                }
            }
            assertEquals(28, compared);
        }
    }

    @ParameterizedTest
    @CsvSource({"gptq-w4-g64-asym", "gptq-v2-w4-g32-asym"})
    void movesAsymmetricCodesUpToTheRoundingOfTheMinimum(String name) throws IOException {
        Path model = model(name);
        ConversionReport report = export(model, GgufType.F32);
        double largestMinimum = 0;
        try (Checkpoint checkpoint = Checkpoint.open(model)) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            for (var entry : ModelTensors.of(LlamaConfig.of(checkpoint.config()))) {
                if (entry.role() == ModelTensors.Role.LINEAR
                        && weights.weight(entry.linear()) instanceof QuantizedWeight weight) {
                    for (int cell = 0; cell < weight.scales().length; cell++) {
                        largestMinimum = Math.max(largestMinimum, weight.scales()[cell] * weight.zeros()[cell]);
                    }
                }
            }
        }
        double found = 0;
        for (TensorReport tensor : linears(report)) {
            assertEquals("Q4_1", tensor.stored());
            found = Math.max(found, tensor.largestDifference());
        }
        assertTrue(found > 0);
        // Half a unit in the last place of float16, and of the float32 sum.
        assertTrue(found <= largestMinimum * (0x1p-11 + 0x1p-22), found + " of " + largestMinimum);
    }

    @Test
    void roundsAnewWhatNoBlockCanHold() throws IOException {
        ConversionReport report = export(model("gptq-w4-g128-desc-act"), GgufType.Q8_0);
        for (TensorReport tensor : linears(report)) {
            assertEquals("Q8_0", tensor.stored());
            assertFalse(tensor.exact(), tensor.name());
        }
    }

    @Test
    void restoresAPackedModelToFloats() throws IOException {
        Path model = model("gptq-w4-g128-desc-act");
        Path dense = folder.resolve("dense");
        ConversionReport report = Conversion.toDense(model, dense, DType.F32, ConversionProgress.SILENT);
        assertTrue(report.exact());
        requireSameLinears(model, dense);
        assertFalse(Files.exists(dense.resolve("quantize_config.json")));
        assertTrue(Files.exists(dense.resolve("tokenizer_config.json")));
    }
}

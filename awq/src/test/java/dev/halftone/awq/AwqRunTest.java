package dev.halftone.awq;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.CheckpointWriter;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.layout.GptqLayout;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.Workspace;
import dev.halftone.core.quantize.BlockTransform;
import dev.halftone.core.quantize.Calibration;
import dev.halftone.core.quantize.LinearReport;
import dev.halftone.core.quantize.QuantizationError;
import dev.halftone.core.quantize.QuantizationListener;
import dev.halftone.core.quantize.QuantizationReport;
import dev.halftone.core.quantize.QuantizationRun;
import dev.halftone.core.quantize.Recipe;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.quantize.WeightQuantizer;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.testing.SplittingBackend;
import dev.halftone.core.testing.SyntheticCheckpoint;
import dev.halftone.core.weight.QuantizationScheme;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Scaling and clipping inside the loop over the layers.
class AwqRunTest {
    private static final QuantizationListener SILENT = new QuantizationListener() {};

    private final Backend backend = new ReferenceBackend();

    @TempDir
    private Path folder;

    private Path source;

    /// Grouped queries, and norms that make every seventh channel loud, as those of real models do.
    @BeforeEach
    void writeTheModel() throws IOException {
        Path even = folder.resolve("even");
        source = folder.resolve("model");
        ObjectNode config = SyntheticCheckpoint.tinyConfig();
        SyntheticCheckpoint.write(even, config, DType.BF16, 11);
        try (Checkpoint checkpoint = Checkpoint.open(even);
                Arena arena = Arena.ofConfined()) {
            List<TensorSpec> specs =
                    checkpoint.tensors().values().stream().map(TensorSpec::of).toList();
            try (CheckpointWriter writer = CheckpointWriter.create(source, specs, Long.MAX_VALUE)) {
                for (Tensor tensor : checkpoint.tensors().values()) {
                    writer.write(tensor.name().endsWith("layernorm.weight") ? louder(tensor, arena) : tensor);
                }
                writer.writeJson("config.json", checkpoint.config());
                writer.publish();
            }
        }
    }

    private static Tensor louder(Tensor norm, Arena arena) {
        float[] values = norm.toFloats();
        for (int i = 0; i < values.length; i += 7) {
            values[i] *= 6;
        }
        return Tensor.rounded(norm.name(), norm.type(), norm.shape(), values, arena);
    }

    private static Recipe recipe(List<BlockTransform> transforms, WeightQuantizer quantizer, int bits) {
        QuantizationScheme scheme = QuantizationScheme.gptq(bits, 32, false);
        return new Recipe(transforms, quantizer, scheme, GptqLayout.v1(scheme));
    }

    private static Recipe awq(int bits) {
        return recipe(List.of(new AwqScaling()), new AwqClipping(), bits);
    }

    private static Calibration calibration() {
        int[] tokens =
                IntStream.range(0, 24 * 32).map(i -> (i * 31 + i / 7 * i) % 96).toArray();
        return Calibration.of("text", tokens, 24, 32);
    }

    private QuantizationReport run(Recipe recipe, String target, Backend arithmetic) throws IOException {
        return new QuantizationRun(source, folder.resolve(target), recipe, calibration(), arithmetic).run(SILENT);
    }

    /// Logits of tokens that were not calibrated on.
    private float[] logits(Path directory) throws IOException {
        int[] tokens = IntStream.range(0, 48).map(i -> (i * i + 5 * i + 3) % 96).toArray();
        try (Checkpoint checkpoint = Checkpoint.open(directory);
                Llama llama = Llama.load(checkpoint, backend);
                Workspace workspace = llama.workspace(tokens.length);
                KvCache cache = llama.allocateCache(1, tokens.length);
                Matrix hidden = backend.allocate(tokens.length, llama.config().hidden());
                Matrix logits = backend.allocate(tokens.length, llama.config().vocabulary())) {
            llama.forward(tokens, Batch.single(0, tokens.length), cache, workspace, hidden);
            llama.logits(hidden, logits);
            float[] values = new float[tokens.length * llama.config().vocabulary()];
            backend.copyOut(logits, values, 0);
            return values;
        }
    }

    private double distance(String quantized) throws IOException {
        float[] a = logits(source);
        float[] b = logits(folder.resolve(quantized));
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
        }
        return sum;
    }

    @ParameterizedTest
    @ValueSource(ints = {4, 3})
    void beatsRoundingAtTheEnd(int bits) throws IOException {
        run(recipe(List.of(), new RoundToNearest(), bits), "rtn", backend);
        run(recipe(List.of(new AwqScaling()), new RoundToNearest(), bits), "scaled", backend);
        QuantizationReport report = run(awq(bits), "awq", backend);

        assertEquals("awq+rtn-clip", report.method());
        assertEquals(report.linears().size(), report.verified());
        for (LinearReport linear : report.linears()) {
            assertEquals(QuantizationError.Measure.OUTPUTS, linear.error().measure());
            assertTrue(linear.error().relative() <= linear.error().rounding(), linear.toString());
        }
        double rounding = distance("rtn");
        double scaling = distance("scaled");
        double both = distance("awq");
        assertTrue(scaling < 0.9 * rounding, scaling + " against " + rounding);
        assertTrue(both < 0.8 * rounding, both + " against " + rounding);
    }

    @Test
    void writesTheSameBytesHoweverTheRowsAreSplit() throws IOException {
        run(awq(3), "one", backend);
        run(awq(3), "two", SplittingBackend.of(3));

        try (Stream<Path> files = Files.list(folder.resolve("one"))) {
            for (Path file : files.toList()) {
                String name = file.getFileName().toString();
                assertArrayEquals(
                        Files.readAllBytes(file),
                        Files.readAllBytes(folder.resolve("two").resolve(name)),
                        name);
            }
        }
    }

    @Test
    void recordsHowTheCodesWereFound() throws IOException {
        run(awq(4), "out", backend);

        JsonNode meta = new ObjectMapper()
                .readTree(folder.resolve("out/config.json").toFile())
                .get("quantization_config")
                .get("meta");
        assertEquals("awq+rtn-clip", meta.get("algorithm").asText());
        assertEquals("both", meta.get("duo_scaling").asText());
        assertTrue(meta.get("apply_clip").asBoolean());
    }
}

package dev.halftone.gptq;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.layout.GptqLayout;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.Workspace;
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
import dev.halftone.core.testing.SplittingBackend;
import dev.halftone.core.testing.SyntheticCheckpoint;
import dev.halftone.core.weight.QuantizationScheme;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// The solver inside the loop over the layers.
class GptqRunTest {
    private static final QuantizationListener SILENT = new QuantizationListener() {};
    private static final int LAYERS = 3;

    private final Backend backend = new ReferenceBackend();

    @TempDir
    private Path folder;

    private Path source;

    @BeforeEach
    void writeTheModel() throws IOException {
        source = folder.resolve("model");
        SyntheticCheckpoint.write(source, SyntheticCheckpoint.tinyConfig(), DType.BF16, 11);
    }

    private static Recipe recipe(WeightQuantizer quantizer, int bits) {
        QuantizationScheme scheme = QuantizationScheme.gptq(bits, 32, false);
        return new Recipe(quantizer, scheme, GptqLayout.v1(scheme));
    }

    private static Recipe gptq(ColumnOrder order) {
        return recipe(new GptqQuantizer(GptqOptions.DEFAULT.withOrder(order)), 3);
    }

    private static Calibration calibration() {
        int[] tokens =
                IntStream.range(0, 24 * 32).map(i -> (i * 31 + i / 7 * i) % 96).toArray();
        return Calibration.of("text", tokens, 24, 32);
    }

    private QuantizationReport run(Recipe recipe, String target, Backend arithmetic) throws IOException {
        return new QuantizationRun(source, folder.resolve(target), recipe, calibration(), arithmetic).run(SILENT);
    }

    /// Logits of the calibration's windows.
    private float[] logits(Path directory) throws IOException {
        List<int[]> windows = calibration().windows();
        int length = windows.getFirst().length;
        try (Checkpoint checkpoint = Checkpoint.open(directory);
                Llama llama = Llama.load(checkpoint, backend);
                Workspace workspace = llama.workspace(length);
                KvCache cache = llama.allocateCache(1, length);
                Matrix hidden = backend.allocate(length, llama.config().hidden());
                Matrix logits = backend.allocate(length, llama.config().vocabulary())) {
            int width = length * llama.config().vocabulary();
            float[] values = new float[windows.size() * width];
            for (int i = 0; i < windows.size(); i++) {
                llama.forward(windows.get(i), Batch.single(0, length), cache, workspace, hidden);
                llama.logits(hidden, logits);
                backend.copyOut(logits, values, i * width);
            }
            return values;
        }
    }

    private static double distance(float[] a, float[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
        }
        return sum;
    }

    @ParameterizedTest
    @EnumSource(ColumnOrder.class)
    void beatsRoundingInEveryLinearAndAtTheEnd(ColumnOrder order) throws IOException {
        QuantizationReport report = run(gptq(order), "gptq", backend);
        run(recipe(new RoundToNearest(), 3), "rtn", backend);

        assertEquals(7 * LAYERS, report.verified());
        for (LinearReport linear : report.linears()) {
            assertEquals(QuantizationError.Measure.OUTPUTS, linear.error().measure());
            assertTrue(linear.error().relative() < linear.error().rounding(), linear.toString());
            assertTrue(linear.error().relative() > 0, linear.toString());
        }
        float[] truth = logits(source);
        double gptq = distance(truth, logits(folder.resolve("gptq")));
        double rounding = distance(truth, logits(folder.resolve("rtn")));
        assertTrue(gptq < 0.8 * rounding, gptq + " against " + rounding);
    }

    @Test
    void writesTheSameBytesAgainAndHoweverTheRowsAreSplit() throws IOException {
        run(gptq(ColumnOrder.GROUP_AWARE), "one", backend);
        run(gptq(ColumnOrder.GROUP_AWARE), "two", new ReferenceBackend());
        run(gptq(ColumnOrder.GROUP_AWARE), "three", SplittingBackend.of(3));

        try (Stream<Path> files = Files.list(folder.resolve("one"))) {
            List<Path> written = files.toList();
            assertEquals(4, written.size());
            for (Path file : written) {
                byte[] bytes = Files.readAllBytes(file);
                String name = file.getFileName().toString();
                assertArrayEquals(
                        bytes, Files.readAllBytes(folder.resolve("two").resolve(name)), name);
                assertArrayEquals(
                        bytes, Files.readAllBytes(folder.resolve("three").resolve(name)), name);
            }
        }
    }

    @Test
    void goesOnToTheSameBytesWithTheFloatModelBesideIt() throws IOException {
        Recipe recipe = gptq(ColumnOrder.GROUP_AWARE);
        run(recipe, "whole", backend);
        QuantizationListener cut = new QuantizationListener() {
            private int done;

            @Override
            public void quantized(LinearReport linear) {
                if (++done == 7 + 3) {
                    throw new IllegalStateException("cut in the second block");
                }
            }
        };
        QuantizationRun first = new QuantizationRun(source, folder.resolve("resumed"), recipe, calibration(), backend);
        assertThrows(IllegalStateException.class, () -> first.run(cut));
        assertTrue(Files.exists(folder.resolve(".resumed.partial")), "the first block is kept");

        run(recipe, "resumed", backend);

        for (String file : List.of("model.safetensors", "config.json", "halftone.json")) {
            assertArrayEquals(
                    Files.readAllBytes(folder.resolve("whole").resolve(file)),
                    Files.readAllBytes(folder.resolve("resumed").resolve(file)),
                    file);
        }
    }

    @Test
    void runsEachBlockOnceAndFactorsOncePerSite() throws IOException {
        Map<String, Integer> calls = new HashMap<>();

        GptqOptions options = GptqOptions.DEFAULT.withTarget(Target.SAME_INPUTS);
        Recipe same = recipe(new GptqQuantizer(options), 3);
        run(same, "out", SplittingBackend.watched(verb -> calls.merge(verb, 1, Integer::sum)));

        // All windows fit one batch.
        assertEquals(LAYERS, calls.get("attention"));
        assertEquals(4 * LAYERS, calls.get("addGram"));
        assertEquals(4 * LAYERS, calls.get("invertToUpperFactor"));
        // The original weights are never bound, only the quantized ones.
        assertEquals(7 * LAYERS, calls.get("bind"));
    }

    @Test
    void recordsHowTheCodesWereFound() throws IOException {
        run(gptq(ColumnOrder.GROUP_AWARE), "out", backend);

        JsonNode section = new ObjectMapper()
                .readTree(folder.resolve("out/config.json").toFile())
                .get("quantization_config");
        assertFalse(section.get("desc_act").asBoolean());
        JsonNode meta = section.get("meta");
        assertEquals("gptq", meta.get("algorithm").asText());
        assertEquals(0.5, meta.get("damp_percent").asDouble());
        assertTrue(meta.get("act_group_aware").asBoolean());
        assertFalse(meta.get("static_groups").asBoolean());
        assertTrue(meta.get("true_sequential").asBoolean());
    }

    @Test
    void namesTheLinearWhoseInputsOverflow() throws IOException {
        // The weights are finite, but the squares of what the norm puts out are not.
        Path loud = folder.resolve("loud");
        LoudCheckpoint.write(source, loud, "model.layers.1.post_attention_layernorm.weight", 1e30f);
        source = loud;

        HalftoneException failure =
                assertThrows(HalftoneException.class, () -> run(gptq(ColumnOrder.NATURAL), "out", backend));

        assertEquals(HalftoneException.Kind.NUMERICS, failure.kind());
        assertTrue(failure.getMessage().contains("model.layers.1.mlp.gate_proj"), failure.explanation());
        assertFalse(Files.exists(folder.resolve("out")));
        assertFalse(Files.exists(folder.resolve(".out.partial")));
    }

    @Test
    void takesOneWindowOfOneToken() throws IOException {
        Calibration single = Calibration.of("text", new int[] {5}, 1, 1);

        QuantizationReport report = new QuantizationRun(
                        source, folder.resolve("out"), gptq(ColumnOrder.GROUP_AWARE), single, backend)
                .run(SILENT);

        // Moments of rank one: damping alone makes them invertible.
        assertEquals(7 * LAYERS, report.verified());
        assertEquals(Collections.emptyList(), report.retried());
    }
}

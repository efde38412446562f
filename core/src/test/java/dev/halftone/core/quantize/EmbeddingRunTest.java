package dev.halftone.core.quantize;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.CheckpointWriter;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.convert.Conversion;
import dev.halftone.core.convert.ConversionProgress;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.Llama;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class EmbeddingRunTest {
    private static final int LINEARS = 21;
    private static final int LINEARS_OF_BLOCK = 7;
    private static final String TABLE = Llama.EMBEDDING + ".weight";

    private final Backend backend = new ReferenceBackend();

    @TempDir
    private Path folder;

    private TableRuns runs() {
        return new TableRuns(folder, DType.F32, backend);
    }

    private Path model(boolean tied) throws IOException {
        return runs().model(tied);
    }

    private Recipe recipe(WeightQuantizer quantizer, InputRounding inputs, Integer headBits) {
        return runs().recipe(quantizer, "compressed-tensors", inputs, headBits);
    }

    private Recipe rounding() {
        return recipe(new RoundToNearest(), InputRounding.NONE, null).withEmbeddingBits(8);
    }

    private QuantizationRun run(Path model, String out, Recipe recipe) {
        return runs().run(model, out, recipe);
    }

    private QuantizationReport quantize(Path model, String out, Recipe recipe) throws IOException {
        return run(model, out, recipe).run(new QuantizationListener() {});
    }

    private float[] logits(String out) throws IOException {
        return ModelRun.logits(folder.resolve(out), backend);
    }

    private void toDense(String out, String dense) throws IOException {
        Conversion.toDense(folder.resolve(out), folder.resolve(dense), DType.F32, ConversionProgress.SILENT);
    }

    @Test
    void givesEveryTokenAScale() throws IOException {
        Path model = model(false);
        QuantizationReport report = quantize(model, "out", rounding());
        quantize(model, "float", recipe(new RoundToNearest(), InputRounding.NONE, null));
        toDense("out", "dense");

        assertEquals(LINEARS + 1, report.verified());
        assertEquals(Llama.EMBEDDING, report.linears().getFirst().name());
        QuantizationScheme scheme = QuantizationScheme.compressedTensors(8, -1, true, DType.F32);
        try (Checkpoint before = Checkpoint.open(model);
                Checkpoint after = Checkpoint.open(folder.resolve("out"));
                Checkpoint dense = Checkpoint.open(folder.resolve("dense"))) {
            assertEquals(DType.I8, after.tensor(TABLE).type());
            assertEquals(Shape.of(96, 64), after.tensor(TABLE).shape());
            assertEquals(
                    Shape.of(96, 1),
                    after.tensor(Llama.EMBEDDING + ".weight_scale").shape());
            QuantizedWeight table = (QuantizedWeight) LinearWeights.of(after).weight(Llama.EMBEDDING);
            assertEquals(scheme, table.scheme());
            float[] expected = RoundToNearest.round(new DenseWeight(before.tensor(TABLE)), scheme, backend)
                    .restore();
            assertArrayEquals(expected, table.restore());
            assertArrayEquals(expected, dense.tensor(TABLE).toFloats());
        }
        assertArrayEquals(logits("dense"), logits("out"), 1e-4f);
        float[] exact = logits("float");
        float[] found = logits("out");
        double most = 0;
        for (int i = 0; i < exact.length; i++) {
            most = Math.max(most, Math.abs(exact[i] - found[i]));
        }
        assertTrue(most > 1e-4 && most < 0.2, "differ by " + most);
    }

    @Test
    void tellsReadersOfTheTable() throws IOException {
        Path model = model(false);
        quantize(model, "out", rounding());
        try (Checkpoint written = Checkpoint.open(folder.resolve("out"))) {
            JsonNode section = written.config().get("quantization_config");
            assertEquals("mixed-precision", section.get("format").textValue());
            assertEquals("[\"lm_head\"]", section.get("ignore").toString());
            JsonNode group = section.at("/config_groups/group_1");
            assertEquals(
                    "[\"re:^model\\\\.embed_tokens$\"]", group.get("targets").toString());
            assertEquals("int-quantized", group.get("format").textValue());
            assertEquals("channel", group.at("/weights/strategy").textValue());
            assertTrue(group.get("input_activations").isNull());
            assertEquals(
                    8,
                    written.json(QuantizationReport.FILE)
                            .orElseThrow()
                            .at("/settings/embedding_bits")
                            .intValue());
        }
    }

    @Test
    void goesWithAHeadAndInputsThatAreRoundedToo() throws IOException {
        Recipe recipe = recipe(new RoundToNearest(), InputRounding.PER_TOKEN, 8).withEmbeddingBits(8);
        assertEquals(LINEARS + 2, quantize(model(true), "out", recipe).verified());
        toDense("out", "dense");
        try (Checkpoint written = Checkpoint.open(folder.resolve("out"));
                Checkpoint dense = Checkpoint.open(folder.resolve("dense"))) {
            assertFalse(written.config().get("tie_word_embeddings").booleanValue());
            JsonNode groups = written.config().at("/quantization_config/config_groups");
            assertEquals(3, groups.size());
            LinearWeights weights = LinearWeights.of(written);
            for (String table : List.of(Llama.HEAD, Llama.EMBEDDING)) {
                QuantizedWeight packed = (QuantizedWeight) weights.weight(table);
                assertEquals(ActivationScheme.Kind.NONE, packed.activations().kind());
                assertArrayEquals(
                        packed.restore(), dense.tensor(table + ".weight").toFloats());
            }
        }
    }

    @Test
    void isOfTheSameFormWhereInputsAreRoundedAndTheHeadIsNot() throws IOException {
        Recipe recipe =
                recipe(new RoundToNearest(), InputRounding.PER_TOKEN, null).withEmbeddingBits(8);
        quantize(model(false), "out", recipe);
        try (Checkpoint written = Checkpoint.open(folder.resolve("out"))) {
            assertEquals(
                    "int-quantized",
                    written.config().at("/quantization_config/format").textValue());
            assertTrue(written.config()
                    .at("/quantization_config/config_groups/group_1/input_activations")
                    .isNull());
        }
    }

    @Test
    void blocksAreShownTheRoundedEmbeddings() throws IOException {
        Path model = model(false);
        WeightQuantizer method = new MomentsRounding(0.1);
        quantize(model, "out", recipe(method, InputRounding.NONE, null).withEmbeddingBits(8));
        Path rounded = folder.resolve("rounded");
        try (Checkpoint source = Checkpoint.open(model);
                Checkpoint out = Checkpoint.open(folder.resolve("out"));
                Arena arena = Arena.ofConfined()) {
            float[] table = LinearWeights.of(out).weight(Llama.EMBEDDING).restore();
            Tensor replacement =
                    new Tensor(TABLE, DType.F32, Shape.of(96, 64), arena.allocateFrom(ValueLayout.JAVA_FLOAT, table));
            rewrite(source, rounded, source.config(), replacement);
        }
        quantize(rounded, "expected", recipe(method, InputRounding.NONE, null));
        quantize(model, "unrounded", recipe(method, InputRounding.NONE, null));

        String linear = "model.layers.2.mlp.down_proj";
        try (Checkpoint out = Checkpoint.open(folder.resolve("out"));
                Checkpoint expected = Checkpoint.open(folder.resolve("expected"));
                Checkpoint unrounded = Checkpoint.open(folder.resolve("unrounded"))) {
            float[] found = LinearWeights.of(out).weight(linear).restore();
            assertArrayEquals(LinearWeights.of(expected).weight(linear).restore(), found);
            assertFalse(Arrays.equals(LinearWeights.of(unrounded).weight(linear).restore(), found));
        }
    }

    /// Writes what `source` holds, `replacement` in the place of its tensor of that name.
    private static void rewrite(Checkpoint source, Path target, ObjectNode config, Tensor replacement)
            throws IOException {
        List<TensorSpec> specs =
                source.tensors().values().stream().map(TensorSpec::of).toList();
        try (CheckpointWriter writer = CheckpointWriter.create(target, specs, Long.MAX_VALUE)) {
            for (Tensor tensor : source.tensors().values()) {
                writer.write(tensor.name().equals(replacement.name()) ? replacement : tensor);
            }
            writer.writeJson("config.json", config);
            writer.publish();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 5, 1 + LINEARS_OF_BLOCK, 12, 1 + LINEARS, 2 + LINEARS})
    void goesOnAfterAnInterruption(int done) throws IOException {
        Path model = model(true);
        Recipe recipe = recipe(new MomentsRounding(0.1), InputRounding.NONE, 8).withEmbeddingBits(8);
        quantize(model, "whole", recipe);
        assertThrows(
                IllegalStateException.class,
                () -> run(model, "out", recipe).run(new QuantizationListener() {
                    private int seen;

                    @Override
                    public void quantized(LinearReport linear) {
                        if (++seen == done) {
                            throw new IllegalStateException("cut");
                        }
                    }
                }));
        QuantizationReport report = quantize(model, "out", recipe);

        assertEquals(LINEARS + 2, report.linears().size());
        for (String file : List.of("model.safetensors", "config.json", QuantizationReport.FILE)) {
            assertEquals(
                    -1,
                    Files.mismatch(
                            folder.resolve("whole").resolve(file),
                            folder.resolve("out").resolve(file)));
        }
    }

    /// As nobody writes it yet: the table packed, and the head still tied to it.
    @Test
    void aTiedHeadIsThePackedTable() throws IOException {
        quantize(model(false), "out", rounding());
        Path tied = folder.resolve("tied");
        try (Checkpoint out = Checkpoint.open(folder.resolve("out"))) {
            rewrite(out, tied, out.config().put("tie_word_embeddings", true), out.tensor(TABLE));
        }
        toDense("tied", "dense");
        assertArrayEquals(logits("dense"), logits("tied"), 1e-4f);
    }

    @Test
    void packsAnewWhereThereIsAPlace() throws IOException {
        quantize(model(false), "out", rounding());
        Conversion.repack(
                folder.resolve("out"), folder.resolve("again"), "compressed-tensors", ConversionProgress.SILENT);
        assertArrayEquals(logits("out"), logits("again"));
        HalftoneException refusal = assertThrows(
                HalftoneException.class,
                () -> Conversion.repack(
                        folder.resolve("out"), folder.resolve("gptq"), "gptq", ConversionProgress.SILENT));
        assertEquals(Kind.USAGE, refusal.kind());
        assertTrue(refusal.explanation().contains("leaves the embedding table"), refusal.explanation());
    }

    @ParameterizedTest
    @ValueSource(strings = {"gptq", "gptq_v2", "awq"})
    void otherFormatsRefuseIt(String layout) throws IOException {
        Recipe recipe = runs().recipe(new RoundToNearest(), layout, InputRounding.NONE, null)
                .withEmbeddingBits(8);
        QuantizationRun run = run(model(false), "out", recipe);
        HalftoneException refusal = assertThrows(HalftoneException.class, run::plan);
        assertEquals(Kind.USAGE, refusal.kind());
        assertTrue(refusal.explanation().contains("leaves the embedding table"), refusal.explanation());
    }

    @Test
    void aTiedTableNeedsAHead() throws IOException {
        QuantizationRun run = run(model(true), "out", rounding());
        HalftoneException refusal = assertThrows(HalftoneException.class, run::plan);
        assertEquals(Kind.USAGE, refusal.kind());
        assertTrue(refusal.explanation().contains("--head-bits"), refusal.explanation());
        assertFalse(Files.exists(folder.resolve("out")));
    }
}

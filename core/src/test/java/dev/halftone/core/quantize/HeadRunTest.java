package dev.halftone.core.quantize;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
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
import dev.halftone.core.layout.PackedLayouts;
import dev.halftone.core.model.Llama;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.testing.SyntheticCheckpoint;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.Weight;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class HeadRunTest {
    private static final int LINEARS = 21;
    private static final String HEAD_WEIGHT = Llama.HEAD + ".weight";
    private static final String EMBEDDING_WEIGHT = Llama.EMBEDDING + ".weight";

    /// Above the largest weight of a synthetic model in standard deviations: a sum of four uniform numbers ends at
    /// twice the root of three.
    private static final double LARGEST = 3.47;

    private final Backend backend = new ReferenceBackend();

    @TempDir
    private Path folder;

    private TableRuns runs() {
        return new TableRuns(folder, DType.BF16, backend);
    }

    private Path model(boolean tied) throws IOException {
        return runs().model(tied);
    }

    private Recipe recipe(WeightQuantizer quantizer, String layout, InputRounding inputs, Integer headBits) {
        return runs().recipe(quantizer, layout, inputs, headBits);
    }

    private Recipe rounding(String layout, Integer headBits) {
        return recipe(new RoundToNearest(), layout, InputRounding.NONE, headBits);
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

    /// Root of the mean squared difference over that of `expected`.
    private static double difference(float[] expected, float[] found) {
        double error = 0;
        double size = 0;
        for (int i = 0; i < expected.length; i++) {
            error += Math.pow(found[i] - expected[i], 2);
            size += Math.pow(expected[i], 2);
        }
        return Math.sqrt(error / size);
    }

    private static void assertSame(float[] expected, float[] found) {
        assertTrue(difference(expected, found) < 1e-6, "differ by " + difference(expected, found));
    }

    @ParameterizedTest
    @CsvSource({
        "gptq, true, 8",
        "gptq, false, 8",
        "gptq, true, 4",
        "gptq_v2, true, 8",
        "gptq_v2, false, 4",
        "compressed-tensors, true, 8",
        "compressed-tensors, false, 8",
        "compressed-tensors, false, 4"
    })
    void roundsTheHeadBesidesTheBlocks(String layout, boolean tied, int bits) throws IOException {
        Path model = model(tied);
        QuantizationReport report = quantize(model, "out", rounding(layout, bits));
        quantize(model, "float-head", rounding(layout, null));
        Conversion.toDense(folder.resolve("out"), folder.resolve("dense"), DType.F32, ConversionProgress.SILENT);

        assertEquals(LINEARS + 1, report.verified());
        assertEquals(Llama.HEAD, report.linears().getLast().name());
        try (Checkpoint before = Checkpoint.open(model);
                Checkpoint after = Checkpoint.open(folder.resolve("out"));
                Checkpoint dense = Checkpoint.open(folder.resolve("dense"))) {
            QuantizedWeight head = assertInstanceOf(
                    QuantizedWeight.class, LinearWeights.of(after).weight(Llama.HEAD));
            assertEquals(bits, head.scheme().bits());
            assertEquals(32, head.scheme().groupSize());
            assertTrue(head.scheme().symmetric());
            Weight meant = new DenseWeight(before.tensor(tied ? EMBEDDING_WEIGHT : HEAD_WEIGHT));
            assertArrayEquals(
                    RoundToNearest.round(meant, head.scheme(), backend).restore(), head.restore());
            assertArrayEquals(head.restore(), dense.tensor(HEAD_WEIGHT).toFloats());
            assertEquals(
                    -1,
                    before.tensor(EMBEDDING_WEIGHT)
                            .data()
                            .mismatch(after.tensor(EMBEDDING_WEIGHT).data()));
            assertFalse(after.config().get("tie_word_embeddings").booleanValue());
        }
        assertSame(logits("dense"), logits("out"));
        // A weight is off by half a step at most, evenly distributed.
        double step = LARGEST / ((1 << bits - 1) - 0.5);
        double difference = difference(logits("float-head"), logits("out"));
        assertTrue(difference > 0 && difference < step / Math.sqrt(12), "differ by " + difference);
    }

    @ParameterizedTest
    @CsvSource({"gptq, true", "gptq_v2, true", "compressed-tensors, false"})
    void tellsOfTheHeadInTheConfiguration(String layout, boolean hasSectionFile) throws IOException {
        Path model = model(true);
        quantize(model, "out", rounding(layout, 8));
        try (Checkpoint written = Checkpoint.open(folder.resolve("out"))) {
            ObjectNode section = (ObjectNode) written.config().get("quantization_config");
            if (hasSectionFile) {
                assertEquals(section, written.json("quantize_config.json").orElseThrow());
                assertTrue(section.get("lm_head").booleanValue());
                assertEquals(
                        "{\"+:^lm_head$\":{\"bits\":8,\"group_size\":32,\"sym\":true}}",
                        section.get("dynamic").toString());
            } else {
                assertEquals("[]", section.get("ignore").toString());
                assertEquals("pack-quantized", section.get("format").textValue());
                assertEquals(
                        "[\"Linear\"]",
                        section.at("/config_groups/group_0/targets").toString());
                assertEquals(
                        "[\"re:^lm_head$\"]",
                        section.at("/config_groups/group_1/targets").toString());
                assertEquals(
                        8, section.at("/config_groups/group_1/weights/num_bits").intValue());
            }
            assertEquals(
                    8,
                    written.json(QuantizationReport.FILE)
                            .orElseThrow()
                            .at("/settings/head_bits")
                            .intValue());
        }
    }

    @Test
    void needsNoRuleForAHeadThatIsLikeTheOthers() throws IOException {
        quantize(model(true), "out", rounding("gptq", 4));
        try (Checkpoint written = Checkpoint.open(folder.resolve("out"))) {
            ObjectNode section = (ObjectNode) written.config().get("quantization_config");
            assertTrue(section.get("lm_head").booleanValue());
            assertFalse(section.has("dynamic"));
        }
    }

    @Test
    void leavesTheInputsOfTheHeadInFloatingPoint() throws IOException {
        Path model = model(true);
        quantize(model, "out", recipe(new RoundToNearest(), "compressed-tensors", InputRounding.PER_TOKEN, 8));
        quantize(
                model, "float-head", recipe(new RoundToNearest(), "compressed-tensors", InputRounding.PER_TOKEN, null));
        try (Checkpoint written = Checkpoint.open(folder.resolve("out"))) {
            ObjectNode section = (ObjectNode) written.config().get("quantization_config");
            assertEquals("mixed-precision", section.get("format").textValue());
            ObjectNode group = (ObjectNode) section.at("/config_groups/group_1");
            assertEquals("pack-quantized", group.get("format").textValue());
            assertTrue(group.get("input_activations").isNull());
            assertFalse(section.at("/config_groups/group_0/input_activations").isNull());
            LinearWeights weights = LinearWeights.of(written);
            assertEquals(
                    ActivationScheme.Kind.NONE,
                    ((QuantizedWeight) weights.weight(Llama.HEAD)).activations().kind());
            assertEquals(
                    ActivationScheme.Kind.PER_TOKEN,
                    ((QuantizedWeight) weights.weight("model.layers.0.mlp.up_proj"))
                            .activations()
                            .kind());
        }
        double difference = difference(logits("float-head"), logits("out"));
        assertTrue(difference > 0 && difference < LARGEST / 127.5 / Math.sqrt(12), "differ by " + difference);
    }

    @Test
    void roundsTheHeadToNearestWhateverTheMethod() throws IOException {
        Path model = model(false);
        List<Double> fractions = new ArrayList<>();
        QuantizationReport report = run(model, "out", recipe(new MomentsRounding(0.1), "gptq", InputRounding.NONE, 8))
                .run(new QuantizationListener() {
                    @Override
                    public void progressed(double fraction) {
                        fractions.add(fraction);
                    }
                });
        assertEquals(LINEARS + 1, report.verified());
        assertEquals(fractions.stream().sorted().toList(), fractions);
        assertEquals(1, fractions.getLast(), 1e-9);
        try (Checkpoint before = Checkpoint.open(model);
                Checkpoint after = Checkpoint.open(folder.resolve("out"))) {
            QuantizedWeight head = (QuantizedWeight) LinearWeights.of(after).weight(Llama.HEAD);
            Weight meant = LinearWeights.of(before).weight(Llama.HEAD);
            assertArrayEquals(
                    RoundToNearest.round(meant, head.scheme(), backend).restore(), head.restore());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"gptq_v2", "compressed-tensors"})
    void choosesZeroPointsIfTheOthersDo(String layout) throws IOException {
        QuantizationScheme scheme = PackedLayouts.scheme(layout, 4, 64, false, DType.BF16);
        Recipe recipe = new Recipe(
                        new RoundToNearest(), scheme, PackedLayouts.of(layout, scheme, ActivationScheme.Kind.NONE))
                .withOverrides(List.of(SchemeOverride.leave(Pattern.compile("down_proj"))))
                .withHeadBits(8);
        assertEquals(LINEARS - 3 + 1, quantize(model(true), "out", recipe).verified());
        try (Checkpoint written = Checkpoint.open(folder.resolve("out"))) {
            QuantizedWeight head = (QuantizedWeight) LinearWeights.of(written).weight(Llama.HEAD);
            assertFalse(head.scheme().symmetric());
            assertEquals(64, head.scheme().groupSize());
            assertTrue(IntStream.of(head.zeros()).distinct().count() > 1);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void plansForTheHead(boolean tied) throws IOException {
        Path model = model(tied);
        QuantizationPlan with = run(model, "out", rounding("gptq", 8)).plan();
        QuantizationPlan without = run(model, "out", rounding("gptq", null)).plan();
        // Codes, a zero of a byte and a scale of two for each of two groups, and the group of each column.
        long packed = 96 * 64 + 96 * 2 * 3 + 4 * 64;

        assertEquals(LINEARS + 1, with.linears().size());
        assertEquals(without.quantizedParameters() + 96 * 64, with.quantizedParameters());
        assertEquals(without.packedBytes() + packed, with.packedBytes());
        assertEquals(without.writtenBytes() + packed - (tied ? 0 : 2 * 96 * 64), with.writtenBytes());
        assertEquals(8.0 * with.packedBytes() / with.quantizedParameters(), with.bitsPerWeight());
        assertEquals(without.parameters(), with.parameters());

        quantize(model, "out", rounding("gptq", 8));
        try (Checkpoint written = Checkpoint.open(folder.resolve("out"))) {
            assertEquals(
                    with.writtenBytes(),
                    written.tensors().values().stream()
                            .mapToLong(tensor -> tensor.data().byteSize())
                            .sum());
        }
    }

    @Test
    void countsTheMemoryOfALargeHead() throws IOException {
        Path model = folder.resolve("model");
        SyntheticCheckpoint.write(model, SyntheticCheckpoint.tinyConfig().put("vocab_size", 1 << 14), DType.BF16, 5);

        MemoryEstimate with = run(model, "out", rounding("gptq", 8)).plan().memory();
        MemoryEstimate without =
                run(model, "out", rounding("gptq", null)).plan().memory();

        // Twice a code of one byte.
        long packing = 2 * 64 << 14;
        assertEquals(
                packing, with.parts().get("packing") + with.parts().get("packing of head or embeddings beyond that"));
        assertEquals(without.parts().get("packing"), with.parts().get("packing"));
    }

    @Test
    void countsTheTimeOfTheHeadApart() throws IOException {
        Path model = model(true);
        WeightQuantizer method = new MomentsRounding(0.1);
        QuantizationPlan plan =
                run(model, "out", recipe(method, "gptq", InputRounding.NONE, 8)).plan();
        TimeEstimate.Work with = TimeEstimate.Work.of(plan);
        TimeEstimate.Work without =
                TimeEstimate.Work.of(run(model, "out", recipe(method, "gptq", InputRounding.NONE, null))
                        .plan());

        assertEquals(96 * 64, with.tables());
        assertEquals(0, without.tables());
        assertEquals(without.weights(), with.weights());
        assertEquals(without.linears(), with.linears());
        assertEquals(without.solving(), with.solving());
        assertEquals(without.alone() + 4 * 96 * 64, with.alone());
        assertTrue(TimeEstimate.of(plan, backend).codes() > 0);
    }

    @Test
    void theAwqFormatRefusesIt() throws IOException {
        QuantizationRun run = run(model(true), "out", rounding("awq", 4));
        HalftoneException refusal = assertThrows(HalftoneException.class, run::plan);
        assertEquals(Kind.USAGE, refusal.kind());
        assertTrue(refusal.explanation().contains("AWQ format leaves the head"), refusal.explanation());
        assertFalse(Files.exists(folder.resolve("out")));
    }

    @Test
    void theGptqFormatRefusesAVocabularyThatItCannotHold() throws IOException {
        Path model = folder.resolve("model");
        SyntheticCheckpoint.write(model, SyntheticCheckpoint.tinyConfig().put("vocab_size", 100), DType.BF16, 5);
        HalftoneException refusal = assertThrows(
                HalftoneException.class,
                () -> run(model, "out", rounding("gptq", 8)).plan());
        assertTrue(refusal.explanation().contains("lm_head does not fit"), refusal.explanation());

        assertEquals(
                LINEARS + 1,
                quantize(model, "out", rounding("compressed-tensors", 8)).verified());
    }

    /// A copy of the model in `source`, with all that it holds, and another flag.
    private Path retied(Path source, String name, boolean tied) throws IOException {
        Path target = folder.resolve(name);
        try (Checkpoint checkpoint = Checkpoint.open(source)) {
            List<TensorSpec> specs =
                    checkpoint.tensors().values().stream().map(TensorSpec::of).toList();
            try (CheckpointWriter writer = CheckpointWriter.create(target, specs, Long.MAX_VALUE)) {
                for (Tensor tensor : checkpoint.tensors().values()) {
                    writer.write(tensor);
                }
                writer.writeJson("config.json", checkpoint.config().put("tie_word_embeddings", tied));
                writer.publish();
            }
        }
        return target;
    }

    @Test
    void takesTheTableForTheHeadOfATiedModelThatHoldsAnotherOne() throws IOException {
        Path model = retied(model(false), "retied", true);
        quantize(model, "out", rounding("gptq", 8));
        quantize(model, "float-head", rounding("gptq", null));

        double difference = difference(logits("float-head"), logits("out"));
        assertTrue(difference > 0 && difference < LARGEST / 127.5 / Math.sqrt(12), "differ by " + difference);
    }

    @ParameterizedTest
    @ValueSource(strings = {"gptq", "compressed-tensors"})
    void aPackedHeadIsUsedEvenWhereTheConfigurationTiesIt(String layout) throws IOException {
        quantize(model(false), "out", rounding(layout, 8));
        Path retied = retied(folder.resolve("out"), "retied", true);
        Conversion.toDense(retied, folder.resolve("dense"), DType.F32, ConversionProgress.SILENT);

        assertArrayEquals(logits("out"), logits("retied"));
        assertSame(logits("out"), logits("dense"));
        assertFalse(new ObjectMapper()
                .readTree(folder.resolve("dense/config.json").toFile())
                .get("tie_word_embeddings")
                .booleanValue());
    }
}

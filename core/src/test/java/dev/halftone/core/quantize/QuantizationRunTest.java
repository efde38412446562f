package dev.halftone.core.quantize;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.SafetensorsFile;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.layout.GptqLayout;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.Llama;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.testing.SplittingBackend;
import dev.halftone.core.testing.SyntheticCheckpoint;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.CancellationException;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class QuantizationRunTest {
    private static final QuantizationListener SILENT = new QuantizationListener() {};

    private final Backend backend = new ReferenceBackend();

    @TempDir
    private Path folder;

    private Path source;
    private Path target;

    @BeforeEach
    void writeTheModel() throws IOException {
        source = folder.resolve("model");
        target = folder.resolve("out");
        SyntheticCheckpoint.write(source, SyntheticCheckpoint.tinyConfig(), DType.BF16, 7);
    }

    private void rewriteTheModel(ObjectNode config) throws IOException {
        source = folder.resolve("other");
        SyntheticCheckpoint.write(source, config, DType.F32, 8);
    }

    private static Recipe recipe(WeightQuantizer quantizer, int bits, int groupSize) {
        QuantizationScheme scheme = QuantizationScheme.gptq(bits, groupSize, false);
        return new Recipe(quantizer, scheme, GptqLayout.v1(scheme));
    }

    private static Recipe rounding() {
        return recipe(new RoundToNearest(), 4, 32);
    }

    private QuantizationRun run(Recipe recipe, Calibration calibration) {
        return new QuantizationRun(source, target, recipe, calibration, backend);
    }

    private static Calibration calibration(int samples, int length) {
        int[] tokens = IntStream.range(0, samples * length)
                .map(i -> (i * i + 7 * i) % 96)
                .toArray();
        return Calibration.of("text", tokens, samples, length);
    }

    private HalftoneException refusal(Recipe recipe, Calibration calibration) {
        QuantizationRun run = run(recipe, calibration);
        HalftoneException refusal = assertThrows(
                HalftoneException.class,
                () -> run.run(new QuantizationListener() {
                    @Override
                    public void quantized(LinearReport linear) {
                        throw new AssertionError("work began");
                    }
                }));
        assertNothingLeft();
        return refusal;
    }

    private void assertNothingLeft() {
        try (Stream<Path> files = Files.list(folder)) {
            assertEquals(
                    List.of(),
                    files.filter(file -> !file.getFileName().toString().matches("model|other"))
                            .toList());
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private static JsonNode json(Path file) throws IOException {
        return new ObjectMapper().readTree(file.toFile());
    }

    private static SortedMap<String, byte[]> contents(Path directory) throws IOException {
        SortedMap<String, byte[]> contents = new TreeMap<>();
        try (Stream<Path> files = Files.list(directory)) {
            for (Path file : files.toList()) {
                contents.put(file.getFileName().toString(), Files.readAllBytes(file));
            }
        }
        return contents;
    }

    private static void assertSameContents(Path expected, Path found) throws IOException {
        SortedMap<String, byte[]> before = contents(expected);
        SortedMap<String, byte[]> after = contents(found);
        assertEquals(before.keySet(), after.keySet());
        before.forEach((file, bytes) -> assertArrayEquals(bytes, after.get(file), file));
    }

    @Test
    void roundsEveryLinearOfTheBlocksAndKeepsEverythingElse() throws IOException {
        run(rounding(), null).run(SILENT);

        try (Checkpoint before = Checkpoint.open(source);
                Checkpoint after = Checkpoint.open(target)) {
            LinearWeights weights = LinearWeights.of(after);
            int linears = 0;
            for (Tensor tensor : before.tensors().values()) {
                if (tensor.name().endsWith("_proj.weight")) {
                    String linear = tensor.name().replace(".weight", "");
                    QuantizedWeight expected = RoundToNearest.round(
                            new DenseWeight(tensor), rounding().scheme(), backend);
                    assertArrayEquals(expected.restore(), weights.weight(linear).restore(), linear);
                    assertFalse(after.has(tensor.name()), linear);
                    linears++;
                } else {
                    assertEquals(
                            -1,
                            tensor.data().mismatch(after.tensor(tensor.name()).data()),
                            tensor.name());
                }
            }
            assertEquals(21, linears);
            assertEquals("gptq 4-bit g32 asymmetric", weights.description().orElseThrow());
        }
    }

    @Test
    void makesAModelThatRuns() throws IOException {
        run(recipe(new RoundToNearest(), 8, 32), null).run(SILENT);

        float[] before = ModelRun.logits(source, backend);
        float[] after = ModelRun.logits(target, backend);
        double error = 0;
        double size = 0;
        for (int i = 0; i < before.length; i++) {
            error += (before[i] - after[i]) * (before[i] - after[i]);
            size += before[i] * before[i];
        }
        assertTrue(error > 0 && error < 1e-3 * size, error / size + " of the logits");
    }

    @Test
    void runsNothingOfTheModelForAMethodThatNeedsNoMoments() throws IOException {
        List<String> verbs = new ArrayList<>();
        Backend watched = SplittingBackend.watched(verbs::add);

        new QuantizationRun(source, target, rounding(), calibration(2, 16), watched).run(SILENT);

        verbs.removeAll(List.of("forRanges", "description", "arithmetic"));
        assertEquals(List.of(), verbs);
        assertTrue(json(target.resolve("halftone.json")).get("calibration").isNull());
    }

    @Test
    void copiesWhatALoaderNeedsBesidesTheWeights() throws IOException {
        for (String file : List.of("tokenizer.json", "tokenizer.model", "chat_template.jinja", "README.md")) {
            Files.writeString(source.resolve(file), "contents of " + file);
        }
        for (String file : List.of("pytorch_model.bin", "model.Q4_1.gguf", ".gitattributes", "halftone.json")) {
            Files.writeString(source.resolve(file), "not to be copied");
        }
        Files.writeString(source.resolve("generation_config.json"), "{\"eos_token_id\": 1}");

        run(rounding(), null).run(SILENT);

        SortedMap<String, byte[]> files = contents(target);
        assertEquals(
                List.of(
                        "README.md",
                        "chat_template.jinja",
                        "config.json",
                        "generation_config.json",
                        "halftone.json",
                        "model.safetensors",
                        "quantize_config.json",
                        "tokenizer.json",
                        "tokenizer.model"),
                List.copyOf(files.keySet()));
        assertArrayEquals(Files.readAllBytes(source.resolve("tokenizer.model")), files.get("tokenizer.model"));
        assertTrue(json(target.resolve("halftone.json")).has("linears"));
    }

    @Test
    void addsTheQuantizationSectionToTheConfigurationAndKeepsTheRest() throws IOException {
        run(rounding(), null).run(SILENT);

        ObjectNode config = (ObjectNode) json(target.resolve("config.json"));
        JsonNode section = config.remove("quantization_config");
        assertEquals(json(source.resolve("config.json")), config);
        assertEquals(section, json(target.resolve("quantize_config.json")));
        assertEquals(4, section.get("bits").asInt());
        assertEquals("rtn", section.get("meta").get("algorithm").asText());
        assertEquals(
                QuantizationRun.TOOL,
                section.get("meta").get("quantizer").get(0).asText());
    }

    @Test
    void keepsAHeadOfItsOwn() throws IOException {
        ObjectNode config = SyntheticCheckpoint.tinyConfig();
        config.put("tie_word_embeddings", false);
        rewriteTheModel(config);

        run(rounding(), null).run(SILENT);

        try (Checkpoint before = Checkpoint.open(source);
                Checkpoint after = Checkpoint.open(target)) {
            assertArrayEquals(
                    before.tensor("lm_head.weight").toFloats(),
                    after.tensor("lm_head.weight").toFloats());
        }
    }

    @Test
    void keepsBiasesAndNormsOfHeads() throws IOException {
        ObjectNode config = SyntheticCheckpoint.tinyConfig();
        config.put("attention_bias", true);
        config.put("model_type", "qwen3");
        config.putArray("architectures").add("Qwen3ForCausalLM");
        config.put("head_dim", 16);
        rewriteTheModel(config);

        run(recipe(new MomentsProbe(), 8, 32), calibration(2, 16)).run(SILENT);

        try (Checkpoint after = Checkpoint.open(target)) {
            assertTrue(after.has("model.layers.2.self_attn.o_proj.bias"));
            assertTrue(after.has("model.layers.2.self_attn.k_norm.weight"));
        }
        assertEquals(16 * 96, ModelRun.logits(target, backend).length);
    }

    @Test
    void writesTheSameBytesHoweverTheRowsAreSplit() throws IOException {
        run(rounding(), null).run(SILENT);
        Path again = folder.resolve("again");
        new QuantizationRun(source, again, rounding(), null, SplittingBackend.of(3)).run(SILENT);

        assertSameContents(target, again);
    }

    @Test
    void reportsEveryLinearInTheOrderOfWork() throws IOException {
        List<LinearReport> heard = new ArrayList<>();
        List<QuantizationReport> finished = new ArrayList<>();
        QuantizationReport report = run(rounding(), null).run(new QuantizationListener() {
            @Override
            public void quantized(LinearReport linear) {
                heard.add(linear);
            }

            @Override
            public void finished(QuantizationReport last) {
                assertTrue(Files.exists(target.resolve("model.safetensors")));
                finished.add(last);
            }
        });

        assertEquals(report.linears(), heard);
        assertSame(report, finished.getFirst());
        assertEquals(
                List.of("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
                report.linears().subList(0, 7).stream()
                        .map(linear -> linear.name().replaceAll(".*\\.", ""))
                        .toList());
        assertEquals("model.layers.2.mlp.down_proj", report.linears().getLast().name());
        assertEquals(21, report.verified());
        assertEquals("model", report.model());
        assertEquals("llama", report.family());
        assertEquals(3 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64), report.quantizedParameters());
        assertEquals(report.quantizedParameters() + 96 * 64 + 7 * 64, report.parameters());
        assertEquals(2 * report.parameters(), report.sourceBytes());
        for (LinearReport linear : report.linears()) {
            assertEquals(QuantizationError.Measure.WEIGHTS, linear.error().measure());
            // A 4-bit grid over 32 bell-shaped weights errs by a few thousandths of their square.
            assertTrue(linear.error().relative() > 1e-3 && linear.error().relative() < 2e-2, linear.toString());
            assertEquals(linear.error().rounding(), linear.error().relative());
        }
        assertEquals(
                report.worst().error().relative(),
                report.linears().stream()
                        .mapToDouble(linear -> linear.error().relative())
                        .max()
                        .orElseThrow());
        assertTrue(report.meanError() > 0
                && report.meanError() < report.worst().error().relative());
        assertEquals(List.of(), report.retried());
    }

    @Test
    void countsTheStoredBitsOfAWeight() throws IOException {
        QuantizationReport report = run(rounding(), null).run(SILENT);

        long written;
        long packed;
        try (Checkpoint after = Checkpoint.open(target)) {
            written = after.tensors().values().stream()
                    .mapToLong(tensor -> tensor.data().byteSize())
                    .sum();
            packed = after.tensors().values().stream()
                    .filter(tensor -> tensor.name().contains("_proj."))
                    .mapToLong(tensor -> tensor.data().byteSize())
                    .sum();
        }
        assertEquals(written, report.writtenBytes());
        assertEquals(8.0 * packed / report.quantizedParameters(), report.bitsPerWeight());
        assertTrue(report.bitsPerWeight() > 4.5 && report.bitsPerWeight() < 5.5);
    }

    @Test
    void splitsTheOutputIntoFilesThatTheIndexNames() throws IOException {
        run(rounding(), null).run(SILENT);
        Path split = folder.resolve("split");
        OutputOptions options = OutputOptions.DEFAULT.withShardBytes(20_000);
        new QuantizationRun(source, split, rounding(), null, backend, options).run(SILENT);

        JsonNode index = json(split.resolve("model.safetensors.index.json"));
        SortedMap<String, String> found = new TreeMap<>();
        long total = 0;
        try (Stream<Path> files = Files.list(split);
                Arena arena = Arena.ofConfined()) {
            for (Path file : files.filter(file -> file.toString().endsWith(".safetensors"))
                    .toList()) {
                long bytes = 0;
                for (Tensor tensor : SafetensorsFile.map(file, arena).tensors().values()) {
                    found.put(tensor.name(), file.getFileName().toString());
                    bytes += tensor.data().byteSize();
                }
                assertTrue(bytes <= 20_000, file + " holds " + bytes);
                total += bytes;
            }
        }
        SortedMap<String, String> named = new TreeMap<>();
        index.get("weight_map")
                .properties()
                .forEach(entry -> named.put(entry.getKey(), entry.getValue().asText()));
        assertEquals(found, named);
        assertEquals(total, index.get("metadata").get("total_size").asLong());
        assertTrue(named.values().stream().distinct().count() > 2, named.toString());
        try (Checkpoint whole = Checkpoint.open(target);
                Checkpoint parts = Checkpoint.open(split)) {
            assertEquals(whole.tensors().keySet(), parts.tensors().keySet());
            for (Tensor tensor : whole.tensors().values()) {
                assertEquals(
                        -1, tensor.data().mismatch(parts.tensor(tensor.name()).data()), tensor.name());
            }
        }
        assertFalse(Files.exists(target.resolve("model.safetensors.index.json")));
    }

    @Test
    void leavesTimesAndMachineOutOfTheWrittenReport() throws IOException {
        run(rounding(), null).run(SILENT);

        JsonNode written = json(target.resolve("halftone.json"));
        assertEquals(21, written.get("linears").size());
        assertTrue(written.get("linears").get(0).get("error").get("relative").asDouble() > 0);
        assertEquals("rtn", written.get("method").asText());
        assertNull(written.findValue("seconds"));
        assertNull(written.findValue("backend"));
    }

    @Test
    void progressesFromZeroToOne() throws IOException {
        for (Recipe recipe : List.of(rounding(), recipe(new MomentsProbe(), 4, 32))) {
            List<Double> fractions = new ArrayList<>();
            Path output = folder.resolve("out-" + recipe.quantizer().name());
            new QuantizationRun(source, output, recipe, calibration(3, 16), backend).run(new QuantizationListener() {
                @Override
                public void progressed(double fraction) {
                    fractions.add(fraction);
                }
            });

            assertEquals(fractions.stream().sorted().toList(), fractions);
            assertTrue(fractions.getFirst() > 0 && fractions.getFirst() < 0.2, fractions.toString());
            assertEquals(1, fractions.getLast(), 1e-9);
        }
    }

    @Test
    void estimatesMemoryThatDoesNotGrowWithDepth() throws IOException {
        List<MemoryEstimate> estimates = new ArrayList<>();
        ObjectNode config = SyntheticCheckpoint.tinyConfig();
        for (int layers : new int[] {2, 5}) {
            config.put("num_hidden_layers", layers);
            source = folder.resolve("depth" + layers);
            SyntheticCheckpoint.write(source, config, DType.BF16, 1);
            try (Checkpoint checkpoint = Checkpoint.open(source)) {
                estimates.add(
                        QuantizationPlan.of(checkpoint, recipe(new MomentsProbe(), 4, 32), calibration(4, 16), 1 << 20)
                                .memory());
            }
        }

        // Pages of files are given back block by block, and the heap is as large as it happens to be.
        List<Map<String, Long>> parts = new ArrayList<>();
        for (MemoryEstimate estimate : estimates) {
            parts.add(new TreeMap<>(estimate.parts()));
            parts.getLast().remove("Java heap");
            assertEquals(estimate.total() + estimate.mapped(), estimate.resident());
        }
        assertEquals(parts.get(0), parts.get(1));
        assertTrue(estimates.get(1).mapped() <= estimates.get(0).mapped());
        // 64 tokens of 64 hidden and at most 96 input columns in float32.
        assertEquals(4 * 64 * (64 + 96), estimates.get(0).parts().get("calibration activations"));
        // Moments and factor of 96 columns, the weight [64, 96] and a block of its errors, a slab and a strip.
        assertEquals(
                4 * (2 * 96 * 96 + 64 * 96 + 64 * 128 + (384 + 128) * 96),
                estimates.get(0).parts().get("moments, factor and working copy"));
        assertTrue(estimates.get(0).total() > 0);
    }

    @Test
    void endsBeforeAnyWorkWhenTheListenerDislikesThePlan() throws IOException {
        QuantizationRun run = run(rounding(), null);

        assertThrows(
                IllegalStateException.class,
                () -> run.run(new QuantizationListener() {
                    @Override
                    public void planned(QuantizationPlan plan) {
                        assertEquals(21, plan.linears().size());
                        throw new IllegalStateException("too much memory");
                    }
                }));

        assertNothingLeft();
    }

    @Test
    void stopsBetweenTwoLinearsAndLeavesNothing() throws IOException {
        QuantizationRun run = run(rounding(), null);
        List<String> done = new ArrayList<>();

        assertThrows(
                CancellationException.class,
                () -> run.run(new QuantizationListener() {
                    @Override
                    public void quantized(LinearReport linear) {
                        done.add(linear.name());
                        if (done.size() == 3) {
                            run.cancel();
                        }
                    }
                }));

        assertEquals(3, done.size());
        assertNothingLeft();
    }

    @Test
    void stopsBetweenTwoBatchesOfTheForwardPass() throws IOException {
        // 2048 tokens run at once, so these 2560 make two batches.
        QuantizationRun run = run(recipe(new MomentsProbe(), 4, 32), calibration(40, 64));
        List<Double> fractions = new ArrayList<>();

        assertThrows(
                CancellationException.class,
                () -> run.run(new QuantizationListener() {
                    @Override
                    public void progressed(double fraction) {
                        fractions.add(fraction);
                        run.cancel();
                    }
                }));

        assertEquals(1, fractions.size());
        assertNothingLeft();
    }

    @Test
    void publishesNothingWhenTheFileDoesNotHoldWhatWasComputed() throws IOException {
        QuantizationRun run = run(rounding(), null);
        Path staged = folder.resolve(".out.partial/model/model.safetensors");

        HalftoneException refusal = assertThrows(
                HalftoneException.class,
                () -> run.run(new QuantizationListener() {
                    @Override
                    public void quantized(LinearReport linear) {
                        if (linear.name().endsWith("layers.1.self_attn.v_proj")) {
                            flipABit(staged, linear.name() + ".qweight");
                        }
                    }
                }));

        assertEquals(Kind.RESOURCES, refusal.kind());
        assertTrue(refusal.getMessage().contains("model.layers.1.self_attn.v_proj"), refusal.getMessage());
        assertNothingLeft();
    }

    /// The header is there from the beginning, the data as they come.
    private static void flipABit(Path file, String tensor) {
        try (RandomAccessFile access = new RandomAccessFile(file.toFile(), "rw")) {
            byte[] header = new byte[(int) Long.reverseBytes(access.readLong())];
            access.readFully(header);
            JsonNode entry = new ObjectMapper().readTree(header).get(tensor);
            long position = 8 + header.length + entry.get("data_offsets").get(0).asLong();
            access.seek(position);
            int value = access.read();
            access.seek(position);
            access.write(value ^ 4);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void refusesAModelThatIsQuantizedAlready() throws IOException {
        run(rounding(), null).run(SILENT);
        Path quantized = target;
        source = quantized;
        target = folder.resolve("twice");
        QuantizationRun run = run(rounding(), null);

        HalftoneException refusal = assertThrows(HalftoneException.class, () -> run.run(SILENT));

        assertEquals(Kind.INPUT, refusal.kind());
        assertTrue(refusal.getMessage().contains("already quantized"), refusal.explanation());
        assertTrue(refusal.detail().contains("gptq 4-bit g32 asymmetric"), refusal.explanation());
        assertFalse(Files.exists(target));
    }

    @Test
    void refusesAnUnknownArchitecture() throws IOException {
        ObjectNode config = SyntheticCheckpoint.tinyConfig();
        config.put("model_type", "mamba");
        config.putArray("architectures").add("MambaForCausalLM");
        new ObjectMapper().writeValue(source.resolve("config.json").toFile(), config);

        HalftoneException refusal = refusal(rounding(), null);

        assertEquals(Kind.INPUT, refusal.kind());
        assertTrue(refusal.getMessage().contains("MambaForCausalLM"), refusal.explanation());
    }

    @Test
    void namesTheLinearThatAGroupSizeDoesNotDivideAndTheSizesThatFitAll() throws IOException {
        ObjectNode config = SyntheticCheckpoint.tinyConfig();
        config.put("intermediate_size", 160);
        rewriteTheModel(config);

        HalftoneException refusal = refusal(recipe(new RoundToNearest(), 4, 64), null);

        assertEquals(Kind.USAGE, refusal.kind());
        assertTrue(refusal.getMessage().contains("model.layers.0.mlp.down_proj: 160 inputs"), refusal.explanation());
        assertTrue(refusal.detail().endsWith(": 16, 32, -1 (per channel)"), refusal.explanation());
        assertEquals("group size 32", refusal.remedy());
    }

    @Test
    void advisesPerChannelWhenNoSmallerGroupFits() {
        HalftoneException refusal = refusal(recipe(new RoundToNearest(), 4, 15), null);

        assertTrue(refusal.getMessage().contains("self_attn.q_proj: 64 inputs"), refusal.explanation());
        assertEquals("group size -1", refusal.remedy());
    }

    @Test
    void refusesWhatTheFormatCannotHold() {
        HalftoneException refusal = refusal(recipe(new RoundToNearest(), 5, 32), null);

        assertEquals(Kind.USAGE, refusal.kind());
        assertTrue(refusal.getMessage().contains("5-bit"), refusal.explanation());
    }

    @Test
    void refusesALinearOfAnotherShapeThanTheConfigurationSays() throws IOException {
        ObjectNode config = SyntheticCheckpoint.tinyConfig();
        config.put("intermediate_size", 128);
        new ObjectMapper().writeValue(source.resolve("config.json").toFile(), config);

        HalftoneException refusal = refusal(rounding(), null);

        assertEquals(Kind.INPUT, refusal.kind());
        assertTrue(refusal.getMessage().contains("model.layers.0.mlp.gate_proj.weight"), refusal.explanation());
        assertTrue(refusal.detail().contains("[96, 64]") && refusal.detail().contains("[128, 64]"));
    }

    @Test
    void refusesAModelThatLacksALayer() throws IOException {
        ObjectNode config = SyntheticCheckpoint.tinyConfig();
        config.put("num_hidden_layers", 4);
        new ObjectMapper().writeValue(source.resolve("config.json").toFile(), config);

        HalftoneException refusal = refusal(rounding(), null);

        assertEquals(Kind.INPUT, refusal.kind());
        assertTrue(refusal.getMessage().contains("model.layers.3.self_attn.q_proj.weight"), refusal.explanation());
    }

    @Test
    void namesTheFirstNumberThatIsNotFinite() throws IOException {
        Path file = source.resolve("model.safetensors");
        try (RandomAccessFile access = new RandomAccessFile(file.toFile(), "rw")) {
            // The embedding comes first in the file. One NaN, a zero, one infinity.
            long first = access.length() - 2L * parameters();
            access.seek(first + 2 * 100);
            access.write(new byte[] {(byte) 0xC0, 0x7F, 0, 0, (byte) 0x80, 0x7F});
        }

        HalftoneException refusal = refusal(rounding(), null);

        assertEquals(Kind.INPUT, refusal.kind());
        assertTrue(refusal.getMessage().contains(Llama.EMBEDDING), refusal.explanation());
        assertTrue(refusal.detail().contains("2 of 6144") && refusal.detail().contains("index 100"), refusal.detail());
    }

    private long parameters() throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(source)) {
            return checkpoint.tensors().values().stream()
                    .mapToLong(Tensor::elements)
                    .sum();
        }
    }

    @Test
    void refusesAnOutputThatIsNotEmpty() throws IOException {
        Files.createDirectories(target);
        Files.writeString(target.resolve("precious"), "keep me");
        QuantizationRun run = run(rounding(), null);

        HalftoneException refusal = assertThrows(HalftoneException.class, () -> run.run(SILENT));

        assertEquals(Kind.OUTPUT_TAKEN, refusal.kind());
        assertEquals("keep me", Files.readString(target.resolve("precious")));
    }

    @Test
    void refusesAMethodThatNeedsCalibrationWithoutOne() {
        assertThrows(IllegalArgumentException.class, () -> run(recipe(new MomentsProbe(), 4, 32), null));
    }

    @Test
    void refusesWindowsBeyondTheModelsContext() {
        HalftoneException refusal = refusal(recipe(new MomentsProbe(), 4, 32), calibration(1, 65));

        assertEquals(Kind.USAGE, refusal.kind());
        assertTrue(refusal.detail().contains("65") && refusal.detail().contains("64"), refusal.explanation());
    }

    @Test
    void refusesTokensOfAnotherVocabulary() {
        Calibration foreign = Calibration.of("text", new int[] {3, 96, 1}, 1, 3);

        HalftoneException refusal = refusal(recipe(new MomentsProbe(), 4, 32), foreign);

        assertEquals(Kind.INPUT, refusal.kind());
        assertTrue(refusal.getMessage().contains("96"), refusal.explanation());
    }

    @Test
    void recordsTheCalibrationInConfigurationAndReport() throws IOException {
        QuantizationReport report =
                run(recipe(new MomentsProbe(), 4, 32), calibration(3, 16)).run(SILENT);

        JsonNode meta = json(target.resolve("quantize_config.json")).get("meta");
        assertEquals(
                report.calibration().textSha256(),
                meta.get("calibration_sha256").asText());
        assertEquals(3, meta.get("calibration_windows").asInt());
        assertTrue(meta.get("true_sequential").asBoolean());
        assertEquals(48, report.calibration().tokens());
    }

    @Test
    void dependsOnTheSamplesOnlyThroughTheMethod() throws IOException {
        run(recipe(new MomentsProbe(), 4, 32), calibration(3, 16)).run(SILENT);
        Path plain = folder.resolve("plain");
        new QuantizationRun(source, plain, rounding(), null, backend).run(SILENT);

        assertArrayEquals(
                Files.readAllBytes(plain.resolve("model.safetensors")),
                Files.readAllBytes(target.resolve("model.safetensors")));
        assertNotEquals(json(plain.resolve("config.json")), json(target.resolve("config.json")));
    }
}

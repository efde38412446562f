package dev.halftone.core.quantize;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.layout.CompressedTensorsLayout;
import dev.halftone.core.layout.GptqLayout;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.layout.PackedLayout;
import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.model.Workspace;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.testing.SyntheticCheckpoint;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/// What the one piecewise pass shows a method is what running the half-quantized model from its start would show.
class TrueSequentialTest {
    private static final int LAYERS = 2;

    private final Backend backend = new ReferenceBackend();

    /// Tokens of the latest moments.
    private long counted;

    @TempDir
    private Path folder;

    private static ObjectNode config(String kind) {
        ObjectNode config = SyntheticCheckpoint.tinyConfig();
        config.put("num_hidden_layers", LAYERS);
        switch (kind) {
            case "llama" -> {}
            case "biased" -> config.put("attention_bias", true).put("mlp_bias", true);
            case "windowed" -> {
                config.put("model_type", "mistral").put("sliding_window", 5);
                config.putArray("architectures").add("MistralForCausalLM");
            }
            case "headNorms" -> {
                config.put("model_type", "qwen3").put("head_dim", 32);
                config.putArray("architectures").add("Qwen3ForCausalLM");
            }
            default -> throw new IllegalArgumentException(kind);
        }
        return config;
    }

    private MomentsProbe quantize(Path source, Path target, Calibration calibration) throws IOException {
        QuantizationScheme scheme = QuantizationScheme.gptq(3, 32, false);
        MomentsProbe probe = new MomentsProbe();
        quantize(source, target, calibration, new Recipe(probe, scheme, GptqLayout.v1(scheme)));
        return probe;
    }

    private void quantize(Path source, Path target, Calibration calibration, Recipe recipe) throws IOException {
        new QuantizationRun(source, target, recipe, calibration, backend).run(new QuantizationListener() {});
    }

    /// 300 windows of 16 tokens make four batches of 64 windows and one of 44, and so many tokens that not all count.
    private static Calibration calibration(int samples) {
        int[] tokens = IntStream.range(0, samples * 16)
                .map(i -> (i * 31 + i / 7 * i) % 96)
                .toArray();
        return Calibration.of("text", tokens, samples, 16);
    }

    @ParameterizedTest
    @ValueSource(strings = {"llama", "biased", "windowed", "headNorms"})
    void showsEachLinearWhatTheQuantizedPartBeforeItPutsOut(String kind) throws IOException {
        Path source = folder.resolve("model");
        Path target = folder.resolve("out");
        SyntheticCheckpoint.write(source, config(kind), DType.F32, 3);
        Calibration calibration = calibration(kind.equals("llama") ? 300 : 5);

        MomentsProbe probe = quantize(source, target, calibration);

        assertShown(source, target, probe, calibration);
        long tokens = calibration.facts().tokens();
        assertEquals(kind.equals("llama"), probe.tokens.values().stream().anyMatch(counted -> counted < tokens));
    }

    static Stream<InputRounding> roundings() {
        return Stream.of(
                InputRounding.PER_TOKEN,
                InputRounding.perTensor(InputRange.MIN_MAX),
                InputRounding.perTensor(InputRange.PERCENTILE));
    }

    /// Linears of the written files round their own inputs, so the inputs behind them are those of inference too.
    @ParameterizedTest
    @MethodSource("roundings")
    void showsInputsRoundedAsTheWrittenFileRoundsThem(InputRounding rounding) throws IOException {
        Path source = folder.resolve("model");
        Path target = folder.resolve("out");
        SyntheticCheckpoint.write(source, config("biased"), DType.F32, 3);
        Calibration calibration = calibration(5);
        MomentsProbe probe = new MomentsProbe();
        QuantizationScheme scheme = new QuantizationScheme(8, QuantizationScheme.PER_CHANNEL, true, DType.F32, 0);
        PackedLayout layout = CompressedTensorsLayout.integers(scheme, rounding.kind());

        quantize(source, target, calibration, new Recipe(List.of(), probe, scheme, layout, rounding));

        assertShown(source, target, probe, calibration);
    }

    private void assertShown(Path source, Path target, MomentsProbe probe, Calibration calibration) throws IOException {
        for (int layer = 0; layer < LAYERS; layer++) {
            for (InputSite site : InputSite.values()) {
                float[] expected = recompute(source, target, layer, site, calibration);
                double largest = 0;
                for (float value : expected) {
                    largest = Math.max(largest, Math.abs(value));
                }
                for (String linear : site.linears()) {
                    String name = DecoderBlock.prefix(layer) + linear;
                    float[] found = probe.moments.get(name);
                    assertEquals(expected.length, found.length, name);
                    for (int i = 0; i < found.length; i++) {
                        assertEquals(expected[i], found[i], 2e-6 * largest, name);
                    }
                    assertEquals(counted, probe.tokens.get(name));
                }
            }
        }
    }

    /// Loads the original model, puts the written weights of everything before `site` in, and runs it from the tokens
    /// on, one window at a time.
    private float[] recompute(Path source, Path target, int layer, InputSite site, Calibration calibration)
            throws IOException {
        int length = calibration.facts().length();
        try (Checkpoint original = Checkpoint.open(source);
                Checkpoint written = Checkpoint.open(target);
                Llama llama = Llama.load(original, backend);
                Workspace workspace = llama.workspace(length);
                KvCache cache = llama.allocateCache(1, length)) {
            LlamaConfig config = llama.config();
            LinearWeights quantized = LinearWeights.of(written);
            for (int before = 0; before <= layer; before++) {
                for (InputSite other : InputSite.values()) {
                    if (before < layer || other.ordinal() < site.ordinal()) {
                        for (String linear : other.linears()) {
                            llama.block(before).bind(linear, quantized.weight(DecoderBlock.prefix(before) + linear));
                        }
                    }
                }
            }
            InputStatistics statistics = new InputStatistics(site.width(config), backend);
            int windowsAtOnce = Math.min(1024 / length, calibration.windows().size());
            int number = 0;
            for (int[] window : calibration.windows()) {
                Batch batch = Batch.single(0, length);
                Matrix hidden = backend.allocate(length, config.hidden());
                llama.embed(window, hidden);
                workspace.angles().prepare(batch);
                for (int before = 0; before < layer; before++) {
                    llama.block(before).forward(hidden, batch, workspace.angles(), cache, before, workspace);
                }
                Matrix input = input(llama.block(layer), layer, site, hidden, batch, cache, workspace, config);
                round(input, (QuantizedWeight) quantized.weight(
                        DecoderBlock.prefix(layer) + site.linears().getLast()));
                addCounting(input, number++, windowsAtOnce, calibration.facts(), statistics);
            }
            counted = statistics.tokens();
            float[] moments = new float[site.width(config) * site.width(config)];
            backend.copyOut(statistics.moments(), moments, 0);
            return moments;
        }
    }

    /// Every few tokens where there are more than twenty for each column, beginning with another in each batch.
    private void addCounting(
            Matrix input, int number, int windowsAtOnce, Calibration.Facts facts, InputStatistics statistics) {
        int step = (int) Math.max(1, facts.tokens() / (20L * input.columns()));
        int batch = number / windowsAtOnce;
        int before = number % windowsAtOnce * input.rows();
        int[] counting = IntStream.range(0, input.rows())
                .filter(i -> (before + i) % step == batch % step)
                .toArray();
        Matrix rows = backend.allocate(counting.length, input.columns());
        backend.gatherRows(input, counting, rows);
        statistics.add(rows);
    }

    /// As `weight` asks for it, one number at a time.
    private void round(Matrix input, QuantizedWeight weight) {
        ActivationScheme activations = weight.activations();
        float[] row = new float[input.columns()];
        for (int i = 0; i < input.rows() && activations.kind() != ActivationScheme.Kind.NONE; i++) {
            backend.copyOut(input.rows(i, 1), row, 0);
            float scale = activations.scaleOf(row, 0, row.length);
            for (int j = 0; j < row.length; j++) {
                row[j] = scale * (float) Math.clamp(Math.rint(row[j] / scale), -128, 127);
            }
            backend.copyIn(row, 0, input.rows(i, 1));
        }
    }

    private Matrix input(
            DecoderBlock block,
            int layer,
            InputSite site,
            Matrix hidden,
            Batch batch,
            KvCache cache,
            Workspace workspace,
            LlamaConfig config) {
        Matrix input = backend.allocate(hidden.rows(), config.hidden());
        block.enter(hidden, input);
        for (InputSite reached = InputSite.ATTENTION_INPUT; reached != site; ) {
            reached = InputSite.values()[reached.ordinal() + 1];
            Matrix next = backend.allocate(hidden.rows(), reached.width(config));
            switch (reached) {
                case ATTENTION_INPUT -> throw new AssertionError("comes first");
                case ATTENTION_OUTPUT -> block.attend(input, batch, workspace.angles(), cache, layer, workspace, next);
                case MLP_INPUT -> block.closeAttention(input, hidden, workspace, next);
                case MLP_OUTPUT -> block.activate(input, workspace, next);
            }
            input = next;
        }
        return input;
    }

    @Test
    void sharesStatisticsBetweenTheLinearsOfASiteOnly() throws IOException {
        Path source = folder.resolve("model");
        SyntheticCheckpoint.write(source, config("llama"), DType.F32, 3);

        MomentsProbe probe = quantize(source, folder.resolve("out"), calibration(2));

        String block = DecoderBlock.prefix(1);
        InputStatistics q = probe.statistics.get(block + "self_attn.q_proj");
        assertSame(q, probe.statistics.get(block + "self_attn.v_proj"));
        assertSame(probe.statistics.get(block + "mlp.gate_proj"), probe.statistics.get(block + "mlp.up_proj"));
        assertNotSame(q, probe.statistics.get(block + "self_attn.o_proj"));
        assertTrue(probe.statistics.size() == 7 * LAYERS);
    }
}

package dev.halftone.smoothquant;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.layout.CompressedTensorsLayout;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.Workspace;
import dev.halftone.core.quantize.BlockTransform;
import dev.halftone.core.quantize.Calibration;
import dev.halftone.core.quantize.Fold;
import dev.halftone.core.quantize.InputRange;
import dev.halftone.core.quantize.InputRounding;
import dev.halftone.core.quantize.InputStatistics;
import dev.halftone.core.quantize.QuantizationListener;
import dev.halftone.core.quantize.QuantizationReport;
import dev.halftone.core.quantize.QuantizationRun;
import dev.halftone.core.quantize.Recipe;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.testing.SyntheticCheckpoint;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.Weight;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// From a float model with outliers to a file with integers, and what that file then computes.
class SmoothingRunTest {
    private static final QuantizationScheme SCHEME =
            new QuantizationScheme(8, QuantizationScheme.PER_CHANNEL, true, DType.F32, 0);

    private static final int[] TOKENS =
            IntStream.range(0, 96).map(i -> i * i * 7 % 96).toArray();

    private final Backend backend = new ReferenceBackend();

    @TempDir
    private Path folder;

    private Path source;

    /// Makes one channel of every site 200 times as large as the model had it, and its readers smaller by as much: an
    /// outlier that changes nothing but the rounding.
    private static final class Roughening implements BlockTransform {
        @Override
        public String name() {
            return "roughening";
        }

        @Override
        public SortedMap<String, Object> settings() {
            return new TreeMap<>();
        }

        @Override
        public float[] divisors(
                Fold fold, List<Weight> weights, InputStatistics seen, QuantizationScheme scheme, Backend backend) {
            float[] divisors = new float[fold.producers()];
            Arrays.fill(divisors, 1);
            divisors[7] = 1 / 200f;
            return divisors;
        }
    }

    @BeforeEach
    void writeModel() throws IOException {
        source = folder.resolve("model");
        SyntheticCheckpoint.write(source, SyntheticCheckpoint.tinyConfig(), DType.F32, 3);
    }

    private QuantizationReport quantize(String target, List<BlockTransform> transforms, InputRounding rounding)
            throws IOException {
        Recipe recipe = new Recipe(
                transforms,
                new RoundToNearest(),
                SCHEME,
                CompressedTensorsLayout.integers(SCHEME, rounding.kind()),
                rounding);
        Calibration calibration = Calibration.of("text", TOKENS, 4, 24);
        return new QuantizationRun(source, folder.resolve(target), recipe, calibration, backend)
                .run(new QuantizationListener() {});
    }

    private float[] logits(Path directory) throws IOException {
        // Seen in calibration, so that no static range is exceeded.
        int[] tokens = Arrays.copyOf(TOKENS, 24);
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

    private double error(String target) throws IOException {
        float[] expected = logits(source);
        float[] found = logits(folder.resolve(target));
        double error = 0;
        for (int i = 0; i < found.length; i++) {
            error += Math.pow(found[i] - expected[i], 2);
        }
        return error;
    }

    static Stream<InputRounding> roundings() {
        return Stream.of(InputRounding.PER_TOKEN, InputRounding.perTensor(InputRange.MIN_MAX));
    }

    @ParameterizedTest
    @MethodSource("roundings")
    void takesTheOutliersOutOfAModel(InputRounding rounding) throws IOException {
        quantize("rough", List.of(new Roughening()), rounding);
        QuantizationReport report = quantize(
                "smooth",
                List.of(new Roughening(), new Smoothing(SmoothingOptions.searched(rounding.kind()))),
                rounding);
        quantize("plain", List.of(), rounding);

        assertEquals("roughening+smoothquant+rtn", report.method());
        assertEquals("auto", report.settings().get("smoothing_strength"));
        assertEquals(21, report.verified());
        double rough = error("rough");
        double smooth = error("smooth");
        double plain = error("plain");
        assertTrue(rough > 20 * plain, "the outliers cost something: " + rough + " against " + plain);
        assertTrue(smooth < 2 * plain, smooth + " with outliers smoothed, " + plain + " without outliers");
    }

    @ParameterizedTest
    @MethodSource("roundings")
    void writesHowInputsAreRounded(InputRounding rounding) throws IOException {
        quantize("out", List.of(new Smoothing(SmoothingOptions.fixed(0.5, rounding.kind()))), rounding);
        try (Checkpoint checkpoint = Checkpoint.open(folder.resolve("out"))) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            ActivationScheme q = activations(weights, "model.layers.1.self_attn.q_proj");
            assertEquals(rounding.kind(), q.kind());
            assertEquals(q, activations(weights, "model.layers.1.self_attn.v_proj"), "they read the same inputs");
            String meta = checkpoint
                    .json("halftone.json")
                    .orElseThrow()
                    .at("/settings/activations")
                    .textValue();
            assertEquals(rounding.range() == null ? "per-token" : "per-tensor", meta);
        }
    }

    private static ActivationScheme activations(LinearWeights weights, String linear) {
        return ((QuantizedWeight) weights.weight(linear)).activations();
    }
}

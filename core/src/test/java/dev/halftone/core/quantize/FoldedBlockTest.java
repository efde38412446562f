package dev.halftone.core.quantize;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.layout.GptqLayout;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.model.Workspace;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.testing.SyntheticCheckpoint;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class FoldedBlockTest {
    private static final int LAYER = 1;

    private final Backend backend = new ReferenceBackend();

    @TempDir
    private Path folder;

    /// Grouped queries and biases everywhere, so that every way of folding is taken.
    private static ObjectNode config() {
        ObjectNode config = SyntheticCheckpoint.tinyConfig();
        config.put("num_hidden_layers", 2).put("attention_bias", true).put("mlp_bias", true);
        return config;
    }

    private static float[] random(int count, long seed) {
        Random random = new Random(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) Math.exp(random.nextGaussian());
        }
        return values;
    }

    private float[] run(DecoderBlock block, LlamaConfig config) {
        int rows = 9;
        try (Workspace workspace = new Workspace(backend, config, rows);
                KvCache cache = backend.allocateCache(1, 1, rows, config.attention(LAYER), DType.F32);
                Matrix hidden = backend.allocate(rows, config.hidden())) {
            float[] values = random(rows * config.hidden(), 5);
            backend.copyIn(values, 0, hidden);
            Batch batch = Batch.single(0, rows);
            workspace.angles().prepare(batch);
            block.forward(hidden, batch, workspace.angles(), cache, 0, workspace);
            backend.copyOut(hidden, values, 0);
            return values;
        }
    }

    private float[] runFolded(Checkpoint checkpoint, LlamaConfig config, FoldedBlock folded) {
        LinearWeights weights = LinearWeights.of(checkpoint);
        try (Arena arena = Arena.ofShared();
                DecoderBlock block =
                        DecoderBlock.withoutLinears(config, LAYER, weights, checkpoint, backend, folded.replaced())) {
            for (InputSite site : InputSite.values()) {
                for (String linear : site.linears()) {
                    block.bind(linear, folded.weight(linear, arena));
                }
            }
            return run(block, config);
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = DType.class,
            names = {"F32", "F16", "BF16"})
    void leavesWhatTheBlockComputesUnchangedWhateverTypeTheNormsAreStoredIn(DType type) throws IOException {
        Path source = folder.resolve("model");
        SyntheticCheckpoint.write(source, config(), type, 3);
        try (Checkpoint checkpoint = Checkpoint.open(source)) {
            LlamaConfig config = LlamaConfig.of(checkpoint.config());
            LinearWeights weights = LinearWeights.of(checkpoint);
            float[] expected;
            try (DecoderBlock block = DecoderBlock.load(config, LAYER, weights, checkpoint, backend)) {
                expected = run(block, config);
            }
            try (FoldedBlock folded = new FoldedBlock(checkpoint, weights, config, LAYER)) {
                for (int round = 0; round < 2; round++) {
                    for (InputSite site : InputSite.values()) {
                        Fold fold = Fold.of(site, config);
                        folded.divide(fold, random(fold.producers(), site.ordinal() + 10L * round));
                    }
                }
                assertEquals(4, folded.replaced().size());
                float[] found = runFolded(checkpoint, config, folded);
                // Divided biases are rounded to the checkpoint's type; all else is exact but for float32.
                double tolerance = type == DType.F32 ? 1e-5 : type == DType.F16 ? 1e-3 : 1e-2;
                for (int i = 0; i < found.length; i++) {
                    assertEquals(expected[i], found[i], tolerance * (1 + Math.abs(expected[i])));
                }
            }
        }
    }

    @Test
    void multipliesColumnsByWhatTheRoundedNormWasReallyDividedBy() throws IOException {
        Path source = folder.resolve("model");
        SyntheticCheckpoint.write(source, SyntheticCheckpoint.tinyConfig(), DType.BF16, 3);
        try (Checkpoint checkpoint = Checkpoint.open(source)) {
            LlamaConfig config = LlamaConfig.of(checkpoint.config());
            LinearWeights weights = LinearWeights.of(checkpoint);
            try (FoldedBlock folded = new FoldedBlock(checkpoint, weights, config, LAYER);
                    Arena arena = Arena.ofShared()) {
                Fold fold = Fold.of(InputSite.MLP_INPUT, config);
                float[] asked = random(fold.producers(), 1);
                float[] real = folded.divide(fold, asked);
                String norm = DecoderBlock.prefix(LAYER) + "post_attention_layernorm.weight";
                float[] before = checkpoint.tensor(norm).toFloats();
                float[] after = folded.replaced().get(norm).toFloats();
                float[] original = weights.weight(DecoderBlock.prefix(LAYER) + "mlp.gate_proj")
                        .restore();
                float[] scaled = folded.weight("mlp.gate_proj", arena).restore();
                boolean rounded = false;
                for (int i = 0; i < real.length; i++) {
                    assertEquals(before[i], after[i] * real[i], 1e-6 * Math.abs(before[i]));
                    assertEquals(original[i] * real[i], scaled[i], 1e-6 * Math.abs(scaled[i]));
                    rounded |= real[i] != asked[i];
                }
                assertTrue(rounded, "bfloat16 holds no arbitrary quotient");
            }
        }
    }

    @Test
    void handsOutTheCheckpointsOwnWeightWhereNothingWasFolded() throws IOException {
        Path source = folder.resolve("model");
        SyntheticCheckpoint.write(source, config(), DType.F32, 3);
        try (Checkpoint checkpoint = Checkpoint.open(source)) {
            LlamaConfig config = LlamaConfig.of(checkpoint.config());
            LinearWeights weights = LinearWeights.of(checkpoint);
            try (FoldedBlock folded = new FoldedBlock(checkpoint, weights, config, LAYER);
                    Arena arena = Arena.ofShared()) {
                Fold fold = Fold.of(InputSite.MLP_OUTPUT, config);
                folded.divide(fold, random(fold.producers(), 1));
                DenseWeight gate = (DenseWeight) folded.weight("mlp.gate_proj", arena);
                assertEquals(
                        checkpoint.tensor(gate.tensor().name()).data().address(),
                        gate.tensor().data().address(),
                        "gate neither reads nor makes the input of down");
                float[] one = new float[fold.producers()];
                Arrays.fill(one, 1);
                one[3] = Float.NaN;
                assertThrows(IllegalArgumentException.class, () -> folded.divide(fold, one));
            }
        }
    }

    @Test
    void repeatsTheChannelsOfAKeyHeadForItsQueryHeads() {
        LlamaConfig config = LlamaConfig.of(SyntheticCheckpoint.tinyConfig());
        Fold fold = Fold.of(InputSite.ATTENTION_OUTPUT, config);
        int size = config.headSize();
        assertEquals(config.kvHeads() * size, fold.producers());
        assertNotEquals(config.kvHeads(), config.heads(), "the model must group its queries");
        int queriesPerKey = config.heads() / config.kvHeads();
        for (int head = 0; head < config.heads(); head++) {
            assertEquals(head / queriesPerKey * size + 1, fold.producer()[head * size + 1]);
        }
        float[] values = random(fold.producers(), 2);
        float[] again = fold.gather(fold.spread(values));
        for (int i = 0; i < values.length; i++) {
            assertEquals(values[i], again[i], 1e-6 * values[i]);
        }
    }

    /// Divides by random numbers and remembers what it was shown.
    private static final class RandomDivision implements BlockTransform {
        private float[] sampleOfFirstSite;
        private float[] momentsOfFirstSite;
        private int sampled;

        @Override
        public String name() {
            return "random";
        }

        @Override
        public SortedMap<String, Object> settings() {
            return new TreeMap<>(Map.of("seed", 4));
        }

        @Override
        public float[] divisors(
                Fold fold, List<Weight> weights, InputStatistics seen, QuantizationScheme scheme, Backend backend) {
            assertEquals(fold.site().linears().size(), weights.size());
            if (sampleOfFirstSite == null) {
                sampled = seen.details().sampled();
                sampleOfFirstSite = seen.details().sample().clone();
                momentsOfFirstSite = new float[fold.width() * fold.width()];
                backend.copyOut(seen.moments(), momentsOfFirstSite, 0);
            }
            return fold.site() == InputSite.MLP_INPUT ? null : random(fold.producers(), 4);
        }
    }

    @Test
    void aRunWritesAModelThatComputesTheSameBeforeRoundingAndSaysWhatWasDone() throws IOException {
        Path source = folder.resolve("model");
        Path target = folder.resolve("out");
        SyntheticCheckpoint.write(source, config(), DType.F32, 3);
        QuantizationScheme scheme = QuantizationScheme.gptq(8, 32, true);
        RandomDivision division = new RandomDivision();
        Recipe recipe = new Recipe(List.of(division), new RoundToNearest(), scheme, GptqLayout.v1(scheme));
        int[] tokens = IntStream.range(0, 64).map(i -> i * 31 % 96).toArray();
        Calibration calibration = Calibration.of("text", tokens, 4, 16);

        QuantizationReport report =
                new QuantizationRun(source, target, recipe, calibration, backend).run(new QuantizationListener() {});

        assertEquals("random+rtn", report.method());
        assertEquals(4, report.settings().get("seed"));
        assertEquals(report.linears().size(), report.verified());
        assertEquals(64, division.sampled);
        // The sample is all there was: its own moments are the moments.
        int width = division.momentsOfFirstSite.length / 64;
        double sum = 0;
        for (int row = 0; row < division.sampled; row++) {
            double value = division.sampleOfFirstSite[row * 64 + 5];
            sum += value * value;
        }
        assertEquals(64, width);
        assertEquals(sum / 64, division.momentsOfFirstSite[5 * 64 + 5], 1e-5 * sum / 64);
        try (Checkpoint original = Checkpoint.open(source);
                Checkpoint written = Checkpoint.open(target)) {
            LlamaConfig config = LlamaConfig.of(original.config());
            float[] expected;
            try (DecoderBlock block = DecoderBlock.load(config, LAYER, LinearWeights.of(original), original, backend)) {
                expected = run(block, config);
            }
            try (DecoderBlock block = DecoderBlock.load(config, LAYER, LinearWeights.of(written), written, backend)) {
                float[] found = run(block, config);
                double error = 0;
                double size = 0;
                for (int i = 0; i < found.length; i++) {
                    error += Math.pow(found[i] - expected[i], 2);
                    size += Math.pow(expected[i], 2);
                }
                assertTrue(error < 1e-2 * size, error / size + " is more than 8 bits lose");
            }
            assertNotEquals(
                    -1,
                    original.tensor("model.layers.0.input_layernorm.weight")
                            .data()
                            .mismatch(written.tensor("model.layers.0.input_layernorm.weight")
                                    .data()));
        }
    }
}

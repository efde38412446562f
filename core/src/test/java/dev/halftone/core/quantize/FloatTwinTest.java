package dev.halftone.core.quantize;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.layout.GptqLayout;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.testing.SyntheticCheckpoint;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.SortedMap;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The float model beside the quantized one.
class FloatTwinTest {
    private final Backend backend = new ReferenceBackend();

    @TempDir
    private Path folder;

    /// Rounds, or restores exactly enough, and keeps the sizes of what it was shown.
    private final class DriftProbe implements WeightQuantizer {
        private final Map<String, Double> shares = new HashMap<>();

        @Override
        public String name() {
            return "probe";
        }

        @Override
        public SortedMap<String, Object> settings() {
            return Collections.emptySortedMap();
        }

        @Override
        public boolean needsMoments() {
            return true;
        }

        @Override
        public boolean needsFloatInputs() {
            return true;
        }

        @Override
        public boolean needsFloatStates() {
            return true;
        }

        @Override
        public Quantized quantize(
                String linear,
                Weight weight,
                QuantizationScheme scheme,
                InputStatistics statistics,
                Backend arithmetic) {
            InputSite site = InputSite.of(linear.substring(linear.indexOf('.', "model.layers.".length()) + 1));
            if (site == InputSite.ATTENTION_OUTPUT || site == InputSite.MLP_OUTPUT) {
                assertNull(statistics.drift(), linear);
                shares.put(linear, missing(weight, statistics));
            } else {
                assertNull(statistics.outputMoments(), linear);
                shares.put(linear, largest(statistics.drift()) / largest(statistics.moments()));
            }
            return new RoundToNearest().quantize(linear, weight, scheme, null, arithmetic);
        }

        /// `C - W·H` as a share of `C`.
        private double missing(Weight weight, InputStatistics statistics) {
            try (Matrix rows = backend.allocate(weight.outputs(), weight.inputs());
                    Matrix difference = backend.allocate(weight.outputs(), weight.inputs())) {
                backend.copyIn(weight.restore(), 0, rows);
                backend.copy(statistics.outputMoments(), difference);
                backend.subtractProduct(rows, statistics.moments(), difference);
                return largest(difference) / largest(statistics.outputMoments());
            }
        }

        private double largest(Matrix matrix) {
            float[] values = new float[matrix.rows() * matrix.columns()];
            backend.copyOut(matrix, values, 0);
            double largest = 0;
            for (float value : values) {
                largest = Math.max(largest, Math.abs(value));
            }
            return largest;
        }
    }

    private DriftProbe run(int bits, List<BlockTransform> transforms) throws IOException {
        return run(bits, transforms, 6);
    }

    private DriftProbe run(int bits, List<BlockTransform> transforms, int windows) throws IOException {
        Path source = folder.resolve("model-" + bits + "-" + transforms.size());
        SyntheticCheckpoint.write(source, SyntheticCheckpoint.tinyConfig(), DType.F32, 3);
        DriftProbe probe = new DriftProbe();
        QuantizationScheme scheme = QuantizationScheme.gptq(bits, 32, false);
        Recipe recipe = new Recipe(transforms, probe, scheme, GptqLayout.v1(scheme));
        int[] tokens =
                IntStream.range(0, 16 * windows).map(i -> (i * 31 + i / 7) % 96).toArray();
        Path target = folder.resolve("out-" + bits + transforms.size());
        new QuantizationRun(source, target, recipe, Calibration.of("text", tokens, windows, 16), backend)
                .run(new QuantizationListener() {});
        return probe;
    }

    @Test
    void driftsAsMuchAsTheRoundingBeforeIt() throws IOException {
        DriftProbe fine = run(8, List.of());
        DriftProbe coarse = run(3, List.of());

        assertEquals(21, coarse.shares.size());
        assertEquals(0, coarse.shares.get("model.layers.0.self_attn.q_proj"), 1e-6, "nothing is before it");
        for (String later : List.of(
                "model.layers.0.self_attn.o_proj",
                "model.layers.0.mlp.gate_proj",
                "model.layers.0.mlp.down_proj",
                "model.layers.1.self_attn.q_proj",
                "model.layers.1.mlp.down_proj")) {
            double share = coarse.shares.get(later);
            assertTrue(share > 5 * fine.shares.get(later), later + " " + share);
            assertTrue(share > 1e-3, later + " " + share);
        }
    }

    /// Were other tokens of the float model taken than of the quantized one, the shares would be near 1.
    @Test
    void comparesTheSameTokensWhereNotAllCount() throws IOException {
        DriftProbe probe = run(8, List.of(), 300);

        probe.shares.forEach((linear, share) -> {
            boolean adds = linear.endsWith("o_proj") || linear.endsWith("down_proj");
            assertTrue(share < (adds ? 0.1 : 0.05), linear + " drifts by " + share);
        });
        assertEquals(0, probe.shares.get("model.layers.0.self_attn.q_proj"), 1e-5);
    }

    /// Divides every site by random numbers.
    private static final class Division implements BlockTransform {
        @Override
        public String name() {
            return "division";
        }

        @Override
        public SortedMap<String, Object> settings() {
            return Collections.emptySortedMap();
        }

        @Override
        public float[] divisors(
                Fold fold, List<Weight> weights, InputStatistics seen, QuantizationScheme scheme, Backend arithmetic) {
            Random random = new Random(5);
            float[] divisors = new float[fold.producers()];
            for (int i = 0; i < divisors.length; i++) {
                divisors[i] = (float) Math.exp(random.nextGaussian() / 2);
            }
            return divisors;
        }
    }

    @Test
    void countsNoDivisionOfTheInputsAsDrift() throws IOException {
        DriftProbe divided = run(8, List.of(new Division()));
        // Were divisors forgotten on one side, the shares would be near 1. The last two sites say how far outputs are
        // from
        // what they should be, so they show all that was rounded before; the others show the inputs alone.
        divided.shares.forEach((linear, share) -> {
            boolean adds = linear.endsWith("o_proj") || linear.endsWith("down_proj");
            assertTrue(share < (adds ? 0.1 : 0.05), linear + " drifts by " + share);
        });
        assertEquals(0, divided.shares.get("model.layers.0.self_attn.q_proj"), 1e-5);
    }
}

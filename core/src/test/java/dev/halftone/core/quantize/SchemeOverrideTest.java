package dev.halftone.core.quantize;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.layout.PackedLayouts;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.testing.SyntheticCheckpoint;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.Weight;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.SortedMap;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SchemeOverrideTest {
    private final Backend backend = new ReferenceBackend();

    @TempDir
    private Path folder;

    @BeforeEach
    void writeTheModel() throws IOException {
        SyntheticCheckpoint.write(folder.resolve("model"), SyntheticCheckpoint.tinyConfig(), DType.BF16, 11);
    }

    /// Divides every site by the same.
    private static final class Halving implements BlockTransform {
        @Override
        public String name() {
            return "halving";
        }

        @Override
        public SortedMap<String, Object> settings() {
            return Collections.emptySortedMap();
        }

        @Override
        public float[] divisors(
                Fold fold, List<Weight> weights, InputStatistics seen, QuantizationScheme scheme, Backend arithmetic) {
            float[] divisors = new float[fold.producers()];
            Arrays.fill(divisors, 2);
            return divisors;
        }
    }

    private QuantizationReport run(String layout, List<BlockTransform> transforms, SchemeOverride... overrides)
            throws IOException {
        QuantizationScheme scheme = PackedLayouts.scheme(layout, 4, 32, layout.equals("gptq"), DType.BF16);
        Recipe recipe = new Recipe(
                        transforms,
                        new RoundToNearest(),
                        scheme,
                        PackedLayouts.of(layout, scheme, ActivationScheme.Kind.NONE))
                .withOverrides(List.of(overrides));
        int[] tokens = IntStream.range(0, 64).map(i -> i * 31 % 96).toArray();
        return new QuantizationRun(
                        folder.resolve("model"),
                        folder.resolve("out"),
                        recipe,
                        Calibration.of("text", tokens, 4, 16),
                        backend)
                .run(new QuantizationListener() {});
    }

    private static SchemeOverride finer(String pattern) {
        return SchemeOverride.round(Pattern.compile(pattern), 8, null);
    }

    private static SchemeOverride skip(String pattern) {
        return SchemeOverride.leave(Pattern.compile(pattern));
    }

    @ParameterizedTest
    @ValueSource(strings = {"gptq", "gptq_v2", "compressed-tensors"})
    void writesEachLinearAsTheFirstRuleThatMatchesSays(String layout) throws IOException {
        QuantizationReport report =
                run(layout, List.of(), skip("layers\\.0\\.self_attn\\.o_proj"), finer("down_proj|o_proj"));

        try (Checkpoint written = Checkpoint.open(folder.resolve("out"))) {
            LinearWeights weights = LinearWeights.of(written);
            assertInstanceOf(DenseWeight.class, weights.weight("model.layers.0.self_attn.o_proj"));
            assertEquals(8, bits(weights, "model.layers.1.self_attn.o_proj"));
            assertEquals(8, bits(weights, "model.layers.0.mlp.down_proj"));
            assertEquals(4, bits(weights, "model.layers.0.mlp.up_proj"));
        }
        assertEquals(report.linears().size(), report.verified());
        assertTrue(report.bitsPerWeight() > 4.5 && report.bitsPerWeight() < 8.5, report.toString());
    }

    private static int bits(LinearWeights weights, String linear) {
        return ((QuantizedWeight) weights.weight(linear)).scheme().bits();
    }

    @Test
    void storesWhatIsFoldedIntoALinearThatStaysInFloatingPoint() throws IOException {
        run("gptq", List.of(new Halving()), skip("gate_proj|up_proj"));

        try (Checkpoint source = Checkpoint.open(folder.resolve("model"));
                Checkpoint written = Checkpoint.open(folder.resolve("out"))) {
            // Nothing is folded for gate and up, whose input is left alone; but up produces the input of down.
            float[] up = source.tensor("model.layers.0.mlp.up_proj.weight").toFloats();
            float[] halved = written.tensor("model.layers.0.mlp.up_proj.weight").toFloats();
            for (int i = 0; i < up.length; i++) {
                assertEquals(up[i] / 2, halved[i]);
            }
            String gate = "model.layers.0.mlp.gate_proj.weight";
            assertEquals(
                    -1, source.tensor(gate).data().mismatch(written.tensor(gate).data()));
        }
        float[] before = ModelRun.logits(folder.resolve("model"), backend);
        float[] after = ModelRun.logits(folder.resolve("out"), backend);
        double error = 0;
        double size = 0;
        for (int i = 0; i < before.length; i++) {
            error += Math.pow(before[i] - after[i], 2);
            size += Math.pow(before[i], 2);
        }
        assertTrue(error < 0.1 * size, error / size + " is more than 4 bits lose");
    }

    @Test
    void refusesARuleThatMatchesNothing() {
        HalftoneException failure =
                assertThrows(HalftoneException.class, () -> run("gptq", List.of(), finer("layers\\.7\\.")));
        assertEquals(HalftoneException.Kind.USAGE, failure.kind());
        assertTrue(failure.explanation().contains("layers\\.7\\.=bits:8"), failure.explanation());
        assertTrue(failure.explanation().contains("model.layers.0.self_attn.q_proj"), failure.explanation());
        assertFalse(Files.exists(folder.resolve("out")));
    }

    @Test
    void refusesToStoreLinearsThatRuntimesStackDifferently() {
        HalftoneException failure =
                assertThrows(HalftoneException.class, () -> run("gptq", List.of(), finer("v_proj")));
        assertTrue(failure.explanation().contains("self_attn.v_proj"), failure.explanation());
        assertTrue(failure.explanation().contains("8-bit"), failure.explanation());
    }

    @Test
    void refusesOtherSchemesWhereTheFormatKnowsOnlyOne() {
        HalftoneException failure =
                assertThrows(HalftoneException.class, () -> run("awq", List.of(), finer("down_proj")));
        assertEquals(HalftoneException.Kind.USAGE, failure.kind());
        assertFalse(Files.exists(folder.resolve("out")));
    }

    @Test
    void refusesToLeaveEverythingAsItIs() {
        HalftoneException failure = assertThrows(HalftoneException.class, () -> run("gptq", List.of(), skip("proj")));
        assertTrue(failure.explanation().contains("nothing is left"), failure.explanation());
    }
}

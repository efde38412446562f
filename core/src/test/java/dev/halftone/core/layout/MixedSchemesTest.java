package dev.halftone.core.layout;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Files whose linears are not all alike.
class MixedSchemesTest {
    private static final String USUAL = "model.layers.0.mlp.up_proj";
    private static final String FINE = "model.layers.0.mlp.down_proj";
    private static final String FINER = "model.layers.10.mlp.down_proj";
    private static final String DENSE = "model.layers.1.self_attn.q_proj";

    @TempDir
    private Path folder;

    private final Arena arena = Arena.global();

    private DenseWeight dense(String name) {
        SplittableRandom random = new SplittableRandom(name.hashCode());
        float[] values = new float[64 * 128];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return new DenseWeight(Tensor.ofFloats(name + ".weight", Shape.of(64, 128), values, arena));
    }

    private static QuantizationScheme scheme(String layout, int bits, int groupSize) {
        return PackedLayouts.scheme(layout, bits, groupSize, true, DType.BF16);
    }

    @ParameterizedTest
    @ValueSource(strings = {"gptq", "gptq_v2", CompressedTensorsLayout.NAME})
    void restoresEachLinearInItsOwnScheme(String name) throws IOException {
        Map<String, QuantizationScheme> schemes = new LinkedHashMap<>();
        schemes.put(USUAL, scheme(name, 4, 64));
        schemes.put(FINE, scheme(name, 8, 32));
        schemes.put(FINER, scheme(name, 8, QuantizationScheme.PER_CHANNEL));
        QuantizationScheme usual = schemes.get(USUAL);
        PackedLayout layout = PackedLayouts.of(name, usual, ActivationScheme.Kind.NONE);
        List<Tensor> tensors = new ArrayList<>();
        Map<String, QuantizedWeight> weights = new LinkedHashMap<>();
        schemes.forEach((linear, scheme) -> {
            QuantizedWeight weight = RoundToNearest.round(dense(linear), scheme, new ReferenceBackend());
            weights.put(linear, weight);
            tensors.addAll(
                    PackedLayouts.of(name, scheme, ActivationScheme.Kind.NONE).pack(linear, weight, arena));
        });
        tensors.add(dense(DENSE).tensor());
        Map<String, QuantizationScheme> exceptions = new LinkedHashMap<>(schemes);
        exceptions.remove(USUAL);
        ObjectNode section = layout.config(usual, "halftone:0", Map.of(), List.of(DENSE), exceptions);

        try (Checkpoint checkpoint = TestModel.open(folder, TestModel.config(section.toString()), tensors)) {
            LinearWeights read = LinearWeights.of(checkpoint);
            weights.forEach((linear, weight) -> {
                QuantizedWeight found = assertInstanceOf(QuantizedWeight.class, read.weight(linear), linear);
                assertEquals(weight.scheme().toString(), found.scheme().toString(), linear);
                assertArrayEquals(weight.restore(), found.restore(), linear);
            });
            assertInstanceOf(DenseWeight.class, read.weight(DENSE));
        }
    }

    @Test
    void theAwqFormatKnowsOnlyOneScheme() {
        QuantizationScheme scheme = PackedLayouts.scheme("awq", 4, 64, false, DType.F16);
        Map<String, QuantizationScheme> exceptions = Map.of(FINE, PackedLayouts.scheme("awq", 4, 32, false, DType.F16));
        HalftoneException failure = assertThrows(
                HalftoneException.class,
                () -> AwqGemmLayout.of(scheme).config(scheme, "halftone:0", Map.of(), List.of(), exceptions));
        assertTrue(failure.explanation().contains(FINE), failure.explanation());
    }
}

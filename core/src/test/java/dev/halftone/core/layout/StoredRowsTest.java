package dev.halftone.core.layout;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.StoredWeight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// Whichever rows are asked for, alone they are what they are among all.
class StoredRowsTest {
    private static final String LINEAR = "model.layers.0.mlp.down_proj";
    private static final int OUTPUTS = 288;
    private static final int INPUTS = 160;

    @TempDir
    Path folder;

    static Stream<Arguments> files() {
        Stream<Arguments> gptq = Stream.of(2, 3, 4, 8).map(bits -> {
            QuantizationScheme scheme = QuantizationScheme.gptq(bits, 32, false);
            return Arguments.of("gptq", scheme, ActivationScheme.NONE);
        });
        Stream<Arguments> others = Stream.of(
                Arguments.of("awq", scheme("awq", 4, 32, false), ActivationScheme.NONE),
                Arguments.of("compressed-tensors", scheme("compressed-tensors", 4, 32, false), ActivationScheme.NONE),
                Arguments.of("compressed-tensors", scheme("compressed-tensors", 8, -1, true), ActivationScheme.NONE),
                Arguments.of(
                        "compressed-tensors", scheme("compressed-tensors", 8, -1, true), ActivationScheme.PER_TOKEN));
        return Stream.concat(gptq, others);
    }

    private static QuantizationScheme scheme(String layout, int bits, int groupSize, boolean symmetric) {
        return PackedLayouts.scheme(layout, bits, groupSize, symmetric, DType.BF16);
    }

    @ParameterizedTest
    @MethodSource("files")
    void readsAnyRows(String name, QuantizationScheme scheme, ActivationScheme activations) throws IOException {
        QuantizedWeight weight = TestWeights.random(scheme, OUTPUTS, INPUTS, activations);
        PackedLayout layout = PackedLayouts.of(name, scheme, activations.kind());
        String section = layout.config(scheme, "test:1", Map.of(), List.of()).toString();
        try (Arena arena = Arena.ofConfined();
                Checkpoint checkpoint =
                        TestModel.open(folder, TestModel.config(section), layout.pack(LINEAR, weight, arena))) {
            StoredWeight stored = (StoredWeight) LinearWeights.of(checkpoint).stored(LINEAR);
            assertEquals(activations.kind(), stored.activations().kind());
            for (int[] rows : new int[][] {{0, OUTPUTS}, {0, 1}, {OUTPUTS - 1, 1}, {7, 9}, {63, 66}, {100, 150}}) {
                assertRows(weight, stored, rows[0], rows[1]);
            }
            // No more is written than was asked for.
            byte[] codes = new byte[3 * INPUTS];
            Arrays.fill(codes, (byte) 77);
            stored.codes().read(5, 2, codes);
            for (int i = 2 * INPUTS; i < codes.length; i++) {
                assertEquals(77, codes[i]);
            }
        }
    }

    private static void assertRows(QuantizedWeight weight, StoredWeight stored, int first, int count) {
        QuantizedWeight rows = stored.rows(first, count);
        assertEquals(count, rows.outputs());
        assertArrayEquals(Arrays.copyOfRange(weight.codes(), first * INPUTS, (first + count) * INPUTS), rows.codes());
        float[] expected = new float[INPUTS];
        float[] found = new float[INPUTS];
        for (int row = 0; row < count; row++) {
            weight.restoreRow(first + row, expected, 0);
            rows.restoreRow(row, found, 0);
            assertArrayEquals(expected, found);
        }
        stored.restoreRow(first, found, 0);
        weight.restoreRow(first, expected, 0);
        assertArrayEquals(expected, found);
    }
}

package dev.halftone.core.layout;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.LittleEndian;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class CompressedTensorsLayoutTest {
    private static final String LINEAR = "model.layers.0.mlp.down_proj";
    private static final int PER_CHANNEL = QuantizationScheme.PER_CHANNEL;

    private static final String SYMMETRIC = packed("\"num_bits\":4,\"symmetric\":true,\"group_size\":5");
    private static final String ASYMMETRIC = SYMMETRIC.replace("true", "false");
    private static final String INTEGERS = """
        {"quant_method":"compressed-tensors","format":"int-quantized","config_groups":{"group_0":{\
        "targets":["Linear"],"weights":{"num_bits":8,"strategy":"channel"},\
        "input_activations":{"num_bits":8,"strategy":"token","dynamic":true}}}}\
        """;
    private static final String STATIC = INTEGERS.replace("token", "tensor").replace("true", "false");

    private final Arena arena = Arena.ofConfined();

    @TempDir
    Path folder;

    @AfterEach
    void release() {
        arena.close();
    }

    private static String packed(String weights) {
        return "{\"quant_method\":\"compressed-tensors\",\"format\":\"pack-quantized\",\"config_groups\":{\"group_0\":"
                + "{\"targets\":[\"Linear\"],\"weights\":{" + weights + "}}}}";
    }

    /// Ten inputs take a word and two nibbles of the next, three outputs three nibbles of one word.
    @Test
    void laysCodesAlongTheInputsAndZerosDownTheOutputs() {
        QuantizationScheme scheme = QuantizationScheme.compressedTensors(4, 5, false, DType.BF16);
        QuantizedWeight weight = TestWeights.ramp(scheme, 3, 10, 0);
        for (int cell = 0; cell < 6; cell++) {
            weight.zeros()[cell] = 10 + cell;
        }
        List<Tensor> tensors = CompressedTensorsLayout.packed(scheme).pack(LINEAR, weight, arena);
        assertEquals(
                List.of(
                        new TensorSpec(LINEAR + ".weight_packed", DType.I32, Shape.of(3, 2)),
                        new TensorSpec(LINEAR + ".weight_scale", DType.BF16, Shape.of(3, 2)),
                        new TensorSpec(LINEAR + ".weight_zero_point", DType.I32, Shape.of(1, 2)),
                        new TensorSpec(LINEAR + ".weight_shape", DType.I64, Shape.of(2))),
                tensors.stream().map(TensorSpec::of).toList());
        assertArrayEquals(
                new int[] {0x7654_3210, 0x98, 0x8765_4321, 0xA9, 0x9876_5432, 0xBA},
                tensors.get(0).toInts());
        assertArrayEquals(
                new float[] {1, 1.5f, 2, 2.5f, 3, 3.5f}, tensors.get(1).toFloats());
        assertArrayEquals(new int[] {0xECA, 0xFDB}, tensors.get(2).toInts());
        assertArrayEquals(new long[] {3, 10}, tensors.get(3).data().toArray(LittleEndian.LONG));
    }

    @Test
    void laysFourBytesIntoAWord() {
        QuantizationScheme scheme = QuantizationScheme.compressedTensors(8, PER_CHANNEL, true, DType.F16);
        QuantizedWeight weight = TestWeights.ramp(scheme, 2, 5, 128);
        weight.codes()[0] = (byte) 0xFF;
        List<Tensor> tensors = CompressedTensorsLayout.packed(scheme).pack(LINEAR, weight, arena);
        // Symmetric: no zeros are written.
        assertEquals(
                List.of(
                        new TensorSpec(LINEAR + ".weight_packed", DType.I32, Shape.of(2, 2)),
                        new TensorSpec(LINEAR + ".weight_scale", DType.F16, Shape.of(2, 1)),
                        new TensorSpec(LINEAR + ".weight_shape", DType.I64, Shape.of(2))),
                tensors.stream().map(TensorSpec::of).toList());
        assertArrayEquals(
                new int[] {0x030201FF, 0x04, 0x04030201, 0x05}, tensors.get(0).toInts());
    }

    @Test
    void storesSignedBytesForIntegers() {
        QuantizationScheme scheme = QuantizationScheme.compressedTensors(8, PER_CHANNEL, true, DType.F32);
        QuantizedWeight ramp = TestWeights.ramp(scheme, 2, 2, 128);
        System.arraycopy(new byte[] {0, 127, (byte) 128, (byte) 255}, 0, ramp.codes(), 0, 4);
        QuantizedWeight weight = new QuantizedWeight(
                scheme, 2, 2, ramp.codes(), ramp.scales(), ramp.zeros(), null, ActivationScheme.perTensor(0.25f));
        List<Tensor> tensors = CompressedTensorsLayout.integers(scheme, ActivationScheme.Kind.PER_TENSOR)
                .pack(LINEAR, weight, arena);
        assertEquals(
                List.of(
                        new TensorSpec(LINEAR + ".weight", DType.I8, Shape.of(2, 2)),
                        new TensorSpec(LINEAR + ".weight_scale", DType.F32, Shape.of(2, 1)),
                        new TensorSpec(LINEAR + ".input_scale", DType.F32, Shape.of(1))),
                tensors.stream().map(TensorSpec::of).toList());
        assertArrayEquals(new byte[] {-128, -1, 0, 127}, tensors.get(0).toBytes());
        assertArrayEquals(new float[] {0.25f}, tensors.get(2).toFloats());
    }

    @Test
    void restoresWhatTheWordsMean() throws IOException {
        QuantizedWeight symmetric = read(SYMMETRIC, tensors());
        assertEquals("4-bit g5 symmetric", symmetric.scheme().toString());
        assertEquals(DType.F32, symmetric.scheme().scaleType());
        assertEquals((2 - 8) * 3f, symmetric.restore()[2 * 10]);
        assertEquals((11 - 8) * 3.5f, symmetric.restore()[2 * 10 + 9]);
        List<Tensor> tensors = new ArrayList<>(tensors());
        tensors.add(Tensor.ofInts(LINEAR + ".weight_zero_point", Shape.of(1, 2), new int[] {0xECA, 0xFDB}, arena));
        QuantizedWeight asymmetric = read(ASYMMETRIC, tensors);
        assertEquals("4-bit g5 asymmetric", asymmetric.scheme().toString());
        assertArrayEquals(new int[] {10, 11, 12, 13, 14, 15}, asymmetric.zeros());
        assertEquals((2 - 14) * 3f, asymmetric.restore()[2 * 10]);
    }

    @Test
    void readsZerosFromBeforeTheyWerePacked() throws IOException {
        List<Tensor> tensors = new ArrayList<>(tensors());
        tensors.add(bytes(LINEAR + ".weight_zero_point", Shape.of(3, 2), -8, -1, 0, 1, 6, 7));
        assertArrayEquals(
                new int[] {0, 7, 8, 9, 14, 15}, read(ASYMMETRIC, tensors).zeros());
    }

    @Test
    void readsSignedBytes() throws IOException {
        List<Tensor> tensors = new ArrayList<>(integers());
        QuantizedWeight weight = read(INTEGERS, tensors);
        assertEquals(ActivationScheme.PER_TOKEN, weight.activations());
        assertEquals("8-bit per channel symmetric", weight.scheme().toString());
        assertArrayEquals(new float[] {-64, 0, 63.5f, 4, -2, 0}, weight.restore());
        // One number, whether or not it is in a list.
        for (Shape shape : List.of(Shape.of(1), Shape.of())) {
            Tensor scale = Tensor.rounded(LINEAR + ".input_scale", DType.BF16, shape, new float[] {0.5f}, arena);
            assertEquals(
                    ActivationScheme.perTensor(0.5f),
                    read(STATIC, List.of(tensors.get(0), tensors.get(1), scale)).activations());
        }
    }

    @ParameterizedTest
    @CsvSource({
        "4, 5, true, BF16, 3, 10",
        "4, 1, false, F16, 1, 1",
        "4, -1, false, F32, 9, 33",
        "4, 32, true, F16, 64, 96",
        "4, 64, false, BF16, 31, 192",
        "8, 3, false, F16, 7, 9",
        "8, -1, true, BF16, 5, 130",
        "8, 128, true, F32, 17, 256"
    })
    void readsBackWhatItPacked(int bits, int groupSize, boolean symmetric, DType scaleType, int outputs, int inputs)
            throws IOException {
        QuantizationScheme scheme = QuantizationScheme.compressedTensors(bits, groupSize, symmetric, scaleType);
        requireSameAgain(CompressedTensorsLayout.packed(scheme), TestWeights.random(scheme, outputs, inputs), scheme);
    }

    @ParameterizedTest
    @CsvSource({"PER_TOKEN, F32, 1, 1", "PER_TOKEN, BF16, 33, 70", "PER_TENSOR, F16, 64, 31", "PER_TENSOR, BF16, 3, 5"})
    void readsBackTheIntegersThatItPacked(ActivationScheme.Kind activations, DType scaleType, int outputs, int inputs)
            throws IOException {
        QuantizationScheme scheme = QuantizationScheme.compressedTensors(8, PER_CHANNEL, true, scaleType);
        ActivationScheme inputScheme = switch (activations) {
            case NONE -> ActivationScheme.NONE;
            case PER_TOKEN -> ActivationScheme.PER_TOKEN;
            case PER_TENSOR -> ActivationScheme.perTensor(scaleType.round(0.0317f));
        };
        requireSameAgain(
                CompressedTensorsLayout.integers(scheme, activations),
                TestWeights.random(scheme, outputs, inputs, inputScheme),
                scheme);
    }

    private void requireSameAgain(CompressedTensorsLayout layout, QuantizedWeight weight, QuantizationScheme scheme)
            throws IOException {
        ObjectNode section = layout.config(scheme, "halftone:0", Map.of(), List.of());
        QuantizedWeight read = read(section.toString(), layout.pack(LINEAR, weight, arena));
        assertEquals(scheme, read.scheme());
        assertArrayEquals(weight.codes(), read.codes());
        assertArrayEquals(weight.scales(), read.scales());
        assertArrayEquals(weight.zeros(), read.zeros());
        assertEquals(weight.activations(), read.activations());
        assertArrayEquals(weight.restore(), read.restore());
        assertNull(read.groupOfColumn());
    }

    @Test
    void readsColumnsOutOfOrderAndWritesThemAgain() throws IOException {
        String section = SYMMETRIC.replace("\"group_size\"", "\"actorder\":\"group\",\"group_size\"");
        int[] groups = {1, 0, 0, 1, 0, 1, 1, 0, 1, 0};
        List<Tensor> tensors = new ArrayList<>(tensors());
        tensors.add(Tensor.ofInts(LINEAR + ".weight_g_idx", Shape.of(10), groups, arena));
        try (Checkpoint checkpoint = TestModel.open(folder, TestModel.config(section), tensors)) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            QuantizedWeight weight = (QuantizedWeight) weights.weight(LINEAR);
            assertArrayEquals(groups, weight.groupOfColumn());
            assertEquals((0 - 8) * 1.5f, weight.restore()[0]);
            assertEquals((1 - 8) * 1f, weight.restore()[1]);
            assertEquals(
                    "compressed-tensors 4-bit g5 symmetric act-order",
                    weights.description().orElseThrow());
            List<Tensor> again = weights.layout().orElseThrow().pack(LINEAR, weight, arena);
            assertArrayEquals(groups, again.get(3).toInts());
            assertEquals(tensors.get(3).name(), again.get(3).name());
        }
        assertRefused(section, tensors(), "'" + LINEAR + ".weight_g_idx': tensor is missing");
        tensors.set(3, Tensor.ofInts(LINEAR + ".weight_g_idx", Shape.of(9), new int[9], arena));
        assertRefused(section, tensors, "group index does not fit the weight | expected I32 [10], found I32 [9]");
        groups[4] = 2;
        tensors.set(3, Tensor.ofInts(LINEAR + ".weight_g_idx", Shape.of(10), groups, arena));
        assertRefused(section, tensors, "group index out of range | input 4 has group 2 of 2");
    }

    @Test
    void picksTheGroupByNameThenByExpressionThenByClass() throws IOException {
        String section = """
            {"quant_method":"compressed-tensors","format":"mixed-precision","ignore":["lm_head","re:.*gate$"],
             "config_groups":{
              "group_0":{"targets":["Linear"],"format":"pack-quantized","weights":{"num_bits":4,"group_size":5}},
              "group_1":{"targets":["re:a\\\\.","re:.*w$"],"format":"pack-quantized",
                         "weights":{"num_bits":8,"group_size":-1}},
              "group_2":{"targets":["a.named"],"format":"int-quantized","weights":{"num_bits":8,
                         "strategy":"channel"},"input_activations":{"strategy":"token","dynamic":true}}}}\
            """;
        QuantizationScheme wide = QuantizationScheme.compressedTensors(8, PER_CHANNEL, true, DType.F32);
        List<Tensor> tensors = new ArrayList<>();
        for (Tensor tensor : tensors()) {
            tensors.add(tensor.withName(tensor.name().replace(LINEAR, "b.a.q")));
        }
        for (String linear : List.of("a.q", "b.w")) {
            tensors.addAll(CompressedTensorsLayout.packed(wide).pack(linear, TestWeights.random(wide, 3, 10), arena));
        }
        for (Tensor tensor : integers()) {
            tensors.add(tensor.withName(tensor.name().replace(LINEAR, "a.named")));
        }
        tensors.add(Tensor.ofFloats("lm_head.weight", Shape.of(1, 2), new float[2], arena));
        tensors.add(Tensor.ofFloats("a.gate.weight", Shape.of(1, 2), new float[2], arena));
        try (Checkpoint checkpoint = TestModel.open(folder, TestModel.config(section), tensors)) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            assertEquals("4-bit g5 symmetric", scheme(weights, "b.a.q"));
            assertEquals("8-bit per channel symmetric", scheme(weights, "a.q"));
            assertEquals("8-bit per channel symmetric", scheme(weights, "b.w"));
            assertEquals(ActivationScheme.PER_TOKEN, ((QuantizedWeight) weights.weight("a.named")).activations());
            assertInstanceOf(DenseWeight.class, weights.weight("lm_head"));
            assertInstanceOf(DenseWeight.class, weights.weight("a.gate"));
            assertEquals(
                    "compressed-tensors 4-bit g5 symmetric, some linears otherwise",
                    weights.description().orElseThrow());
            PackedLayout layout = weights.layout().orElseThrow();
            // It could not say which linear is of which group.
            assertThrows(IllegalArgumentException.class, () -> layout.config(wide, "halftone:0", Map.of(), List.of()));
            assertThrows(IllegalArgumentException.class, () -> layout.specs("lm_head", 4, 4, wide));
        }
    }

    private static String scheme(LinearWeights weights, String linear) {
        return ((QuantizedWeight) weights.weight(linear)).scheme().toString();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "\"ignore\":[\"" + LINEAR + "\"]",
                "\"ignore\":[\"re:model.*down_proj\"]",
                "\"ignore\":[\"Linear\"]"
            })
    void refusesAQuantizedLinearThatIsIgnored(String ignore) throws IOException {
        String message = "is quantized, but no config group is for it, or 'ignore' excludes it";
        assertRefused(SYMMETRIC.replace("\"format\"", ignore + ",\"format\""), tensors(), "weight_packed': " + message);
        assertRefused(INTEGERS.replace("\"format\"", ignore + ",\"format\""), integers(), ".weight': " + message);
    }

    @Test
    void refusesAQuantizedLinearThatNoGroupIsFor() throws IOException {
        assertRefused(SYMMETRIC.replace("Linear", "re:.*up_proj"), tensors(), "no config group is for it");
        assertRefused(SYMMETRIC.replace("Linear", "LlamaMLP"), tensors(), "no config group is for it");
        assertRefused(
                SYMMETRIC.replace("Linear", "x"),
                List.of(tensors().get(1)),
                LINEAR + ".weight_scale': is quantized, but no config group");
    }

    @Test
    void refusesALinearThatIsThereTwice() throws IOException {
        List<Tensor> twice = new ArrayList<>(tensors());
        twice.add(Tensor.rounded(LINEAR + ".weight", DType.F16, Shape.of(3, 10), new float[30], arena));
        assertRefused(SYMMETRIC, twice, "is there both packed and in floating point");
    }

    @Test
    void refusesAFormatThatTheTensorsAreNotIn() throws IOException {
        assertRefused(SYMMETRIC, integers(), "'" + LINEAR + ".weight_packed': tensor is missing");
        assertRefused(INTEGERS, tensors(), "'" + LINEAR + ".weight': tensor is missing");
        List<Tensor> rounded = List.of(
                Tensor.rounded(LINEAR + ".weight", DType.BF16, Shape.of(3, 2), new float[6], arena),
                integers().get(1));
        assertRefused(
                INTEGERS, rounded, "not packed as compressed-tensors packs | expected an I8 matrix, found BF16 [3, 2]");
    }

    @Test
    void refusesPackedTensorsThatDoNotFitTogether() throws IOException {
        assertRefused(
                SYMMETRIC,
                replaced(tensors(), 0, Tensor.ofFloats(LINEAR + ".weight_packed", Shape.of(3, 2), new float[6], arena)),
                "not packed as compressed-tensors packs | expected an I32 matrix, found F32 [3, 2]");
        assertRefused(
                SYMMETRIC,
                replaced(tensors(), 0, Tensor.ofInts(LINEAR + ".weight_packed", Shape.of(2, 3), new int[6], arena)),
                "does not fit weight_shape | expected [3, 2] for 4-bit codes of [3, 10], found [2, 3]");
        assertRefused(
                SYMMETRIC.replace(":4", ":8"),
                tensors(),
                "does not fit weight_shape | expected [3, 3] for 8-bit codes of [3, 10], found [3, 2]");
        assertRefused(SYMMETRIC.replace(":5", ":4"), tensors(), "10 inputs are no multiple of group size 4");
        assertRefused(
                SYMMETRIC.replace(":5", ":2"),
                tensors(),
                "scales do not fit the weight | expected BF16 [3, 5], found F32 [3, 2]");
        assertRefused(
                SYMMETRIC,
                replaced(tensors(), 1, Tensor.ofInts(LINEAR + ".weight_scale", Shape.of(3, 2), new int[6], arena)),
                "scales do not fit the weight | expected BF16 [3, 2], found I32 [3, 2]");
        float[] scales = new float[6];
        scales[2] = Float.NEGATIVE_INFINITY;
        assertRefused(
                SYMMETRIC,
                replaced(tensors(), 1, Tensor.ofFloats(LINEAR + ".weight_scale", Shape.of(3, 2), scales, arena)),
                "holds NaN or infinity | 1 of 6 elements, the first at index 2");
    }

    @Test
    void refusesShapesThatAreNone() throws IOException {
        assertRefused(
                SYMMETRIC,
                replaced(tensors(), 2, Tensor.ofInts(LINEAR + ".weight_shape", Shape.of(2), new int[2], arena)),
                "is no shape | expected I64 [2], found I32 [2]");
        assertRefused(
                SYMMETRIC, replaced(tensors(), 2, longs(3, 10, 1)), "is no shape | expected I64 [2], found I64 [3]");
        assertRefused(SYMMETRIC, replaced(tensors(), 2, longs(3, 0)), "matrix is empty or too large | found 3 by 0");
        assertRefused(
                SYMMETRIC, replaced(tensors(), 2, longs(-3, 10)), "matrix is empty or too large | found -3 by 10");
        assertRefused(
                SYMMETRIC,
                replaced(tensors(), 2, longs(1L << 40, 1L << 40)),
                "matrix is empty or too large | found 1099511627776 by 1099511627776");
    }

    @Test
    void refusesZerosThatDoNotFit() throws IOException {
        assertRefused(ASYMMETRIC, tensors(), "'" + LINEAR + ".weight_zero_point': tensor is missing");
        List<Tensor> tensors = new ArrayList<>(tensors());
        tensors.add(Tensor.ofInts(LINEAR + ".weight_zero_point", Shape.of(3, 2), new int[6], arena));
        assertRefused(ASYMMETRIC, tensors, "zeros do not fit the weight | expected I32 [1, 2], found I32 [3, 2]");
        assertRefused(SYMMETRIC, tensors, "zero points of a linear that the configuration calls symmetric");
        tensors.set(3, bytes(LINEAR + ".weight_zero_point", Shape.of(1, 2), 0, 0));
        assertRefused(ASYMMETRIC, tensors, "zeros do not fit the weight | expected I32 [1, 2], found I8 [1, 2]");
        // A nibble of signed zeros goes from -8 to 7.
        tensors.set(3, bytes(LINEAR + ".weight_zero_point", Shape.of(3, 2), 0, 0, 0, 8, 0, 0));
        assertRefused(ASYMMETRIC, tensors, "zero points are out of range | found 8, expected -8 to 7");
    }

    @Test
    void refusesIntegersThatDoNotFitTogether() throws IOException {
        assertRefused(INTEGERS, integers().subList(0, 1), "'" + LINEAR + ".weight_scale': tensor is missing");
        assertRefused(
                INTEGERS,
                replaced(integers(), 1, Tensor.ofFloats(LINEAR + ".weight_scale", Shape.of(3), new float[3], arena)),
                "scales do not fit the weight | expected BF16 [3, 1], found F32 [3]");
        assertRefused(
                INTEGERS,
                replaced(integers(), 0, bytes(LINEAR + ".weight", Shape.of(6), 0, 0, 0, 0, 0, 0)),
                "expected an I8 matrix, found I8 [6]");
        assertRefused(STATIC, integers(), "'" + LINEAR + ".input_scale': tensor is missing");
        List<Tensor> tensors = new ArrayList<>(integers());
        tensors.add(Tensor.ofFloats(LINEAR + ".input_scale", Shape.of(2), new float[] {1, 1}, arena));
        assertRefused(STATIC, tensors, "is no scale of inputs | expected one floating-point number, found F32 [2]");
        tensors.set(2, Tensor.ofInts(LINEAR + ".input_scale", Shape.of(1), new int[] {1}, arena));
        assertRefused(STATIC, tensors, "is no scale of inputs | expected one floating-point number, found I32 [1]");
        tensors.set(2, Tensor.ofFloats(LINEAR + ".input_scale", Shape.of(1), new float[] {0}, arena));
        assertRefused(STATIC, tensors, "is not positive | found 0.0");
        tensors.set(2, Tensor.ofFloats(LINEAR + ".input_scale", Shape.of(1), new float[] {Float.NaN}, arena));
        assertRefused(STATIC, tensors, "holds NaN or infinity");
        tensors.set(2, bytes(LINEAR + ".weight_zero_point", Shape.of(3, 1), 0, 0, 0));
        assertRefused(INTEGERS, tensors, "zero points of a linear that the configuration calls symmetric");
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 5, 6, 7})
    void refusesWidthsThatVersionsLayOutDifferently(int bits) throws IOException {
        QuantizationScheme scheme = QuantizationScheme.compressedTensors(bits, 32, true, DType.F16);
        assertEquals(
                "the pack-quantized format cannot hold " + bits + "-bit codes | it holds [4, 8]",
                Refusal.of(() -> CompressedTensorsLayout.packed(scheme).requireStorable(LINEAR, 32, 32, scheme)));
        assertRefused(
                SYMMETRIC.replace(":4", ":" + bits),
                tensors(),
                "pack-quantized with " + bits + " bits is not supported | supported: [4, 8]");
    }

    @Test
    void refusesSchemesThatIntegersCannotHold() {
        for (QuantizationScheme scheme : List.of(
                QuantizationScheme.compressedTensors(8, 32, true, DType.F16),
                QuantizationScheme.compressedTensors(8, PER_CHANNEL, false, DType.F16))) {
            String found = Refusal.of(() -> CompressedTensorsLayout.integers(scheme, ActivationScheme.Kind.PER_TOKEN)
                    .requireStorable(LINEAR, 32, 32, scheme));
            assertTrue(
                    found.startsWith("the int-quantized format cannot hold a weight that is " + scheme + " |"), found);
        }
        QuantizationScheme narrow = QuantizationScheme.compressedTensors(4, PER_CHANNEL, true, DType.F16);
        assertEquals(
                "the int-quantized format cannot hold 4-bit codes | it holds [8]",
                Refusal.of(() -> CompressedTensorsLayout.integers(narrow, ActivationScheme.Kind.PER_TOKEN)
                        .requireStorable(LINEAR, 32, 32, narrow)));
        assertThrows(
                IllegalArgumentException.class,
                () -> CompressedTensorsLayout.integers(narrow, ActivationScheme.Kind.NONE));
    }

    @Test
    void namesTheGroupSizesThatWork() {
        QuantizationScheme scheme = QuantizationScheme.compressedTensors(4, 128, true, DType.F16);
        assertEquals(
                LINEAR + ": 576 inputs are no multiple of group size 128 | group sizes that work: 16, 32, 48, 64, 96,"
                        + " 144, 192, 288, 576 and -1",
                Refusal.of(() -> CompressedTensorsLayout.packed(scheme).requireStorable(LINEAR, 5, 576, scheme)));
        assertEquals(
                LINEAR + ": 9 inputs are no multiple of group size 128 | group sizes that work: -1",
                Refusal.of(() -> CompressedTensorsLayout.packed(scheme).requireStorable(LINEAR, 5, 9, scheme)));
    }

    @Test
    void refusesToPackWhatWouldSpillOrRound() {
        QuantizationScheme scheme = QuantizationScheme.compressedTensors(4, 5, false, DType.F16);
        CompressedTensorsLayout layout = CompressedTensorsLayout.packed(scheme);
        QuantizedWeight code = TestWeights.ramp(scheme, 3, 10, 8);
        code.codes()[7] = 16;
        assertPackRefused(layout, code, "code 16 exceeds 15");
        assertPackRefused(layout, TestWeights.ramp(scheme, 3, 10, 16), "compressed-tensors cannot store a zero of 16");
        QuantizedWeight scale = TestWeights.ramp(scheme, 3, 10, 8);
        scale.scales()[3] = 0.1f;
        assertPackRefused(layout, scale, "scale 0.1 is no F16");
        QuantizedWeight plain = TestWeights.ramp(scheme, 3, 10, 8);
        assertPackRefused(
                layout,
                new QuantizedWeight(scheme, 3, 10, plain.codes(), plain.scales(), plain.zeros(), new int[10]),
                "columns are out of order");
        QuantizationScheme symmetric = QuantizationScheme.compressedTensors(4, 5, true, DType.F16);
        assertPackRefused(
                CompressedTensorsLayout.packed(symmetric),
                TestWeights.ramp(symmetric, 3, 10, 7),
                "a symmetric weight cannot have a zero of 7");
    }

    @ParameterizedTest
    @EnumSource(ActivationScheme.Kind.class)
    void refusesToPackInputsThatTheFileSpeaksOtherwiseOf(ActivationScheme.Kind kind) {
        QuantizationScheme scheme = QuantizationScheme.compressedTensors(8, PER_CHANNEL, true, DType.F16);
        ActivationScheme other =
                kind == ActivationScheme.Kind.PER_TOKEN ? ActivationScheme.perTensor(1) : ActivationScheme.PER_TOKEN;
        assertPackRefused(
                (CompressedTensorsLayout) PackedLayouts.of("compressed-tensors", scheme, kind),
                TestWeights.random(scheme, 3, 10, other),
                "inputs are rounded " + other.kind() + ", the file says " + kind);
    }

    @Test
    void refusesAnInputScaleThatWouldRound() {
        QuantizationScheme scheme = QuantizationScheme.compressedTensors(8, PER_CHANNEL, true, DType.F16);
        assertPackRefused(
                CompressedTensorsLayout.integers(scheme, ActivationScheme.Kind.PER_TENSOR),
                TestWeights.random(scheme, 3, 10, ActivationScheme.perTensor(0.1f)),
                "input_scale: 0.1 is no F16");
    }

    private void assertPackRefused(CompressedTensorsLayout layout, QuantizedWeight weight, String message) {
        String found = assertThrows(IllegalArgumentException.class, () -> layout.pack(LINEAR, weight, arena))
                .getMessage();
        assertTrue(found.contains(message), found);
    }

    @Test
    void writesTheSectionThatOtherToolsRead() {
        QuantizationScheme scheme = QuantizationScheme.compressedTensors(4, 64, true, DType.F16);
        assertEquals(
                "{\"quant_method\":\"compressed-tensors\",\"format\":\"pack-quantized\","
                        + "\"quantization_status\":\"compressed\",\"version\":\"0.19.0\","
                        + "\"global_compression_ratio\":null,\"kv_cache_scheme\":null,\"ignore\":[\"lm_head\",\"a.b\"],"
                        + "\"config_groups\":{\"group_0\":{\"targets\":[\"Linear\"],\"format\":\"pack-quantized\","
                        + "\"weights\":{\"num_bits\":4,\"type\":\"int\",\"symmetric\":true,\"strategy\":\"group\","
                        + "\"group_size\":64,\"dynamic\":false,\"actorder\":null,\"block_structure\":null,"
                        + "\"observer\":null,\"observer_kwargs\":{}},\"input_activations\":null,"
                        + "\"output_activations\":null}}}",
                CompressedTensorsLayout.packed(scheme)
                        .config(scheme, "halftone:0.1.0", Map.of("algorithm", "rtn"), List.of("a.b"))
                        .toString());
    }

    @Test
    void hasNoFileOfItsOwn() {
        QuantizationScheme scheme = QuantizationScheme.compressedTensors(4, 64, true, DType.F16);
        assertFalse(CompressedTensorsLayout.packed(scheme).sectionFile().isPresent());
    }

    /// 3 outputs and 10 inputs, group 5: code `(o + i) % 16`, scale of output `o` and group `g` is `1 + o + g / 2`.
    private List<Tensor> tensors() {
        return List.of(
                Tensor.ofInts(
                        LINEAR + ".weight_packed",
                        Shape.of(3, 2),
                        new int[] {0x7654_3210, 0x98, 0x8765_4321, 0xA9, 0x9876_5432, 0xBA},
                        arena),
                Tensor.ofFloats(
                        LINEAR + ".weight_scale", Shape.of(3, 2), new float[] {1, 1.5f, 2, 2.5f, 3, 3.5f}, arena),
                longs(3, 10));
    }

    /// 3 outputs and 2 inputs with scales 0.5, 0.5 and 2.
    private List<Tensor> integers() {
        return List.of(
                bytes(LINEAR + ".weight", Shape.of(3, 2), -128, 0, 127, 8, -1, 0),
                Tensor.rounded(
                        LINEAR + ".weight_scale", DType.BF16, Shape.of(3, 1), new float[] {0.5f, 0.5f, 2}, arena));
    }

    private Tensor longs(long... values) {
        return new Tensor(
                LINEAR + ".weight_shape",
                DType.I64,
                Shape.of(values.length),
                arena.allocateFrom(LittleEndian.LONG, values));
    }

    private Tensor bytes(String name, Shape shape, int... values) {
        byte[] bytes = new byte[values.length];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) values[i];
        }
        return new Tensor(name, DType.I8, shape, arena.allocateFrom(ValueLayout.JAVA_BYTE, bytes));
    }

    private static List<Tensor> replaced(List<Tensor> tensors, int index, Tensor tensor) {
        List<Tensor> changed = new ArrayList<>(tensors);
        changed.set(index, tensor);
        return changed;
    }

    private QuantizedWeight read(String section, List<Tensor> tensors) throws IOException {
        try (Checkpoint checkpoint = TestModel.open(folder, TestModel.config(section), tensors)) {
            return (QuantizedWeight) LinearWeights.of(checkpoint).weight(LINEAR);
        }
    }

    private void assertRefused(String section, List<Tensor> tensors, String message) throws IOException {
        try (Checkpoint checkpoint = TestModel.open(folder, TestModel.config(section), tensors)) {
            String found = Refusal.of(() -> LinearWeights.of(checkpoint).weight(LINEAR));
            assertTrue(found.contains(message), found);
        }
    }
}

package dev.halftone.core.layout;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class GptqLayoutTest {
    private static final String LINEAR = "model.layers.0.mlp.down_proj";
    private static final String SYMMETRIC = "{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":32,\"sym\":true}";
    private static final String ASYMMETRIC = "{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":32,\"sym\":false}";

    private final Arena arena = Arena.ofConfined();

    @TempDir
    Path folder;

    @AfterEach
    void release() {
        arena.close();
    }

    /// 32 outputs, 64 inputs, 2 groups: output `o` has code `(o + i) % 16`, so that every word can be told by hand.
    private static QuantizedWeight ramp(QuantizationScheme scheme, int zero) {
        byte[] codes = new byte[32 * 64];
        float[] scales = new float[32 * 2];
        int[] zeros = new int[32 * 2];
        for (int o = 0; o < 32; o++) {
            for (int i = 0; i < 64; i++) {
                codes[o * 64 + i] = (byte) ((o + i) % 16);
            }
            scales[o * 2] = 0.5f;
            scales[o * 2 + 1] = 2 + o;
            zeros[o * 2] = zero;
            zeros[o * 2 + 1] = zero;
        }
        return new QuantizedWeight(scheme, 32, 64, codes, scales, zeros, null);
    }

    @Test
    void laysCodesDownTheInputs() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 32, true);
        int[] qweight =
                packed(GptqLayout.v1(scheme), ramp(scheme, 8)).get(".qweight").toInts();
        assertEquals(8 * 32, qweight.length);
        // Word r of output o holds inputs 8 r to 8 r + 7, the first in the lowest bits.
        assertEquals(0x76543210, qweight[0]);
        assertEquals(0x87654321, qweight[1]);
        assertEquals(0xFEDCBA98, qweight[32]);
        assertEquals(0x0FEDCBA9, qweight[32 + 1]);
        assertEquals(0xEDCBA987, qweight[7 * 32 + 31]);
    }

    @Test
    void storesOneLessThanTheZeroInVersionOne() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 32, true);
        Map<String, Tensor> version1 = packed(GptqLayout.v1(scheme), ramp(scheme, 8));
        int[] expected = new int[2 * 4];
        Arrays.fill(expected, 0x77777777);
        assertArrayEquals(expected, version1.get(".qzeros").toInts());
        Arrays.fill(expected, 0x88888888);
        assertArrayEquals(
                expected,
                packed(GptqLayout.v2(scheme), ramp(scheme, 8)).get(".qzeros").toInts());
    }

    @Test
    void laysZerosAlongTheOutputsAndScalesByGroup() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 32, false);
        QuantizedWeight weight = ramp(scheme, 8);
        for (int o = 0; o < 32; o++) {
            weight.zeros()[o * 2 + 1] = o % 8 + 1;
        }
        Map<String, Tensor> tensors = packed(GptqLayout.v1(scheme), weight);
        int[] qzeros = tensors.get(".qzeros").toInts();
        assertEquals(0x77777777, qzeros[3]);
        assertEquals(0x76543210, qzeros[4]);
        float[] scales = tensors.get(".scales").toFloats();
        assertEquals(0.5f, scales[31]);
        assertEquals(2f, scales[32]);
        assertEquals(33f, scales[63]);
        assertEquals(DType.F16, tensors.get(".scales").type());
    }

    @Test
    void writesTheGroupOfEachInput() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 32, true);
        int[] groups =
                packed(GptqLayout.v1(scheme), ramp(scheme, 8)).get(".g_idx").toInts();
        assertEquals(64, groups.length);
        assertEquals(0, groups[31]);
        assertEquals(1, groups[32]);
    }

    @Test
    void planEqualsWhatIsPacked() {
        QuantizationScheme scheme = QuantizationScheme.gptq(3, 32, true);
        List<TensorSpec> specs = GptqLayout.v1(scheme).specs(LINEAR, 96, 64, scheme);
        assertEquals(
                List.of(
                        new TensorSpec(LINEAR + ".qweight", DType.I32, Shape.of(6, 96)),
                        new TensorSpec(LINEAR + ".qzeros", DType.I32, Shape.of(2, 9)),
                        new TensorSpec(LINEAR + ".scales", DType.F16, Shape.of(2, 96)),
                        new TensorSpec(LINEAR + ".g_idx", DType.I32, Shape.of(64))),
                specs);
    }

    @ParameterizedTest
    @CsvSource({
        "2, 32, true",
        "2, -1, false",
        "3, 32, true",
        "3, 64, false",
        "3, -1, true",
        "4, 32, false",
        "4, -1, true",
        "4, 96, false",
        "8, 64, true",
        "8, -1, false"
    })
    void readsBackWhatItPacked(int bits, int groupSize, boolean symmetric) throws IOException {
        QuantizationScheme scheme = QuantizationScheme.gptq(bits, groupSize, symmetric);
        for (GptqLayout layout : List.of(GptqLayout.v1(scheme), GptqLayout.v2(scheme))) {
            // More outputs than one tile, and no multiple of it.
            QuantizedWeight weight = random(scheme, 160, 192);
            ObjectNode section = layout.config(scheme, "halftone:0", Map.of(), List.of());
            try (Checkpoint checkpoint =
                    TestModel.open(folder, TestModel.config(section.toString()), layout.pack(LINEAR, weight, arena))) {
                QuantizedWeight read =
                        (QuantizedWeight) LinearWeights.of(checkpoint).weight(LINEAR);
                assertEquals(layout.version().lowestZero(), read.scheme().lowestZero());
                assertEquals(scheme.toString(), read.scheme().toString());
                assertArrayEquals(weight.codes(), read.codes());
                assertArrayEquals(weight.scales(), read.scales());
                assertArrayEquals(weight.zeros(), read.zeros());
                assertArrayEquals(weight.restore(), read.restore());
                assertNull(read.groupOfColumn());
            }
        }
    }

    private static QuantizedWeight random(QuantizationScheme scheme, int outputs, int inputs) {
        SplittableRandom random = new SplittableRandom(scheme.hashCode());
        byte[] codes = new byte[outputs * inputs];
        for (int i = 0; i < codes.length; i++) {
            codes[i] = (byte) random.nextInt(scheme.maximum() + 1);
        }
        int cells = outputs * scheme.groups(inputs);
        float[] scales = new float[cells];
        int[] zeros = new int[cells];
        for (int i = 0; i < cells; i++) {
            scales[i] = DType.F16.round(random.nextFloat() + 0.01f);
            zeros[i] = scheme.symmetric() ? scheme.maximum() + 1 >> 1 : random.nextInt(1, scheme.maximum() + 1);
        }
        return new QuantizedWeight(scheme, outputs, inputs, codes, scales, zeros, null);
    }

    @Test
    void readsAStoredFifteenAsSixteenWithoutWrap() throws IOException {
        List<Tensor> tensors = tensors(0xFFFFFFFF);
        QuantizedWeight weight = read(ASYMMETRIC, tensors);
        assertEquals(16, weight.zeros()[0]);
        assertEquals(-16f, weight.restore()[0]);
        GptqLayout layout = GptqLayout.v1(weight.scheme());
        assertArrayEquals(
                tensors.get(1).toInts(),
                layout.pack(LINEAR, weight, arena).get(1).toInts());
    }

    @Test
    void readsStoredZerosOfVersionTwoAsTheyAre() throws IOException {
        QuantizedWeight weight = read(ASYMMETRIC.replace("}", ",\"checkpoint_format\":\"gptq_v2\"}"), tensors(0));
        assertEquals(0, weight.zeros()[0]);
        assertEquals(0, weight.scheme().lowestZero());
    }

    @ParameterizedTest
    @CsvSource({"gptq, 0x77777777, 0", "gptq, 0x88888888, 1", "gptq_v2, 0x88888888, 0", "gptq_v2, 0x77777777, 1"})
    void believesTheZerosOfASymmetricFileMoreThanItsLabel(String label, String word, int warnings) throws IOException {
        List<LogRecord> records = new ArrayList<>();
        Handler handler = new Handler() {
            @Override
            public void publish(LogRecord record) {
                records.add(record);
            }

            @Override
            public void flush() {}

            @Override
            public void close() {}
        };
        Logger logger = Logger.getLogger("dev.halftone.core.layout");
        logger.addHandler(handler);
        logger.setUseParentHandlers(false);
        try {
            List<Tensor> tensors = new ArrayList<>(tensors(Long.decode(word).intValue()));
            for (Tensor tensor : List.copyOf(tensors)) {
                tensors.add(tensor.withName(tensor.name().replace("down", "up")));
            }
            String section = SYMMETRIC.replace("}", ",\"checkpoint_format\":\"" + label + "\"}");
            try (Checkpoint checkpoint = TestModel.open(folder, TestModel.config(section), tensors)) {
                LinearWeights weights = LinearWeights.of(checkpoint);
                for (String linear : List.of(LINEAR, LINEAR.replace("down", "up"))) {
                    QuantizedWeight weight = (QuantizedWeight) weights.weight(linear);
                    assertTrue(weight.scheme().symmetric());
                    assertEquals(8, weight.zeros()[0]);
                }
            }
        } finally {
            logger.removeHandler(handler);
            logger.setUseParentHandlers(true);
        }
        // Once for the checkpoint, not for each linear.
        assertEquals(warnings, records.size());
        assertTrue(records.stream().allMatch(record -> record.getLevel().equals(Level.WARNING)));
    }

    @Test
    void doesNotCallAFileSymmetricWhoseZerosDiffer() throws IOException {
        QuantizedWeight weight = read(SYMMETRIC, tensors(0x77777776));
        assertFalse(weight.scheme().symmetric());
        assertEquals(7, weight.zeros()[0]);
        assertEquals(8, weight.zeros()[2]);
    }

    @Test
    void readsColumnsOutOfOrder() throws IOException {
        int[] groups = new int[64];
        for (int i = 0; i < 64; i++) {
            groups[i] = i % 2;
        }
        List<Tensor> tensors = new ArrayList<>(tensors(0x77777777));
        tensors.add(Tensor.ofInts(LINEAR + ".g_idx", Shape.of(64), groups, arena));
        QuantizedWeight weight = read(SYMMETRIC.replace("}", ",\"desc_act\":true}"), tensors);
        assertArrayEquals(groups, weight.groupOfColumn());
        // Codes are 0 and 0, scales 1 and 2 in the two groups.
        assertEquals(-8f, weight.restore()[0]);
        assertEquals(-16f, weight.restore()[1]);
    }

    @Test
    void doesWithoutGroupIndexUnlessColumnsAreReordered() throws IOException {
        assertNull(read(SYMMETRIC, tensors(0x77777777)).groupOfColumn());
        assertRefused(
                SYMMETRIC.replace("}", ",\"desc_act\":true}"),
                tensors(0x77777777),
                "'" + LINEAR + ".g_idx': tensor is missing");
    }

    @Test
    void takesAGroupLargerThanTheInputsForAllOfThem() throws IOException {
        List<Tensor> tensors = List.of(
                Tensor.ofInts(LINEAR + ".qweight", Shape.of(8, 32), new int[8 * 32], arena),
                Tensor.ofInts(LINEAR + ".qzeros", Shape.of(1, 4), new int[4], arena),
                Tensor.rounded(LINEAR + ".scales", DType.F16, Shape.of(1, 32), new float[32], arena));
        assertEquals(1, read(ASYMMETRIC.replace("32", "128"), tensors).groups());
    }

    @Test
    void readsScalesOfOtherTypes() throws IOException {
        List<Tensor> tensors = new ArrayList<>(tensors(0x77777777));
        tensors.set(2, Tensor.rounded(LINEAR + ".scales", DType.BF16, Shape.of(2, 32), new float[64], arena));
        assertEquals(DType.BF16, read(SYMMETRIC, tensors).scheme().scaleType());
    }

    @Test
    void refusesGroupIndicesThatPointNowhere() throws IOException {
        int[] groups = new int[64];
        groups[40] = 2;
        List<Tensor> tensors = new ArrayList<>(tensors(0x77777777));
        tensors.add(Tensor.ofInts(LINEAR + ".g_idx", Shape.of(64), groups, arena));
        assertRefused(SYMMETRIC, tensors, "group index out of range | input 40 has group 2 of 2");
        tensors.set(3, Tensor.ofInts(LINEAR + ".g_idx", Shape.of(32), new int[32], arena));
        assertRefused(SYMMETRIC, tensors, "group index does not fit the weight | expected I32 [64], found I32 [32]");
    }

    @Test
    void refusesTensorsThatDoNotFitTogether() throws IOException {
        List<Tensor> tensors = new ArrayList<>(tensors(0));
        tensors.set(1, Tensor.ofInts(LINEAR + ".qzeros", Shape.of(2, 3), new int[6], arena));
        assertRefused(SYMMETRIC, tensors, "zeros do not fit the weight | expected I32 [2, 4], found [2, 3]");

        tensors = new ArrayList<>(tensors(0));
        tensors.set(2, Tensor.rounded(LINEAR + ".scales", DType.F16, Shape.of(1, 32), new float[32], arena));
        assertRefused(SYMMETRIC, tensors, "scales do not fit the weight | expected F16 [2, 32], found F16 [1, 32]");

        tensors = new ArrayList<>(tensors(0));
        tensors.set(0, Tensor.ofFloats(LINEAR + ".qweight", Shape.of(8, 32), new float[256], arena));
        assertRefused(SYMMETRIC, tensors, "not packed as GPTQ packs | expected an I32 matrix, found F32 [8, 32]");
        tensors.set(0, Tensor.ofInts(LINEAR + ".qweight", Shape.of(0, 32), new int[0], arena));
        assertRefused(SYMMETRIC, tensors, "not packed as GPTQ packs | expected an I32 matrix, found I32 [0, 32]");
        tensors.set(0, Tensor.ofInts(LINEAR + ".qweight", Shape.of(256), new int[256], arena));
        assertRefused(SYMMETRIC, tensors, "not packed as GPTQ packs | expected an I32 matrix, found I32 [256]");

        assertRefused(SYMMETRIC.replace("4", "3"), tensors(0), "its rows do not hold whole 3-bit codes");
        assertRefused(SYMMETRIC.replace("32", "48"), tensors(0), "64 inputs are no multiple of group size 48");
        assertRefused(SYMMETRIC, tensors(0).subList(0, 2), "'" + LINEAR + ".scales': tensor is missing");
        assertRefused(
                SYMMETRIC, List.of(tensors(0).get(0), tensors(0).get(2)), "'" + LINEAR + ".qzeros': tensor is missing");
    }

    @Test
    void refusesScalesThatAreNoNumbers() throws IOException {
        float[] scales = new float[64];
        scales[5] = Float.NaN;
        List<Tensor> tensors = new ArrayList<>(tensors(0x77777777));
        tensors.set(2, Tensor.rounded(LINEAR + ".scales", DType.F16, Shape.of(2, 32), scales, arena));
        assertRefused(SYMMETRIC, tensors, "holds NaN or infinity | 1 of 64 elements, the first at index 5");
    }

    @Test
    void refusesSizesThatLoadersDoNotTake() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, -1, true);
        GptqLayout layout = GptqLayout.v1(scheme);
        String fault = LINEAR + " does not fit the GPTQ format | it has %d inputs and %d outputs, "
                + "both must be multiples of 32";
        assertEquals(fault.formatted(40, 64), Refusal.of(() -> layout.requireStorable(LINEAR, 64, 40, scheme)));
        assertEquals(fault.formatted(64, 40), Refusal.of(() -> layout.requireStorable(LINEAR, 40, 64, scheme)));
        assertDoesNotThrow(() -> layout.requireStorable(LINEAR, 32, 32, scheme));
    }

    @Test
    void namesTheGroupSizesThatWork() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 128, true);
        HalftoneException refusal = assertThrows(
                HalftoneException.class, () -> GptqLayout.v1(scheme).requireStorable(LINEAR, 576, 576, scheme));
        assertEquals(LINEAR + ": 576 inputs are no multiple of group size 128", refusal.getMessage());
        assertEquals("group sizes that work: 32, 64, 96, 192, 288, 576 and -1", refusal.detail());
        assertEquals("use group size 96", refusal.remedy());
        assertEquals(Kind.USAGE, refusal.kind());
        QuantizationScheme tiny = QuantizationScheme.gptq(4, 10, true);
        assertEquals(
                "use group size -1",
                assertThrows(HalftoneException.class, () -> GptqLayout.v1(tiny).requireStorable(LINEAR, 32, 64, tiny))
                        .remedy());
    }

    @ParameterizedTest
    @ValueSource(ints = {5, 6, 7})
    void refusesWidthsThatTheFormatDoesNotKnow(int bits) {
        QuantizationScheme scheme = QuantizationScheme.gptq(bits, 32, true);
        assertEquals(
                "the GPTQ format cannot hold " + bits + "-bit codes | it holds [2, 3, 4, 8]",
                Refusal.of(() -> GptqLayout.v1(scheme).requireStorable(LINEAR, 32, 32, scheme)));
    }

    @Test
    void refusesSchemesWhoseNumbersItCannotHold() {
        QuantizationScheme wide = new QuantizationScheme(4, 32, true, DType.F32, 1);
        QuantizationScheme zero = new QuantizationScheme(4, 32, false, DType.F16, 0);
        assertThrows(IllegalArgumentException.class, () -> GptqLayout.v1(wide).requireStorable(LINEAR, 32, 32, wide));
        assertThrows(IllegalArgumentException.class, () -> GptqLayout.v1(zero).requireStorable(LINEAR, 32, 32, zero));
        assertDoesNotThrow(() -> GptqLayout.v2(zero).requireStorable(LINEAR, 32, 32, zero));
    }

    @Test
    void refusesToPackWhatWouldSpillOrRound() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 32, false);
        GptqLayout layout = GptqLayout.v1(scheme);
        QuantizedWeight code = ramp(scheme, 8);
        code.codes()[77] = 16;
        assertPackRefused(layout, code, "code 16 exceeds 15");
        assertPackRefused(layout, ramp(scheme, 0), "gptq cannot store a zero of 0");
        assertPackRefused(layout, ramp(scheme, 17), "gptq cannot store a zero of 17");
        assertPackRefused(GptqLayout.v2(scheme), ramp(scheme, 16), "gptq_v2 cannot store a zero of 16");
        QuantizedWeight scale = ramp(scheme, 8);
        scale.scales()[3] = 0.1f;
        assertPackRefused(layout, scale, "scale 0.1 is no F16");
        scale.scales()[3] = Float.POSITIVE_INFINITY;
        assertPackRefused(layout, scale, "scale Infinity is no F16");
        QuantizedWeight ordered = ramp(scheme, 8);
        QuantizedWeight reordered =
                new QuantizedWeight(scheme, 32, 64, ordered.codes(), ordered.scales(), ordered.zeros(), new int[64]);
        assertPackRefused(layout, reordered, "columns are out of order");
    }

    private void assertPackRefused(GptqLayout layout, QuantizedWeight weight, String message) {
        String found = assertThrows(IllegalArgumentException.class, () -> layout.pack(LINEAR, weight, arena))
                .getMessage();
        assertTrue(found.contains(message), found);
    }

    @Test
    void writesTheSectionThatOtherToolsRead() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 64, true);
        ObjectNode section = GptqLayout.v1(scheme)
                .config(
                        scheme,
                        "halftone:0.1.0",
                        Map.of("true_sequential", true, "damp_percent", 0.01, "static_groups", false),
                        List.of("model.layers.3.mlp.down_proj"));
        assertEquals(
                "{\"bits\":4,\"group_size\":64,\"desc_act\":false,\"sym\":true,\"lm_head\":false,"
                        + "\"quant_method\":\"gptq\",\"method\":\"gptq\",\"checkpoint_format\":\"gptq\","
                        + "\"format\":\"gptq\",\"pack_dtype\":\"int32\","
                        + "\"dynamic\":{\"-:^model\\\\.layers\\\\.3\\\\.mlp\\\\.down_proj$\":{}},"
                        + "\"meta\":{\"quantizer\":[\"halftone:0.1.0\"],\"damp_percent\":0.01,"
                        + "\"static_groups\":false,\"true_sequential\":true}}",
                section.toString());
    }

    /// Tensors of 32 outputs and 64 inputs, group 32: codes 0, scales 1 and 2, all zeros from `zeroWord`.
    private List<Tensor> tensors(int zeroWord) {
        int[] zeros = new int[2 * 4];
        Arrays.fill(zeros, zeroWord);
        float[] scales = new float[2 * 32];
        Arrays.fill(scales, 0, 32, 1);
        Arrays.fill(scales, 32, 64, 2);
        return List.of(
                Tensor.ofInts(LINEAR + ".qweight", Shape.of(8, 32), new int[8 * 32], arena),
                Tensor.ofInts(LINEAR + ".qzeros", Shape.of(2, 4), zeros, arena),
                Tensor.rounded(LINEAR + ".scales", DType.F16, Shape.of(2, 32), scales, arena));
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

    private Map<String, Tensor> packed(GptqLayout layout, QuantizedWeight weight) {
        Map<String, Tensor> tensors = new HashMap<>();
        for (Tensor tensor : layout.pack(LINEAR, weight, arena)) {
            tensors.put(tensor.name().substring(LINEAR.length()), tensor);
        }
        return tensors;
    }
}

package dev.halftone.core.layout;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class AwqGemmLayoutTest {
    private static final String LINEAR = "model.layers.0.mlp.down_proj";
    private static final String SECTION =
            "{\"quant_method\":\"awq\",\"bits\":4,\"group_size\":2,\"zero_point\":true,\"version\":\"gemm\"}";

    private final Arena arena = Arena.ofConfined();

    @TempDir
    Path folder;

    @AfterEach
    void release() {
        arena.close();
    }

    /// Eight outputs in a word, and the nibbles from the lowest on hold outputs 0 2 4 6 1 3 5 7.
    @Test
    void laysEightOutputsIntoAWordOutOfOrder() {
        QuantizationScheme scheme = QuantizationScheme.awq(4, 2, false);
        QuantizedWeight weight = TestWeights.ramp(scheme, 16, 4, 0);
        for (int o = 0; o < 16; o++) {
            weight.zeros()[o * 2 + 1] = 15 - o;
        }
        List<Tensor> tensors = AwqGemmLayout.of(scheme).pack(LINEAR, weight, arena);
        assertEquals(
                List.of(
                        new TensorSpec(LINEAR + ".qweight", DType.I32, Shape.of(4, 2)),
                        new TensorSpec(LINEAR + ".qzeros", DType.I32, Shape.of(2, 2)),
                        new TensorSpec(LINEAR + ".scales", DType.F16, Shape.of(2, 16))),
                tensors.stream().map(TensorSpec::of).toList());
        assertArrayEquals(
                new int[] {
                    0x7531_6420, 0xFDB9_ECA8, // input 0
                    0x8642_7531, 0x0ECA_FDB9, // input 1
                    0x9753_8642, 0x1FDB_0ECA,
                    0xA864_9753, 0x20EC_1FDB
                },
                tensors.get(0).toInts());
        assertArrayEquals(
                new int[] {0, 0, 0x8ACE_9BDF, 0x0246_1357}, tensors.get(1).toInts());
        float[] scales = tensors.get(2).toFloats();
        assertEquals(1f, scales[0]);
        assertEquals(16f, scales[15]);
        assertEquals(1.5f, scales[16]);
    }

    @Test
    void restoresWhatTheWordsMean() throws IOException {
        QuantizedWeight weight = read(SECTION, tensors());
        // Output 3 is the sixth nibble: code 3 and zero 2 in the first group, scale 4.
        assertEquals((3 - 2) * 4f, weight.restore()[3 * 4]);
        assertEquals(-2 * 4f, weight.restore()[3 * 4 + 1]);
        assertEquals(0f, weight.restore()[0]);
        assertEquals(2, weight.groups());
        assertEquals("4-bit g2 asymmetric", weight.scheme().toString());
    }

    @ParameterizedTest
    @CsvSource({"8, 1, 1, F16", "8, 6, 3, BF16", "136, 96, 32, F16", "264, 30, -1, BF16", "16, 128, 128, F16"})
    void readsBackWhatItPacked(int outputs, int inputs, int groupSize, DType scaleType) throws IOException {
        QuantizationScheme scheme = new QuantizationScheme(4, groupSize, false, scaleType, 0);
        QuantizedWeight weight = TestWeights.random(scheme, outputs, inputs);
        AwqGemmLayout layout = AwqGemmLayout.of(scheme);
        ObjectNode section = layout.config(scheme, "halftone:0", Map.of(), List.of());
        QuantizedWeight read = read(section.toString(), layout.pack(LINEAR, weight, arena));
        assertEquals(scheme, read.scheme());
        assertArrayEquals(weight.codes(), read.codes());
        assertArrayEquals(weight.scales(), read.scales());
        assertArrayEquals(weight.zeros(), read.zeros());
        assertArrayEquals(weight.restore(), read.restore());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "{\"quant_method\":\"awq\",\"bits\":4,\"group_size\":2}",
                "{\"quant_method\":\"awq\",\"w_bit\":4,\"q_group_size\":2,\"zero_point\":true,\"version\":\"GEMM\"}",
                "{\"method\":\"awq\",\"format\":\"gemm\",\"checkpoint_format\":\"gemm\",\"version\":\"gemm\",\"bits\":4,"
                    + "\"group_size\":2,\"zero_point\":true,\"modules_to_not_convert\":null,\"dynamic\":null}"
            })
    void readsOldAndNewSpellings(String section) throws IOException {
        assertEquals(4, read(section, tensors()).inputs());
    }

    @Test
    void readsTheFileOfItsOwnWhenTheConfigIsSilent() throws IOException {
        Files.writeString(
                folder.resolve("quant_config.json"),
                "{\"zero_point\":true,\"q_group_size\":2,\"w_bit\":4,\"version\":\"GEMM\"}");
        try (Checkpoint checkpoint = TestModel.open(folder, "{}", tensors())) {
            assertEquals(
                    "awq 4-bit g2 asymmetric",
                    LinearWeights.of(checkpoint).description().orElseThrow());
        }
    }

    @Test
    void readsLinearsLeftInFloatingPoint() throws IOException {
        List<Tensor> tensors = new ArrayList<>(tensors());
        tensors.add(Tensor.rounded("a.q.weight", DType.F16, Shape.of(2, 3), new float[6], arena));
        String section = SECTION.replace("}", ",\"modules_to_not_convert\":[\"a.q\",\"lm_head\"]}");
        try (Checkpoint checkpoint = TestModel.open(folder, TestModel.config(section), tensors)) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            assertInstanceOf(DenseWeight.class, weights.weight("a.q"));
            assertInstanceOf(QuantizedWeight.class, weights.weight(LINEAR));
        }
    }

    @Test
    void refusesAPackedLinearThatShouldBeDense() throws IOException {
        for (String excluding :
                List.of("\"modules_to_not_convert\":[\"" + LINEAR + "\"]", "\"dynamic\":{\"-:model.*down_proj\":{}}")) {
            assertRefused(
                    SECTION.replace("}", "," + excluding + "}"),
                    tensors(),
                    "is packed, but the configuration excludes it");
        }
        List<Tensor> twice = new ArrayList<>(tensors());
        twice.add(Tensor.rounded(LINEAR + ".weight", DType.F16, Shape.of(8, 4), new float[32], arena));
        assertRefused(SECTION, twice, "is there both packed and in floating point");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "\"gemm\"|\"gemv\"|AWQ version 'gemv' is not supported | supported: gemm",
                "\"gemm\"|\"gemv_fast\"|AWQ version 'gemv_fast' is not supported",
                "\"gemm\"|\"gemm\",\"format\":\"marlin\"|version and format disagree",
                "\"gemm\"|4|'version' is unusable | expected a text, found NUMBER",
                ":4|:3|AWQ with 3 bits is not supported | supported: 4",
                "\"bits\":4,|``|'w_bit' is unusable | expected a whole number, found nothing",
                ":2|:0|group_size is 0 | expected a positive number or -1",
                ",\"group_size\":2|``|'q_group_size' is unusable | expected a whole number, found nothing",
                ":true|:false|AWQ without zero points is not supported | supported: zero_point true",
                ":true|:1|'zero_point' is unusable | expected true or false, found NUMBER",
                ":true|:true,\"modules_to_not_convert\":\"a\"|'modules_to_not_convert' is unusable",
                ":true|:true,\"modules_to_not_convert\":[7]|'modules_to_not_convert' is unusable | expected a list",
                ":true|:true,\"dynamic\":{\"a\":{\"bits\":8}}|AWQ with settings for single linears is not supported"
            })
    void refusesSettingsThatItCannotFollow(String part, String other, String message) throws IOException {
        assertTrue(SECTION.contains(part), part);
        String section = SECTION.replace(part, other == null ? "" : other);
        try (Checkpoint checkpoint = TestModel.open(folder, TestModel.config(section), tensors())) {
            String found = Refusal.of(() -> LinearWeights.of(checkpoint));
            assertTrue(found.contains(message), found);
        }
    }

    @Test
    void refusesTensorsThatDoNotFitTogether() throws IOException {
        assertRefused(
                SECTION,
                replaced(0, Tensor.ofFloats(LINEAR + ".qweight", Shape.of(4, 1), new float[4], arena)),
                "not packed as AWQ packs | expected an I32 matrix, found F32 [4, 1]");
        assertRefused(
                SECTION,
                replaced(0, Tensor.ofInts(LINEAR + ".qweight", Shape.of(4), new int[4], arena)),
                "not packed as AWQ packs | expected an I32 matrix, found I32 [4]");
        assertRefused(
                SECTION,
                replaced(1, Tensor.ofInts(LINEAR + ".qzeros", Shape.of(1, 2), new int[2], arena)),
                "zeros do not fit the weight | expected I32 [2, 1], found I32 [1, 2]");
        assertRefused(
                SECTION,
                replaced(1, Tensor.ofFloats(LINEAR + ".qzeros", Shape.of(2, 1), new float[2], arena)),
                "zeros do not fit the weight | expected I32 [2, 1], found F32 [2, 1]");
        assertRefused(
                SECTION,
                replaced(2, Tensor.rounded(LINEAR + ".scales", DType.F16, Shape.of(8, 2), new float[16], arena)),
                "scales do not fit the weight | expected F16 [2, 8], found F16 [8, 2]");
        assertRefused(SECTION.replace(":2", ":3"), tensors(), "4 inputs are no multiple of group size 3");
        assertRefused(SECTION, tensors().subList(0, 2), "'" + LINEAR + ".scales': tensor is missing");
        assertRefused(
                SECTION, List.of(tensors().get(0), tensors().get(2)), "'" + LINEAR + ".qzeros': tensor is missing");
    }

    @Test
    void refusesScalesThatAreNoNumbers() throws IOException {
        float[] scales = new float[16];
        scales[3] = Float.NaN;
        assertRefused(
                SECTION,
                replaced(2, Tensor.rounded(LINEAR + ".scales", DType.F16, Shape.of(2, 8), scales, arena)),
                "holds NaN or infinity | 1 of 16 elements, the first at index 3");
    }

    @Test
    void refusesSchemesThatTheFormatDoesNotKnow() {
        assertEquals(
                "the AWQ format cannot hold 8-bit codes | it holds 4",
                storing(QuantizationScheme.awq(8, 32, false), 32, 32));
        assertEquals(
                "the AWQ format is for asymmetric grids | loaders expect a zero point for every group",
                storing(QuantizationScheme.awq(4, 32, true), 32, 32));
        assertEquals(
                LINEAR + " does not fit the AWQ format | it has 36 outputs, which must be a multiple of 8",
                storing(QuantizationScheme.awq(4, 32, false), 36, 32));
        assertEquals(
                LINEAR + ": 96 inputs are no multiple of group size 64 | group sizes that work: 16, 32, 48, 96 and -1",
                storing(QuantizationScheme.awq(4, 64, false), 32, 96));
        QuantizationScheme wide = new QuantizationScheme(4, 32, false, DType.F32, 0);
        assertThrows(
                IllegalArgumentException.class, () -> AwqGemmLayout.of(wide).requireStorable(LINEAR, 32, 32, wide));
    }

    private static String storing(QuantizationScheme scheme, int outputs, int inputs) {
        return Refusal.of(() -> AwqGemmLayout.of(scheme).requireStorable(LINEAR, outputs, inputs, scheme));
    }

    @Test
    void refusesToPackWhatWouldSpillOrRound() {
        QuantizationScheme scheme = QuantizationScheme.awq(4, 2, false);
        QuantizedWeight code = TestWeights.ramp(scheme, 8, 4, 8);
        code.codes()[7] = 16;
        assertPackRefused(code, "code 16 exceeds 15");
        assertPackRefused(TestWeights.ramp(scheme, 8, 4, 16), "awq cannot store a zero of 16");
        assertPackRefused(TestWeights.ramp(scheme, 8, 4, -1), "awq cannot store a zero of -1");
        QuantizedWeight scale = TestWeights.ramp(scheme, 8, 4, 8);
        scale.scales()[3] = 0.1f;
        assertPackRefused(scale, "scale 0.1 is no F16");
        QuantizedWeight plain = TestWeights.ramp(scheme, 8, 4, 8);
        assertPackRefused(
                new QuantizedWeight(scheme, 8, 4, plain.codes(), plain.scales(), plain.zeros(), new int[4]),
                "columns are out of order");
    }

    private void assertPackRefused(QuantizedWeight weight, String message) {
        AwqGemmLayout layout = AwqGemmLayout.of(weight.scheme());
        String found = assertThrows(IllegalArgumentException.class, () -> layout.pack(LINEAR, weight, arena))
                .getMessage();
        assertTrue(found.contains(message), found);
    }

    @Test
    void writesTheSectionThatOtherToolsRead() {
        QuantizationScheme scheme = QuantizationScheme.awq(4, 64, false);
        assertEquals(
                "{\"bits\":4,\"group_size\":64,\"zero_point\":true,\"version\":\"gemm\",\"desc_act\":false,"
                        + "\"lm_head\":false,\"quant_method\":\"awq\",\"method\":\"awq\","
                        + "\"checkpoint_format\":\"gemm\",\"format\":\"gemm\",\"pack_dtype\":\"int32\","
                        + "\"modules_to_not_convert\":[\"a.b\"],\"dynamic\":{\"-:^a\\\\.b$\":{}},"
                        + "\"meta\":{\"quantizer\":[\"halftone:0.1.0\"],\"algorithm\":\"rtn\"}}",
                AwqGemmLayout.of(scheme)
                        .config(scheme, "halftone:0.1.0", Map.of("algorithm", "rtn"), List.of("a.b"))
                        .toString());
    }

    /// 8 outputs and 4 inputs, group 2. Codes 0 to 7 for the first input, else 0; zeros 0 but for 2 of output 3 in the
    /// first group; scale of output `o` is `1 + o`.
    private List<Tensor> tensors() {
        float[] scales = new float[16];
        for (int i = 0; i < 16; i++) {
            scales[i] = 1 + i % 8;
        }
        return List.of(
                Tensor.ofInts(LINEAR + ".qweight", Shape.of(4, 1), new int[] {0x7531_6420, 0, 0, 0}, arena),
                Tensor.ofInts(LINEAR + ".qzeros", Shape.of(2, 1), new int[] {0x0020_0000, 0}, arena),
                Tensor.rounded(LINEAR + ".scales", DType.F16, Shape.of(2, 8), scales, arena));
    }

    private List<Tensor> replaced(int index, Tensor tensor) {
        List<Tensor> tensors = new ArrayList<>(tensors());
        tensors.set(index, tensor);
        return tensors;
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

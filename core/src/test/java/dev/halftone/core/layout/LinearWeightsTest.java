package dev.halftone.core.layout;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.QuantizedWeight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class LinearWeightsTest {
    private static final String SECTION = """
        {"quant_method":"gptq","bits":4,"group_size":32,"desc_act":false,"sym":true}\
        """;

    private final Arena arena = Arena.ofConfined();

    @TempDir
    Path folder;

    @AfterEach
    void release() {
        arena.close();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":32}",
                "{\"method\":\"gptq\",\"format\":\"gptq\",\"bits\":4,\"group_size\":32,\"sym\":true}",
                "{\"quant_method\":\"gptq\",\"method\":\"gptq\",\"checkpoint_format\":\"gptq\",\"format\":\"gptq\","
                        + "\"bits\":4,\"group_size\":32,\"pack_dtype\":\"int32\",\"dynamic\":null,\"adapter\":null}",
                "{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":32,\"damp_percent\":0.01,\"static_groups\":false,"
                        + "\"true_sequential\":true,\"modules_in_block_to_quantize\":[],\"is_marlin_format\":false}"
            })
    void readsOldAndNewSpellings(String section) throws IOException {
        try (Checkpoint checkpoint = open(TestModel.config(section))) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            assertEquals("gptq 4-bit g32 symmetric", weights.description().orElseThrow());
            assertEquals("gptq", weights.layout().orElseThrow().name());
            assertInstanceOf(QuantizedWeight.class, weights.weight("a.q"));
        }
    }

    @Test
    void readsTheFileOfItsOwnWhenTheConfigIsSilent() throws IOException {
        // As the first tools wrote it.
        Files.writeString(folder.resolve("quantize_config.json"), """
            {"bits":4,"group_size":32,"damp_percent":0.01,"desc_act":false,"sym":false,"true_sequential":true}\
            """);
        try (Checkpoint checkpoint = open("{}")) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            assertEquals("gptq 4-bit g32 asymmetric", weights.description().orElseThrow());
            assertInstanceOf(QuantizedWeight.class, weights.weight("a.q"));
        }
        try (Checkpoint checkpoint = open(TestModel.config(SECTION))) {
            assertEquals(
                    "gptq 4-bit g32 symmetric",
                    LinearWeights.of(checkpoint).description().orElseThrow());
        }
    }

    @Test
    void readsADenseCheckpoint() throws IOException {
        List<Tensor> tensors = List.of(dense("head.weight", DType.BF16, Shape.of(2, 3)));
        try (Checkpoint checkpoint = TestModel.open(folder, "{\"quantization_config\":null}", tensors)) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            assertTrue(weights.layout().isEmpty());
            assertTrue(weights.description().isEmpty());
            assertEquals(
                    3,
                    assertInstanceOf(DenseWeight.class, weights.weight("head")).inputs());
        }
    }

    @Test
    void readsLinearsLeftInFloatingPoint() throws IOException {
        List<Tensor> tensors = new ArrayList<>(packed("a.q"));
        tensors.add(dense("head.weight", DType.F16, Shape.of(2, 3)));
        try (Checkpoint checkpoint = TestModel.open(folder, TestModel.config(SECTION), tensors)) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            assertInstanceOf(DenseWeight.class, weights.weight("head"));
            assertInstanceOf(QuantizedWeight.class, weights.weight("a.q"));
        }
    }

    @Test
    void readsTheBiasWhereThereIsOne() throws IOException {
        List<Tensor> tensors = new ArrayList<>(packed("a.q"));
        tensors.add(Tensor.rounded("a.q.bias", DType.F16, Shape.of(3), new float[] {1, 0.5f, -2}, arena));
        tensors.add(Tensor.ofInts("a.k.bias", Shape.of(1), new int[1], arena));
        try (Checkpoint checkpoint = TestModel.open(folder, TestModel.config(SECTION), tensors)) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            assertArrayEquals(new float[] {1, 0.5f, -2}, weights.bias("a.q"));
            assertNull(weights.bias("a.v"));
            assertRefused("tensor 'a.k.bias': is no bias", Refusal.of(() -> weights.bias("a.k")));
        }
    }

    @Test
    void overridesSettingsByTheFirstRuleThatMatches() throws IOException {
        String rules = """
            {"quant_method":"gptq","bits":8,"group_size":-1,"sym":true,"dynamic":{
              "-:.*head":{},
              "+:b\\\\.":{"bits":4,"group_size":64,"sym":false},
              "a\\\\.q":{"bits":4,"group_size":32},
              "a":{"bits":2}}}\
            """;
        List<Tensor> tensors = new ArrayList<>(packed("a.q"));
        tensors.addAll(packed("b.q", 1));
        tensors.add(dense("head.weight", DType.F16, Shape.of(2, 3)));
        try (Checkpoint checkpoint = TestModel.open(folder, TestModel.config(rules), tensors)) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            assertEquals(
                    "gptq 8-bit per channel symmetric, some linears otherwise",
                    weights.description().orElseThrow());
            assertEquals(
                    "4-bit g32 symmetric",
                    ((QuantizedWeight) weights.weight("a.q")).scheme().toString());
            assertEquals(
                    "4-bit g64 asymmetric",
                    ((QuantizedWeight) weights.weight("b.q")).scheme().toString());
            assertInstanceOf(DenseWeight.class, weights.weight("head"));
        }
    }

    @Test
    void refusesAPackedLinearThatARuleExcludes() throws IOException {
        String section = SECTION.replace("}", ",\"dynamic\":{\"a\":{\"bits\":4},\"-:a\":{}}}");
        try (Checkpoint checkpoint = open(TestModel.config(section))) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            assertRefused("is packed, but a dynamic rule excludes it", Refusal.of(() -> weights.weight("a.q")));
        }
    }

    @Test
    void refusesALinearThatIsThereTwiceOrNotAtAll() throws IOException {
        List<Tensor> tensors = new ArrayList<>(packed("a.q"));
        tensors.add(dense("a.q.weight", DType.F16, Shape.of(32, 64)));
        tensors.add(dense("a.k.weight", DType.F16, Shape.of(32)));
        tensors.add(Tensor.ofInts("a.v.weight", Shape.of(1, 1), new int[1], arena));
        try (Checkpoint checkpoint = TestModel.open(folder, TestModel.config(SECTION), tensors)) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            assertRefused("both packed and in floating point", Refusal.of(() -> weights.weight("a.q")));
            assertRefused(
                    "is no weight | expected a floating-point matrix, found F16 [32]",
                    Refusal.of(() -> weights.weight("a.k")));
            assertRefused(
                    "is no weight | expected a floating-point matrix, found I32 [1, 1]",
                    Refusal.of(() -> weights.weight("a.v")));
            assertRefused("'a.o.weight': tensor is missing", Refusal.of(() -> weights.weight("a.o")));
        }
    }

    @Test
    void refusesPackedWeightsThatNothingDescribes() throws IOException {
        try (Checkpoint checkpoint = open("{}")) {
            assertRefused(
                    "tensor 'a.q.qweight': weights are packed, but nothing says how",
                    Refusal.of(() -> LinearWeights.of(checkpoint)));
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "{\"bits\":4}|names no quant_method | supported: gptq",
                "{\"quant_method\":\"bitsandbytes\"}|quant_method 'bitsandbytes' is not supported | supported: gptq",
                "{\"quant_method\":\"awq\"}|quant_method 'awq' is not supported | supported: gptq",
                "{\"quant_method\":\"gptq\",\"method\":\"awq\"}|quant_method and method disagree",
                "{\"quant_method\":4}|'quant_method' is unusable | expected a text, found NUMBER",
                "{\"quant_method\":\"gptq\",\"group_size\":32}|'bits' is unusable | expected a whole number, found"
                        + " nothing",
                "{\"quant_method\":\"gptq\",\"bits\":4}|'group_size' is unusable",
                "{\"quant_method\":\"gptq\",\"bits\":4.5,\"group_size\":32}|'bits' is unusable",
                "{\"quant_method\":\"gptq\",\"bits\":99999999999,\"group_size\":32}|'bits' is unusable",
                "{\"quant_method\":\"gptq\",\"bits\":5,\"group_size\":32}|GPTQ with 5 bits is not supported",
                "{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":0}|group_size is 0",
                "{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":-2}|group_size is -2",
                "{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":32,\"sym\":1}|'sym' is unusable",
                "{\"quant_method\":\"gptq\",\"checkpoint_format\":\"marlin\"}|GPTQ checkpoint_format 'marlin' is not",
                "{\"quant_method\":\"gptq\",\"is_marlin_format\":true}|GPTQ checkpoint_format 'marlin' is not",
                "{\"quant_method\":\"gptq\",\"format\":\"gptq_p\"}|GPTQ checkpoint_format 'gptq_p' is not supported",
                "{\"quant_method\":\"gptq\",\"pack_dtype\":\"int64\"}|pack_dtype 'int64' is not supported",
                "{\"quant_method\":\"gptq\",\"adapter\":{\"name\":\"lora\"}}|with 'adapter' is not supported",
                "{\"quant_method\":\"gptq\",\"rotation\":\"hadamard\"}|with 'rotation' is not supported",
                "{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":32,\"dynamic\":[]}|dynamic is not an object",
                "{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":32,\"dynamic\":{\"(\":{}}}|no regular expression",
                "{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":32,\"dynamic\":{\"a\":7}}|has no settings",
                "7|quantization_config is not an object",
            })
    void refusesSettingsThatItCannotFollow(String section, String message) throws IOException {
        try (Checkpoint checkpoint = open(TestModel.config(section))) {
            assertRefused(message, Refusal.of(() -> LinearWeights.of(checkpoint)));
        }
    }

    @Test
    void refusesOverridesThatItCannotFollow() throws IOException {
        String section = SECTION.replace("}", ",\"dynamic\":{\"a\":{\"bits\":7}}}");
        try (Checkpoint checkpoint = open(TestModel.config(section))) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            assertRefused("GPTQ with 7 bits is not supported", Refusal.of(() -> weights.weight("a.q")));
        }
    }

    @Test
    void stopsRulesThatWouldMatchForever() throws IOException {
        String section = SECTION.replace("}", ",\"dynamic\":{\"-:(.*)*\\\\1x\":{}}}");
        String linear = "a".repeat(40);
        try (Checkpoint checkpoint = TestModel.open(folder, TestModel.config(section), packed(linear))) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            assertRefused("a dynamic rule takes too long to match", Refusal.of(() -> weights.weight(linear)));
        }
    }

    @Test
    void survivesDamagedSettings() {
        ObjectMapper json = new ObjectMapper();
        String valid = """
            {"quant_method":"gptq","bits":4,"group_size":32,"desc_act":false,"sym":true,"checkpoint_format":"gptq",\
            "pack_dtype":"int32","dynamic":{"-:a.*":{},"+:b(c|d)[ef]":{"bits":8,"group_size":-1,"sym":false}}}\
            """;
        String characters = "{}[]\":,0123456789-e.()*+?\\tfn";
        SplittableRandom random = new SplittableRandom(11);
        int parsed = 0;
        for (int round = 0; round < 20_000; round++) {
            StringBuilder mutant = new StringBuilder(valid);
            for (int i = random.nextInt(1, 4); i > 0; i--) {
                int at = random.nextInt(mutant.length());
                mutant.setCharAt(at, characters.charAt(random.nextInt(characters.length())));
            }
            try {
                JsonNode tree = json.readTree(mutant.toString());
                if (tree instanceof ObjectNode section) {
                    parsed++;
                    GptqSettings.of(section, folder).of("bcf", folder).description();
                }
            } catch (JsonProcessingException | HalftoneException e) {
                assertTrue(e.getMessage().length() > 10);
            } catch (RuntimeException e) {
                fail(mutant.toString(), e);
            }
        }
        assertTrue(parsed > 5_000, "only " + parsed + " mutants were JSON");
    }

    private Checkpoint open(String config) throws IOException {
        return TestModel.open(folder, config, packed("a.q"));
    }

    private List<Tensor> packed(String linear) {
        return packed(linear, 2);
    }

    /// A linear of 32 outputs and 64 inputs in 4 bits.
    private List<Tensor> packed(String linear, int groups) {
        int[] zeros = new int[groups * 4];
        Arrays.fill(zeros, 0x77777777);
        return List.of(
                Tensor.ofInts(linear + ".qweight", Shape.of(8, 32), new int[8 * 32], arena),
                Tensor.ofInts(linear + ".qzeros", Shape.of(groups, 4), zeros, arena),
                Tensor.rounded(linear + ".scales", DType.F16, Shape.of(groups, 32), new float[groups * 32], arena));
    }

    private Tensor dense(String name, DType type, Shape shape) {
        return Tensor.rounded(name, type, shape, new float[(int) shape.elements()], arena);
    }

    private static void assertRefused(String part, String message) {
        assertTrue(message.contains(part), message);
    }
}

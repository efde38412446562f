package dev.halftone.core.layout;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CompressedTensorsSettingsTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Path FILE = Path.of("config.json");

    private static final String VALID = """
        {"quant_method":"compressed-tensors","format":"int-quantized","ignore":["lm_head","re:.*gate(a|b)+$"],\
        "kv_cache_scheme":null,"config_groups":{"group_0":{"targets":["Linear"],"weights":{"num_bits":8,\
        "type":"int","symmetric":true,"strategy":"channel","group_size":null,"dynamic":false,"actorder":null},\
        "input_activations":{"num_bits":8,"type":"int","symmetric":true,"strategy":"token","dynamic":true},\
        "output_activations":null,"format":null}},"sparsity_config":{},"transform_config":{}}\
        """;

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "\"int-quantized\"|\"float-quantized\"|format 'float-quantized' is not supported | supported: pack-",
                "\"int-quantized\"|\"marlin-24\"|format 'marlin-24' is not supported",
                "\"int-quantized\"|\"nvfp4-pack-quantized\"|format 'nvfp4-pack-quantized' is not supported",
                "\"int-quantized\"|\"mixed-precision\"|format 'mixed-precision' is not supported",
                "\"format\":\"int-quantized\",|``|format 'null' is not supported",
                "\"format\":null|\"format\":\"naive-quantized\"|format 'naive-quantized' is not supported",
                "\"format\":null|\"format\":7|'format' is unusable | expected a text, found NUMBER",
                "\"int-quantized\"|\"pack-quantized\"|pack-quantized with input_activations is not supported",
                "\"num_bits\":8,\"type\":\"int\",\"symmetric\":true,\"strategy\":\"channel\"|\"num_bits\":4,\"type\":\"int\",\"strategy\":\"channel\"|int-quantized"
                    + " with 4 bits is not supported | supported: [8]",
                "\"num_bits\":8,\"type\":\"int\",\"symmetric\":true,\"strategy\":\"channel\"|\"num_bits\":8,\"type\":"
                        + "\"float\",\"strategy\":\"channel\"|weights of type 'float' is not supported",
                "true,\"strategy\":\"channel\"|false,\"strategy\":\"channel\"|int-quantized with zero points is not",
                "\"channel\"|\"tensor\"|weights with strategy 'tensor' is not supported | supported: group, channel",
                "\"channel\"|\"block\"|weights with strategy 'block' is not supported",
                "\"strategy\":\"channel\",|``|weights with strategy 'tensor' is not supported",
                "\"channel\",\"group_size\":null|\"group\",\"group_size\":8|int-quantized with strategy 'group' is not",
                "\"channel\",\"group_size\":null|\"group\",\"group_size\":0|group_size is 0 | expected a positive",
                "\"channel\"|\"group\"|'group_size' is unusable | expected a whole number, found NULL",
                "\"actorder\":null|\"actorder\":\"random\"|actorder 'random' is not supported",
                "\"actorder\":null|\"actorder\":7|'actorder' is unusable",
                "\"token\",\"dynamic\":true|\"token\",\"dynamic\":false|static input_activations with strategy 'token'",
                "\"token\",\"dynamic\":true|\"tensor\",\"dynamic\":true|dynamic input_activations with strategy 'tens",
                "\"token\",\"dynamic\":true|\"group\",\"dynamic\":true|dynamic input_activations with strategy 'group'",
                "\"token\",\"dynamic\":true|\"token\",\"dynamic\":\"local\"|'local' dynamic input_activations is not",
                "\"symmetric\":true,\"strategy\":\"token\"|\"symmetric\":false,\"strategy\":\"token\"|input_activations"
                        + " with zero points is not supported",
                "\"type\":\"int\",\"symmetric\":true,\"strategy\":\"token\"|\"type\":\"float\",\"strategy\":\"token\""
                        + "|input_activations of type 'float' is not supported",
                "{\"num_bits\":8,\"type\":\"int\",\"symmetric\":true,\"strategy\":\"token\"|{\"num_bits\":4,"
                        + "\"strategy\":\"token\"|input_activations with 4 bits is not supported",
                "\"output_activations\":null|\"output_activations\":{}|output_activations is not supported",
                "\"kv_cache_scheme\":null|\"kv_cache_scheme\":{\"num_bits\":8}|a quantized cache ('kv_cache_scheme')",
                "\"sparsity_config\":{}|\"sparsity_config\":{\"format\":\"sparse-24-bitmask\"}|sparsity_config format",
                "\"transform_config\":{}|\"transform_config\":{\"config_groups\":{\"R1\":{}}}|with 'transform_config'",
                "\"config_groups\":{\"group_0\":|\"groups\":{\"group_0\":|config_groups is missing or empty",
                "\"ignore\":[\"lm_head\",|\"ignore\":[7,|'ignore' is unusable | expected a list of names, found ARRAY",
                "[\"Linear\"]|\"Linear\"|'targets' is unusable | expected a list of names, found STRING",
                "re:.*gate(|re:(.*gate(|a rule of 'ignore' is no regular expression"
            })
    void refusesSettingsThatItCannotFollow(String part, String other, String message) throws JsonProcessingException {
        assertTrue(VALID.contains(part), part);
        ObjectNode section = parse(VALID.replace(part, other == null ? "" : other));
        String found = Refusal.of(() -> CompressedTensorsSettings.of(section, FILE));
        assertTrue(found.startsWith("'config.json': ") && found.contains(message), found);
    }

    @Test
    void refusesGroupsThatOnlyAPresetSpellsOut() throws JsonProcessingException {
        ObjectNode section = parse("{\"config_groups\":{\"W8A8\":[\"Linear\"]}}");
        assertEquals(
                "'config.json': config group 'W8A8' by its name alone is not supported | supported: groups spelled out",
                Refusal.of(() -> CompressedTensorsSettings.of(section, FILE)));
        ObjectNode noWeights = parse("{\"format\":\"pack-quantized\",\"config_groups\":{\"a\":{\"weights\":null}}}");
        assertEquals(
                "'config.json': a config group without weights is not supported | supported: groups that quantize"
                        + " weights",
                Refusal.of(() -> CompressedTensorsSettings.of(noWeights, FILE)));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "{\"num_bits\":4,\"group_size\":128}|4-bit g128 symmetric",
                "{\"num_bits\":8,\"group_size\":-1,\"symmetric\":false}|8-bit per channel asymmetric",
                "{\"num_bits\":4,\"group_size\":128,\"strategy\":\"GROUP\",\"actorder\":\"weight\"}|4-bit g128"
                        + " symmetric",
                "{\"num_bits\":4,\"group_size\":64,\"actorder\":false}|4-bit g64 symmetric",
                "{\"num_bits\":4,\"group_size\":64,\"actorder\":true}|4-bit g64 symmetric act-order",
                "{\"num_bits\":4,\"group_size\":64,\"actorder\":\"dynamic\"}|4-bit g64 symmetric act-order"
            })
    void readsWhatOldAndNewToolsLeaveOut(String weights, String description) throws JsonProcessingException {
        ObjectNode section = parse("{\"format\":\"pack-quantized\",\"sparsity_config\":{\"format\":\"dense\"},"
                + "\"transform_config\":{\"config_groups\":{}},\"config_groups\":{\"a\":{\"targets\":[\"Linear\"],"
                + "\"weights\":" + weights + "}}}");
        assertEquals(description, CompressedTensorsSettings.of(section, FILE).description());
    }

    @Test
    void matchesExpressionsFromTheStartOfTheName() throws JsonProcessingException {
        CompressedTensorsSettings settings = CompressedTensorsSettings.of(parse(VALID), FILE);
        assertEquals(Optional.empty(), settings.group("lm_head"));
        assertEquals(Optional.empty(), settings.group("model.gateab"));
        assertTrue(settings.group("model.lm_head").isPresent());
        assertTrue(settings.group("model.gate").isPresent());
        assertTrue(settings.group("model.gateab.up").isPresent());
    }

    @Test
    void survivesDamagedSettings() {
        String characters = "{}[]\":,0123456789-e.()*+?\\tfn";
        SplittableRandom random = new SplittableRandom(12);
        int parsed = 0;
        for (int round = 0; round < 20_000; round++) {
            StringBuilder mutant = new StringBuilder(VALID);
            for (int i = random.nextInt(1, 4); i > 0; i--) {
                int at = random.nextInt(mutant.length());
                mutant.setCharAt(at, characters.charAt(random.nextInt(characters.length())));
            }
            try {
                JsonNode tree = JSON.readTree(mutant.toString());
                if (tree instanceof ObjectNode section) {
                    parsed++;
                    CompressedTensorsSettings settings = CompressedTensorsSettings.of(section, FILE);
                    settings.group("model.layers.0.mlp.gateab");
                    assertTrue(settings.description().length() > 5);
                }
            } catch (JsonProcessingException | HalftoneException e) {
                assertTrue(e.getMessage().length() > 10);
            } catch (RuntimeException e) {
                fail(mutant.toString(), e);
            }
        }
        assertTrue(parsed > 5_000, "only " + parsed + " mutants were JSON");
    }

    private static ObjectNode parse(String text) throws JsonProcessingException {
        return (ObjectNode) JSON.readTree(text);
    }
}

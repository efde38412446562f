package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DemoCommandTest {
    @TempDir
    Path folder;

    @Test
    void comparesEveryMethodAtEveryWidthAndTellsAStory() throws IOException {
        Path keep = folder.resolve("kept");
        Invocation run = Invocation.of("demo", "--keep", keep.toString(), "--json");
        assertEquals(0, run.status(), run.err());
        List<JsonNode> events = run.events();
        Map<String, JsonNode> models = events.stream()
                .filter(event -> event.path("event").asText().equals("model"))
                .collect(Collectors.toMap(event -> event.path("name").asText(), Function.identity()));
        assertEquals(1 + 2 * 2 + 2 * Method.ofWeightsAlone().size(), models.size());
        for (int bits : new int[] {8, 4, 3, 2}) {
            for (Method method : DemoCommand.methods(bits)) {
                JsonNode model = models.get(method.word() + " " + bits + "-bit");
                assertTrue(model.path("divergence").asDouble() > 0, model.toString());
                assertEquals(bits, model.path("bits_per_weight").asDouble(), 0.5);
                assertTrue(Files.exists(keep.resolve(method.word() + "-" + bits + "bit/config.json")));
            }
        }
        assertEquals(1.60757, models.get("float").path("perplexity").asDouble(), 2e-5);
        for (int bits : new int[] {4, 3, 2}) {
            double rounding =
                    models.get("rtn " + bits + "-bit").path("divergence").asDouble();
            for (String method : bits == 3 ? List.of("gptq") : List.of("gptq", "awq", "awq+gptq")) {
                double found = models.get(method + " " + bits + "-bit")
                        .path("divergence")
                        .asDouble();
                assertTrue(found < rounding, method + ", " + bits + " bits: " + found + " against " + rounding);
            }
        }
        JsonNode story = events.get(events.size() - 2);
        assertEquals("story", story.path("event").asText());
        assertTrue(story.path("text").asText().startsWith("Long ago there was a curious "), story.toString());
        assertEquals("done", events.getLast().path("event").asText());
    }

    @Test
    void refusesAFolderThatIsTaken() throws IOException {
        Files.writeString(folder.resolve("mine"), "");
        Invocation run = Invocation.of("demo", "--keep", folder.toString());
        assertEquals(9, run.status(), run.err());
    }

    @Test
    void refusesAModelWithoutItsTexts() {
        Invocation run = Invocation.of("demo", "--model", folder.toString());
        assertEquals(3, run.status(), run.err());
    }
}

package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.testing.Shared;
import dev.halftone.core.testing.SyntheticCheckpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class BenchCommandTest {
    private static final Path MODEL = Shared.root().resolve("models/tiny-storyteller");

    @TempDir
    Path folder;

    private static Invocation bench(Path model, String... more) {
        List<String> words = new ArrayList<>(List.of("bench", model.toString()));
        words.addAll(List.of(more));
        return Invocation.of(words.toArray(String[]::new));
    }

    /// Few tokens of a random model without a tokenizer.
    private Invocation small(String... more) throws IOException {
        Path model = folder.resolve("model");
        if (!Files.exists(model)) {
            SyntheticCheckpoint.write(model, SyntheticCheckpoint.tinyConfig(), DType.BF16, 3);
        }
        return bench(model, more);
    }

    private static List<String> names(Invocation run) {
        return run.events().stream()
                .filter(event -> event.path("event").asText().equals("test"))
                .map(event -> event.path("test").asText())
                .toList();
    }

    private static double number(JsonNode event, String field) {
        assertTrue(event.path(field).isNumber(), field + " in " + event);
        return event.path(field).asDouble();
    }

    @Test
    void measuresTheTinyModel() {
        Invocation run = bench(MODEL, "-p", "48", "-n", "12", "-r", "2", "--json", "-q");
        assertEquals(0, run.status(), run.err());
        List<JsonNode> events = run.events();
        assertEquals(List.of("pp48", "tg12"), names(run));
        JsonNode prompt = events.get(0);
        assertTrue(number(prompt, "tokens_per_second") > 0);
        assertTrue(number(prompt, "multiply_add_flops") > number(prompt, "prompt_flops") / 4);
        double seconds = 0;
        for (JsonNode sample : prompt.path("samples")) {
            seconds += 48 / sample.asDouble() / 2;
        }
        // The rest of a repetition, which generates nothing, is counted too.
        double first = number(prompt, "first_token_seconds");
        assertTrue(first <= seconds * (1 + 1e-9) && first > 0.5 * seconds, first + " of " + seconds);
        assertFalse(prompt.has("weight_bytes_per_second"), "nothing was generated");
        JsonNode generation = events.get(1);
        assertTrue(number(generation, "read_loop_bytes_per_second") > 0);
        assertEquals(
                number(generation, "weight_bytes_per_pass") / number(generation, "step_seconds"),
                number(generation, "weight_bytes_per_second"),
                1);
        assertFalse(generation.has("first_token_seconds"), "there was no prompt");
        assertEquals(2, generation.path("samples").size());
        assertTrue(generation.path("warm_ups").asInt() >= 3);
        JsonNode done = events.getLast();
        assertEquals("done", done.path("event").asText());
        assertEquals("float", done.path("weights").asText());
    }

    @Test
    void tellsWhatKeysAndValuesAreKeptAs() throws IOException {
        Invocation half = small("-p", "4", "-n", "3", "-r", "1", "--cache", "f16", "--json", "-q");
        assertEquals(0, half.status(), half.err());
        assertEquals("f16", half.events().get(0).path("cache").asText());
        String table = small("-p", "4", "-n", "0", "-r", "1").out();
        assertTrue(table.contains("keys and values f32"), table);
    }

    @Test
    void takesSeveralLengthsBatchesAndThreads() throws IOException {
        Invocation run = small(
                "-p",
                "4,8",
                "-n",
                "3",
                "--mixed",
                "5,2",
                "--batch",
                "1,3",
                "--threads",
                "1,2",
                "-r",
                "1",
                "--json",
                "-q");
        assertEquals(0, run.status(), run.err());
        List<String> each = List.of("pp4", "pp8", "tg3", "tg3 x3", "pp5+tg2");
        List<String> twice = new ArrayList<>(each);
        twice.addAll(each);
        assertEquals(twice, names(run));
        List<JsonNode> events = run.events();
        assertEquals(1, events.get(0).path("threads").asInt());
        assertEquals(2, events.get(5).path("threads").asInt());
        assertTrue(events.get(5).path("backend").asText().contains("2 threads"));
        assertEquals(3, events.get(3).path("batch").asInt());
    }

    @Test
    void printsATableWhoseRowsAreTheTests() throws IOException {
        Invocation run = small("-p", "4", "-n", "3", "--mixed", "4,2", "-r", "1", "--threads", "1", "-q");
        assertEquals(0, run.status(), run.err());
        List<String> rows = run.out().lines().toList();
        assertEquals(3, rows.size(), run.out());
        assertTrue(rows.get(0).matches("pp4 +1 +\\S+ ± \\S+ +\\d+ ms +- +\\S+ GFLOP/s +\\d+ %"), rows.get(0));
        assertTrue(rows.get(1).matches("tg3 +1 +\\S+ ± \\S+ +- +\\S+ GB/s +\\d+ % +-"), rows.get(1));
        assertTrue(
                rows.get(2).matches("pp4\\+tg2 +1 +\\S+ ± \\S+ +\\d+ ms +\\S+ GB/s +\\d+ % +\\S+ GFLOP/s +\\d+ %"),
                rows.get(2));
    }

    @Test
    void putsAHeadingOverTheTable() throws IOException {
        List<String> lines = small("-p", "4", "-n", "0", "-r", "1", "--threads", "1")
                .out()
                .lines()
                .toList();
        assertTrue(lines.get(0).contains("float") && lines.get(0).contains("of weights"), lines.get(0));
        assertTrue(lines.get(1).startsWith("cpu ("), lines.get(1));
        assertTrue(lines.get(3).startsWith("test"), lines.get(3));
        assertEquals(lines.get(3).stripTrailing().length(), lines.get(4).length(), "columns end together");
    }

    @Test
    void writesCommaSeparatedValues() throws IOException {
        Invocation run = small("-p", "4", "-n", "3", "-r", "1", "--csv", "--threads", "1");
        List<String> lines = run.out().lines().toList();
        assertEquals(3, lines.size(), run.out());
        List<String> columns = List.of(lines.get(0).split(",", -1));
        for (String line : lines.subList(1, 3)) {
            // No quoted value here but the backend's description holds a comma.
            String plain = line.replaceAll("\"[^\"]*\"", "quoted");
            assertEquals(columns.size(), plain.split(",", -1).length, line);
        }
        assertTrue(lines.get(1).contains("\"pp4\"") && lines.get(2).contains("\"tg3\""));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "-p -1",
                "-n x",
                "-p 0 -n 0",
                "--batch 0",
                "--mixed 5",
                "--mixed 5,0",
                "--mixed 1,2,3",
                "-r 0",
                "--threads 1,0",
                "--cache f8",
                "--csv --json"
            })
    void refusesWhatCannotBeMeasured(String options) {
        Invocation run = bench(MODEL, options.split(" "));
        assertEquals(2, run.status(), run.err());
        assertTrue(run.err().startsWith("error: "), run.err());
    }

    @Test
    void severalThreadCountsAreForBenchAlone() {
        Invocation run = Invocation.of("doctor", "--threads", "1,2");
        assertEquals(2, run.status(), run.err());
        assertTrue(run.err().contains("--threads takes one number here, found 1,2"), run.err());
    }

    @Test
    void warnsOfTestsBeyondTheContext() throws IOException {
        Invocation run = small("-p", "100", "-n", "0", "-r", "1", "--json");
        assertTrue(run.err().contains("warning: up to 100 tokens, but the model was made for 64"), run.err());
    }

    @Test
    void stopsBetweenRepetitionsWhenInterrupted() {
        Interruption interruption = new Interruption();
        interruption.request();
        assertEquals(130, Invocation.of(interruption, "bench", MODEL.toString()).status());
    }
}

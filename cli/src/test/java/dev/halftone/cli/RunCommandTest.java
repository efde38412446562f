package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.halftone.core.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RunCommandTest {
    private static final Path MODEL = Shared.root().resolve("models/tiny-storyteller");

    @TempDir
    Path folder;

    private static Invocation answer(String prompt, String... more) {
        List<String> words =
                new ArrayList<>(List.of("run", MODEL.toString(), "--prompt", prompt, "--max-tokens", "24"));
        words.addAll(List.of(more));
        return Invocation.of(words.toArray(String[]::new));
    }

    /// The model without its chat template.
    private Path withoutTemplate() throws IOException {
        for (String file : List.of("config.json", "model.safetensors", "tokenizer.json")) {
            Files.copy(MODEL.resolve(file), folder.resolve(file));
        }
        return folder;
    }

    @Test
    void answersAChatTurnWhenTheModelHasATemplate() {
        Invocation run = answer("Tell me a story about a hen and a kite.", "--temperature", "0");
        assertEquals(0, run.status(), run.err());
        assertEquals("", run.err());
        assertTrue(run.out().contains(" hen named "), run.out());
        assertTrue(run.out().endsWith(System.lineSeparator()), run.out());
        Invocation again = answer("Tell me a story about a hen and a kite.", "--temperature", "0", "--chat");
        assertEquals(run.out(), again.out(), "the template is the default, and greedy is repeatable");
    }

    @Test
    void continuesATextUnderRaw() {
        Invocation run = answer("Long ago there was a", "--temperature", "0", "--raw");
        assertTrue(run.out().startsWith(" "), "goes on in the middle of the sentence: " + run.out());
    }

    @Test
    void continuesATextWhenThereIsNoTemplate() throws IOException {
        String model = withoutTemplate().toString();
        Invocation run = Invocation.of(
                "run", model, "--prompt", "Long ago there was a", "--temperature", "0", "--max-tokens", "24");
        assertEquals(
                answer("Long ago there was a", "--temperature", "0", "--raw").out(), run.out());
    }

    @Test
    void refusesAChatTurnWithoutATemplate() throws IOException {
        String model = withoutTemplate().toString();
        for (String[] option : new String[][] {{"--chat"}, {"--system", "Be brief."}}) {
            List<String> words = new ArrayList<>(List.of("run", model, "--prompt", "Hello"));
            words.addAll(List.of(option));
            Invocation run = Invocation.of(words.toArray(String[]::new));
            assertEquals(3, run.status(), run.err());
            assertTrue(run.err().contains("has no chat template"), run.err());
        }
    }

    @Test
    void givesTheSystemMessageToTheModel() {
        JsonNode plain = answer("Hello", "--json").last();
        JsonNode instructed = answer("Hello", "--system", "You tell stories about hens.", "--json")
                .last();
        assertTrue(instructed.path("prompt_tokens").asInt()
                > plain.path("prompt_tokens").asInt() + 5);
    }

    @Test
    void keepsKeysAndValuesInHalfTheMemory() {
        Invocation half = answer("Tell me a story about a hen and a kite.", "--temperature", "0", "--cache", "f16");
        assertEquals(0, half.status(), half.err());
        assertTrue(half.out().contains(" hen named "), half.out());
    }

    @Test
    void equalSeedsAnswerEqually() {
        String[] words = {"--raw", "--temperature", "1.5", "--top-k", "0", "--top-p", "1", "--min-p", "0", "--seed"};
        List<String> outs = new ArrayList<>();
        for (String seed : new String[] {"7", "7", "8"}) {
            List<String> more = new ArrayList<>(List.of(words));
            more.add(seed);
            outs.add(answer("Long ago", more.toArray(String[]::new)).out());
        }
        assertEquals(outs.get(0), outs.get(1));
        assertNotEquals(outs.get(0), outs.get(2));
    }

    @Test
    void streamsPiecesAsEventsThatTogetherAreTheText() {
        Invocation run = answer("Long ago there was a", "--raw", "--temperature", "0", "--json");
        List<JsonNode> events = run.events();
        JsonNode done = events.getLast();
        assertEquals("done", done.path("event").asText());
        String pieces = events.stream()
                .filter(event -> event.path("event").asText().equals("text"))
                .map(event -> event.path("text").asText())
                .collect(Collectors.joining());
        assertEquals(pieces, done.path("text").asText());
        assertEquals("length", done.path("finish_reason").asText());
        assertEquals(24, done.path("tokens").asInt());
        assertTrue(done.path("tokens_per_second").asDouble() > 0);
    }

    @Test
    void tellsTimingsUnderV() {
        Invocation run = answer("Long ago", "--raw", "-v", "--seed", "5");
        assertTrue(run.err().contains("backend: "), run.err());
        assertTrue(run.err().contains("tokens/s"), run.err());
        assertTrue(run.err().contains("seed 5"), run.err());
        assertTrue(
                run.err()
                        .lines()
                        .anyMatch(line -> line.matches(
                                "first token \\d+\\.\\d\\d s after the prompt, \\d+\\.\\d\\d s after the start")),
                run.err());
    }

    @Test
    void tellsWhenTheFirstTokenCame() {
        List<JsonNode> firsts = answer("Long ago", "--raw", "--json").events().stream()
                .filter(event -> event.path("event").asText().equals("first"))
                .toList();
        assertEquals(1, firsts.size());
        double afterPrompt = firsts.getFirst().path("seconds_after_prompt").asDouble();
        assertTrue(afterPrompt > 0, firsts.toString());
        assertTrue(firsts.getFirst().path("seconds_after_start").asDouble() > afterPrompt, firsts.toString());
    }

    @Test
    void refusesOptionsOutOfTheirRange() {
        assertEquals(2, answer("x", "--temperature", "-1").status());
        assertEquals(2, answer("x", "--top-p", "0").status());
        Invocation cache = answer("x", "--cache", "int4");
        assertEquals(2, cache.status());
        assertTrue(cache.err().contains("--cache is f32 or f16, found 'int4'"), cache.err());
        assertEquals(2, answer("x", "--max-tokens", "0").status());
        assertEquals(2, answer("x", "--raw", "--chat").status());
        assertEquals(2, answer("", "--raw").status());
    }

    @Test
    void refusesAPromptLongerThanTheContext() {
        Invocation run = answer("story ".repeat(2000), "--raw");
        assertEquals(3, run.status());
        assertTrue(run.err().contains("room for 1024"), run.err());
    }

    @Test
    void stopsBetweenTokensWhenInterrupted() {
        Interruption interruption = new Interruption();
        interruption.request();
        Invocation run = Invocation.of(interruption, "run", MODEL.toString(), "--prompt", "Hello");
        assertEquals(130, run.status());
    }
}

package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PerplexityCommandTest {
    private static final Path MODEL = Shared.root().resolve("models/tiny-storyteller");
    private static final String TEXT = MODEL.resolve("heldout.txt").toString();

    @TempDir
    Path folder;

    private static Invocation score(String... more) {
        List<String> words = new ArrayList<>(List.of("perplexity", MODEL.toString(), "--text", TEXT));
        words.addAll(List.of(more));
        return Invocation.of(words.toArray(String[]::new));
    }

    @Test
    void agreesWithTransformersOnTheHeldOutText() {
        JsonNode done = score("--protocol", "plain", "--context", "512", "--windows", "8", "--json")
                .last();
        // transformers 5.23 in float32.
        assertEquals(1.60757, done.path("perplexity").asDouble(), 2e-5);
        assertEquals(8 * 511, done.path("tokens").asInt());
    }

    /// The result of oneDNN, or of tiles in its place, where it can be had.
    private static JsonNode scoredBy(String matmul) {
        Invocation run =
                score("--protocol", "plain", "--context", "512", "--windows", "8", "--json", "--matmul", matmul);
        if (run.status()
                == Failure.of(new HalftoneException(Kind.RESOURCES, "", null, null))
                        .status()) {
            System.out.println("Skipped: scoring by " + matmul + "; "
                    + run.last().path("detail").asText());
            Assumptions.abort("no oneDNN");
        }
        assertEquals(0, run.status(), run.err());
        String numbers = matmul.equals("onednn") ? "float32" : "bfloat16";
        assertTrue(run.last().path("matmul").asText().matches("(oneDNN \\S+|AMX), " + numbers), run.out());
        return run.last();
    }

    @Test
    void scoresAlikeByOneDnn() {
        assertEquals(1.60757, scoredBy("onednn").path("perplexity").asDouble(), 2e-5);
    }

    /// Rounding inputs to bfloat16 moves a loss of 0.4747 per token by some ten-thousandths.
    @Test
    void scoresNearlyAlikeWithInputsRoundedToBFloat16() {
        double perplexity = scoredBy("onednn-bf16").path("perplexity").asDouble();
        assertEquals(1.60757, perplexity, 1e-3);
        assertTrue(Math.abs(perplexity - 1.60757) > 2e-5, "nothing was rounded: " + perplexity);
    }

    @Test
    void saysThatItMultipliesInFloat32UnlessAskedOtherwise() {
        Invocation run = score("--protocol", "plain", "--context", "64", "--windows", "1");
        Pattern expected = Pattern.compile("multiplied by (oneDNN [0-9.]+|vector kernels), float32[ \n]");
        assertTrue(expected.matcher(run.out()).find(), run.out());
        Invocation vectors = score("--protocol", "plain", "--context", "64", "--windows", "1", "--matmul", "vector");
        assertTrue(vectors.out().contains("multiplied by vector kernels, float32\n"), vectors.out());
        Invocation unknown = score("--protocol", "plain", "--matmul", "mkl");
        assertEquals(2, unknown.status());
        assertTrue(unknown.err().contains("onednn-bf16"), unknown.err());
    }

    @Test
    void tellsEveryFigureByName() {
        Invocation run = score("--protocol", "plain", "--context", "128", "--windows", "3", "--json");
        assertEquals(0, run.status(), run.err());
        List<JsonNode> events = run.events();
        assertEquals(4, events.size(), "one per window, and done");
        assertEquals("window", events.getFirst().path("event").asText());
        JsonNode done = events.getLast();
        assertEquals("done", done.path("event").asText());
        assertTrue(done.path("perplexity").asDouble() > 1);
        assertTrue(done.path("stderr").asDouble() > 0);
        assertEquals(3 * 127, done.path("tokens").asInt());
        assertEquals(27_016, done.path("text_tokens").asInt());
        assertEquals("plain", done.path("protocol").asText());
        assertEquals(3, done.path("windows").asInt());
        assertEquals(128, done.path("context").asInt());
        assertEquals("none", done.path("bos").asText());
        assertEquals(
                "fccb6771a78614171a445bd189e47f8079d2b3129d2a3a3e757e64aa8d64beff",
                done.path("text_sha256").asText());
        assertTrue(done.path("seconds").asDouble() > 0);
    }

    @Test
    void tellsHowFarAModelIsFromTheOneItWasMadeFrom() {
        String coarse = folder.resolve("coarse").toString();
        Invocation made = Invocation.of(
                "quantize", MODEL.toString(), coarse, "--method", "rtn", "--bits", "2", "--group-size", "64", "-q");
        assertEquals(0, made.status(), made.err());
        String[] compared = {
            "perplexity", coarse, "--text", TEXT, "--protocol", "plain", "--context", "64", "--windows", "2", "--base"
        };
        List<String> words = new ArrayList<>(List.of(compared));
        words.addAll(List.of(MODEL.toString(), "--json"));
        JsonNode far = Invocation.of(words.toArray(String[]::new)).last();
        words.set(1, MODEL.toString());
        JsonNode same = Invocation.of(words.toArray(String[]::new)).last();

        assertEquals(0, same.path("divergence").asDouble(), 1e-9);
        assertEquals(1, same.path("same_top").asDouble());
        assertTrue(far.path("divergence").asDouble() > 0.05, far.toString());
        assertTrue(far.path("divergence_stderr").asDouble() > 0);
        assertTrue(far.path("same_top").asDouble() < 1);
    }

    @Test
    void printsTheProtocolBesideTheFigure() {
        Invocation run = score("--protocol", "llama512", "--context", "64", "--windows", "2");
        assertEquals(0, run.status(), run.err());
        assertTrue(run.out().matches("(?s)perplexity \\d+\\.\\d{5} ± \\d+\\.\\d{5}\\R.*"), run.out());
        assertTrue(run.out().contains("protocol llama512 · 2 windows of 64 · 62 of 27016 tokens scored"), run.out());
    }

    @Test
    void printsOneLineUnderQ() {
        Invocation run = score("--protocol", "plain", "--context", "64", "--windows", "2", "-q");
        assertEquals(1, run.out().lines().count(), run.out());
        assertEquals("", run.err());
    }

    @Test
    void warnsOfWindowsLongerThanTheModelsContext() {
        Invocation run = score("--windows", "1");
        assertEquals(0, run.status(), run.err());
        assertTrue(run.err().contains("windows of 2048 tokens, but the model was made for 1024"), run.err());
    }

    @Test
    void refusesWhatCannotBeScored() throws IOException {
        assertEquals(2, score("--protocol", "lmeval").status());
        assertEquals(2, score("--windows", "0").status());
        assertEquals(2, score("--context", "1").status());
        Invocation brief = score("--protocol", "plain", "--context", "100000");
        assertEquals(3, brief.status());
        assertTrue(brief.err().contains("found 27016 tokens, one window needs 100000"), brief.err());
        Path latin = Files.write(folder.resolve("latin.txt"), new byte[] {'c', 'a', 'f', (byte) 0xe9});
        Invocation run = Invocation.of("perplexity", MODEL.toString(), "--text", latin.toString());
        assertEquals(3, run.status());
        assertTrue(run.err().contains("is not UTF-8 text"), run.err());
    }

    @Test
    void stopsWhenInterrupted() {
        Interruption interruption = new Interruption();
        interruption.request();
        Invocation run = Invocation.of(
                interruption, "perplexity", MODEL.toString(), "--text", TEXT, "--context", "64", "--json");
        assertEquals(130, run.status());
        assertEquals("stopped", run.last().path("event").asText());
    }

    @Test
    void warnsWhenTheModelWasCalibratedOnTheTextThatItScores() {
        String out = folder.resolve("out").toString();
        String text = MODEL.resolve("calibration.txt").toString();
        Invocation made = Invocation.of(
                "quantize", MODEL.toString(), out, "--calibration-windows", "1", "--calibration-length", "64");
        assertEquals(0, made.status(), made.err());

        String[] few = {"--protocol", "plain", "--context", "32", "--windows", "1"};
        List<String> words = new ArrayList<>(List.of("perplexity", out, "--text", text));
        words.addAll(List.of(few));
        Invocation same = Invocation.of(words.toArray(String[]::new));
        words.set(3, TEXT);
        Invocation other = Invocation.of(words.toArray(String[]::new));

        assertTrue(same.err().contains("warning: the model was calibrated on this very text"), same.err());
        assertEquals("", other.err());
    }
}

package dev.halftone.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.BackendProvider;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.Tokenizer;
import dev.halftone.core.testing.Shared;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ServiceLoader;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// The bundled storyteller, scored by transformers and by us.
class PerplexityTest {
    /// Half a unit of the last digit in which the expected figures are given.
    private static final double PRINTED = 5e-6;
    /// The two programs round differently in float32; with the same logits they agree to all digits.
    private static final double FLOAT32 = 2e-5;

    private static final Path STORYTELLER = Shared.root().resolve("models/tiny-storyteller");

    private static Backend backend;
    private static int[] heldOut;

    @BeforeAll
    static void open() throws IOException {
        backend = ServiceLoader.load(BackendProvider.class)
                .findFirst()
                .orElseThrow()
                .open(0);
        try (Tokenizer tokenizer = Tokenizer.of(STORYTELLER)) {
            heldOut = tokenizer.encode(
                    Text.read(STORYTELLER.resolve("heldout.txt")).content());
        }
    }

    @AfterAll
    static void close() {
        backend.close();
    }

    private static PerplexityResult score(Path model, Protocol protocol, int context, int windows) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(model);
                Llama llama = Llama.load(checkpoint, backend)) {
            return Perplexity.evaluate(
                    llama, Windows.of(heldOut, context, windows), protocol, -1, (done, all, perplexity) -> {});
        }
    }

    @Test
    void agreesWithTransformersOnAllWindows() throws IOException {
        PerplexityResult result = score(STORYTELLER, Protocol.PLAIN, 1024, Integer.MAX_VALUE);
        assertEquals(26, result.windows());
        assertEquals(26 * 1023, result.tokens());
        assertEquals(1.61189, result.perplexity(), PRINTED + FLOAT32);
    }

    @Test
    void agreesWithTransformersOnTheFirstWindows() throws IOException {
        assertEquals(1.60757, score(STORYTELLER, Protocol.PLAIN, 512, 8).perplexity(), PRINTED + FLOAT32);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "gptq-w4-g64-sym",
                "gptq-w4-g64-asym",
                "gptq-w4-g128-desc-act",
                "gptq-v2-w4-g32-asym",
                "gptq-w8-g128-sym"
            })
    void scoresFilesOfTheOriginalToolsAsTheyDo(String folder) throws IOException {
        Path model = Shared.directory("golden").resolve(folder);
        JsonNode expected =
                new ObjectMapper().readTree(model.resolve("expected.json").toFile());
        PerplexityResult result = score(
                model,
                Protocol.PLAIN,
                expected.get("perplexity_context").intValue(),
                expected.get("perplexity_windows").intValue());
        assertEquals(expected.get("perplexity").doubleValue(), result.perplexity(), FLOAT32);
    }

    /// Expected figures: transformers with compressed-tensors 0.19.0 in float32, inputs rounded as the files ask for.
    /// A number on the edge between two codes falls to one side there and to the other here, and what follows
    /// drifts apart: inputs that differ by a millionth move these figures by as much.
    @ParameterizedTest
    @CsvSource({"ct-sq-gptq-w8a8, 1.607768", "ct-w8a8-static, 1.606524"})
    void scoresFilesWithRoundedInputsAsTheOriginalToolDoes(String folder, double expected) throws IOException {
        PerplexityResult result = score(Shared.directory("golden").resolve(folder), Protocol.PLAIN, 512, 8);
        assertEquals(expected, result.perplexity(), 5e-4);
    }

    @Test
    void statesAnErrorThatShrinksWithTheText() throws IOException {
        PerplexityResult few = score(STORYTELLER, Protocol.PLAIN, 512, 2);
        PerplexityResult many = score(STORYTELLER, Protocol.PLAIN, 512, 8);
        assertTrue(many.standardError() < few.standardError(), few + " " + many);
        assertTrue(many.standardError() > 0);
        assertEquals(Math.log(many.perplexity()), many.meanLoss(), 1e-12);
    }

    @Test
    void scoresOnlyTheSecondHalfUnderTheSecondProtocol() throws IOException {
        PerplexityResult result = score(STORYTELLER, Protocol.LLAMA512, 512, 3);
        assertEquals(3 * 255, result.tokens());
        // A token with 256 before it is no harder than one with fewer.
        assertTrue(
                result.perplexity() < score(STORYTELLER, Protocol.PLAIN, 512, 3).perplexity());
    }

    @Test
    void divergesFromItselfByNothing() throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(STORYTELLER);
                Llama llama = Llama.load(checkpoint, backend)) {
            Divergence divergence = Divergence.between(llama, llama, Windows.of(heldOut, 128, 2));
            assertEquals(0, divergence.meanDivergence());
            assertEquals(1, divergence.sameTop());
            assertEquals(2 * 127, divergence.predictions());
        }
    }

    @Test
    void divergesMoreTheFewerTheBits() throws IOException {
        Path golden = Shared.directory("golden");
        try (Checkpoint checkpoint = Checkpoint.open(STORYTELLER);
                Llama base = Llama.load(checkpoint, backend)) {
            double four = divergence(base, golden.resolve("gptq-w4-g64-sym"));
            double eight = divergence(base, golden.resolve("gptq-w8-g128-sym"));
            assertTrue(eight > 0 && eight < four / 50, eight + " at 8 bits, " + four + " at 4");
        }
    }

    private static double divergence(Llama base, Path other) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(other);
                Llama llama = Llama.load(checkpoint, backend)) {
            return Divergence.between(base, llama, Windows.of(heldOut, 256, 4)).meanDivergence();
        }
    }

    @Test
    void refusesToCompareDifferentVocabularies() throws IOException {
        Path other = Shared.root().resolve("core/src/test/resources/golden/families/llama2");
        try (Checkpoint checkpoint = Checkpoint.open(STORYTELLER);
                Llama base = Llama.load(checkpoint, backend);
                Checkpoint otherCheckpoint = Checkpoint.open(other);
                Llama llama = Llama.load(otherCheckpoint, backend)) {
            assertThrows(
                    IllegalArgumentException.class, () -> Divergence.between(base, llama, Windows.of(heldOut, 128, 1)));
        }
    }
}

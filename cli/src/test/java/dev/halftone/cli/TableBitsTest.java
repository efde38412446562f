package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.halftone.core.testing.Shared;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// `quantize --head-bits` and `--embedding-bits`, and the other commands on what they write. The model's embeddings are
/// tied.
class TableBitsTest {
    private static final Path MODEL = Shared.root().resolve("models/tiny-storyteller");
    private static final long HEAD = 4096 * 256;

    @TempDir
    Path folder;

    private String at(String name) {
        return folder.resolve(name).toString();
    }

    private Invocation quantize(String out, String... more) {
        List<String> words = new ArrayList<>(
                List.of("quantize", MODEL.toString(), at(out), "--method", "rtn", "--group-size", "64"));
        words.addAll(List.of(more));
        return Invocation.of(words.toArray(String[]::new));
    }

    private double perplexity(String model) {
        Invocation run = Invocation.of(
                "perplexity",
                at(model),
                "--text",
                MODEL.resolve("heldout.txt").toString(),
                "--protocol",
                "plain",
                "--context",
                "256",
                "--windows",
                "2",
                "--json");
        assertEquals(0, run.status(), run.err());
        return run.last().path("perplexity").asDouble();
    }

    @Test
    void countsTheHeadEverywhere() {
        Invocation run = quantize("out", "--head-bits", "8");
        assertEquals(0, run.status(), run.err());
        assertTrue(run.out().contains("29 linears to quantize"), run.out());
        assertTrue(run.out().contains("head_bits 8"), run.out());
        assertTrue(run.out().contains("Mixed  3.15 M 4-bit g64 symmetric · 1.05 M 8-bit g64 symmetric"), run.out());
        assertTrue(run.out().lines().anyMatch(line -> line.matches(" +4  lm_head .*")), run.out());
        assertTrue(run.out().contains("29 of 29 linears restore"), run.out());

        JsonNode facts = Invocation.of("inspect", at("out"), "--json").last();
        assertEquals(29, facts.path("linears").asInt());
        assertEquals(3_145_728 + HEAD, facts.path("linear_parameters").asLong());
        assertEquals(4_196_608 + HEAD, facts.path("parameters").asLong());
        // 8.3 bits for a quarter of the weights, 4.4 for the others.
        assertEquals(5.40, facts.path("bits_per_weight").asDouble(), 0.01);
        assertTrue(run.out().contains("5.40 bits per quantized weight"), run.out());
        assertTrue(Invocation.of("inspect", at("out")).out().contains("4096, head quantized"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"gptq", "gptq_v2", "compressed-tensors"})
    void whatIsWrittenRunsAndConvertsLikeItsDenseForm(String format) {
        assertEquals(0, quantize("out", "--format", format, "--head-bits", "8").status());
        assertEquals(0, quantize("float-head", "--format", format).status());
        assertEquals(
                0,
                Invocation.of("convert", at("out"), at("dense"), "--to", "dense", "--dtype", "F32")
                        .status());
        assertEquals(
                0,
                Invocation.of("convert", at("out"), at("out.gguf"), "--to", "gguf")
                        .status());
        assertEquals(
                0,
                Invocation.of("convert", at("out.gguf"), at("back"), "--to", "dense", "--dtype", "F32")
                        .status());

        double expected = perplexity("out");
        assertEquals(expected, perplexity("dense"), 1e-5 * expected);
        // The table is rounded to float16 on the way.
        assertEquals(expected, perplexity("back"), 1e-3 * expected);
        double floatHead = perplexity("float-head");
        assertEquals(floatHead, expected, 2e-3 * floatHead);
        assertTrue(floatHead != expected, "the head was not rounded");
    }

    @Test
    void roundsTheEmbeddingsBesidesTheHead() {
        assertEquals(
                0,
                quantize("head", "--format", "compressed-tensors", "--head-bits", "8")
                        .status());
        Invocation run = quantize("out", "--format", "compressed-tensors", "--head-bits", "8", "--embedding-bits", "8");
        assertEquals(0, run.status(), run.err());
        assertTrue(run.out().contains("30 linears to quantize"), run.out());
        assertTrue(run.out().contains("embedding_bits 8"), run.out());
        assertTrue(
                run.out()
                        .contains("Mixed  3.15 M 4-bit g64 symmetric · 1.05 M 8-bit g64 symmetric · "
                                + "1.05 M 8-bit per channel symmetric"),
                run.out());

        JsonNode facts = Invocation.of("inspect", at("out"), "--json").last();
        assertEquals(30, facts.path("linears").asInt());
        assertEquals(3_145_728 + 2 * HEAD, facts.path("linear_parameters").asLong());
        assertTrue(Invocation.of("inspect", at("out")).out().contains("4096, embedding quantized, head quantized"));
        double expected = perplexity("head");
        assertEquals(expected, perplexity("out"), 5e-3 * expected);
        assertTrue(perplexity("out") != expected, "the embeddings were not rounded");
    }

    @Test
    void agreesWithInputsThatAreRounded() {
        Invocation run = Invocation.of(
                "quantize",
                MODEL.toString(),
                at("out"),
                "--method",
                "rtn",
                "--activations",
                "per-token",
                "--head-bits",
                "8");
        assertEquals(0, run.status(), run.err());
        assertTrue(run.out().contains("29 of 29 linears restore"), run.out());
        assertTrue(perplexity("out") < 2, "the model was lost");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--head-bits 3|--head-bits must be 4 or 8, found 3",
                "--head-bits 16|--head-bits must be 4 or 8, found 16",
                "--head-bits 8 --format awq --asymmetric|the AWQ format leaves the head in floating point",
                "--embedding-bits 4|--embedding-bits must be 8, found 4",
                "--embedding-bits 8 --format compressed-tensors|with --head-bits 8",
                "--embedding-bits 8 --head-bits 8|'gptq' leaves the embedding table in floating point"
            })
    void refusesWhatCannotBe(String options, String what) {
        Invocation run = quantize("out", options.split(" "));
        assertEquals(2, run.status(), run.err());
        assertTrue(run.err().contains(what), run.err());
        assertTrue(run.err().contains("\n  try: "), run.err());
        assertFalse(Files.exists(folder.resolve("out")));
    }
}

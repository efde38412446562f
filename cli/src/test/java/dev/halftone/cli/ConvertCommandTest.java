package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.halftone.core.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ConvertCommandTest {
    private static final Path MODEL = Shared.root().resolve("models/tiny-storyteller");

    @TempDir
    Path folder;

    private String at(String name) {
        return folder.resolve(name).toString();
    }

    @Test
    void takesAModelToGgufAndBackWithoutLoss() throws IOException {
        JsonNode there = Invocation.of("convert", MODEL.toString(), at("a.gguf"), "--to", "gguf", "--json")
                .last();
        assertEquals("done", there.path("event").asText());
        assertEquals(0, there.path("largest_difference").asDouble());

        Invocation back = Invocation.of("convert", at("a.gguf"), at("back"), "--to", "dense");
        assertEquals(0, back.status(), back.err());
        assertTrue(back.out().contains("38 of 38 tensors exact"), back.out());
        JsonNode original = Invocation.of("inspect", MODEL.toString(), "--json").last();
        JsonNode returned = Invocation.of("inspect", at("back"), "--json").last();
        assertEquals(original.path("parameters"), returned.path("parameters"));
    }

    @Test
    void keepsTheCodesOfFourBitGroups() throws IOException {
        Invocation.of("quantize", MODEL.toString(), at("q"), "--method", "rtn", "--bits", "4", "--group-size", "32");
        Invocation.of("convert", at("q"), at("q.gguf"), "--to", "gguf");
        Invocation packed = Invocation.of("convert", at("q.gguf"), at("again"), "--to", "gptq");
        assertEquals(0, packed.status(), packed.err());

        Invocation.of("convert", at("q"), at("first"), "--to", "dense", "--dtype", "F32");
        Invocation.of("convert", at("again"), at("second"), "--to", "dense", "--dtype", "F32");
        assertArrayEquals(
                Files.readAllBytes(folder.resolve("first/model.safetensors")),
                Files.readAllBytes(folder.resolve("second/model.safetensors")));
    }

    @Test
    void movesCodesFromOnePackedFormatToAnother() throws IOException {
        Invocation.of("quantize", MODEL.toString(), at("q"), "--method", "rtn", "--bits", "4", "--group-size", "32");
        for (String format : new String[] {"compressed-tensors", "awq"}) {
            JsonNode done = Invocation.of("convert", at("q"), at(format), "--to", format, "--json")
                    .last();
            assertEquals(38, done.path("exact").asInt(), done.toString());
            JsonNode facts = Invocation.of("inspect", at(format), "--json").last();
            assertTrue(facts.toString().contains(format), facts.toString());
        }
        Invocation.of("convert", at("q"), at("q.gguf"), "--to", "gguf");
        Invocation imported = Invocation.of("convert", at("q.gguf"), at("again"), "--to", "awq");
        assertEquals(0, imported.status(), imported.err());
        assertTrue(imported.out().contains("38 of 38 tensors exact"), imported.out());

        Invocation typed = Invocation.of("convert", at("q"), at("out"), "--to", "awq", "--dtype", "F16");
        assertEquals(2, typed.status());
        assertTrue(typed.err().contains("without --dtype"), typed.err());
        assertFalse(Files.exists(folder.resolve("out")));
    }

    @Test
    void saysWhatALossyTypeCosts() {
        JsonNode done = Invocation.of(
                        "convert", MODEL.toString(), at("a.gguf"), "--to", "gguf", "--dtype", "q4_0", "--json")
                .last();
        assertTrue(done.path("largest_difference").asDouble() > 0, done.toString());
        assertTrue(done.path("exact").asInt() < done.path("tensors").asInt(), done.toString());
    }

    @Test
    void refusesUnknownFormatsAndTypes() {
        for (String[] wrong : new String[][] {{"--to", "onnx"}, {"--to", "dense", "--dtype", "I8"}}) {
            String[] arguments = new String[3 + wrong.length];
            arguments[0] = "convert";
            arguments[1] = MODEL.toString();
            arguments[2] = at("out");
            System.arraycopy(wrong, 0, arguments, 3, wrong.length);
            Invocation run = Invocation.of(arguments);
            assertEquals(2, run.status(), run.err());
            assertTrue(run.err().contains(wrong[wrong.length - 1]), run.err());
            assertFalse(Files.exists(folder.resolve("out")));
        }
    }
}

package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.halftone.core.quantize.QuantizationReport;
import dev.halftone.core.testing.Shared;
import dev.halftone.eval.Text;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class QuantizeCommandTest {
    private static final String MODEL =
            Shared.root().resolve("models/tiny-storyteller").toString();

    @TempDir
    Path folder;

    private String out() {
        return folder.resolve("out").toString();
    }

    private void assertFails(int status, String what, String... arguments) throws IOException {
        Invocation run = Invocation.of(arguments);
        assertEquals(status, run.status(), run.err());
        assertTrue(run.err().contains("error: ") && run.err().contains(what), run.err());
        assertTrue(run.err().contains("\n  try: "), run.err());
        assertFalse(run.err().contains("\tat "), run.err());
        try (var left = Files.list(folder)) {
            assertEquals(List.of(), left.toList(), "nothing is left behind");
        }
    }

    @Test
    void showsPlanRowsAndSummary() {
        Invocation run = Invocation.of("quantize", MODEL, out(), "--method", "rtn", "--group-size", "64");
        assertEquals(0, run.status(), run.err());
        String text = run.out();
        assertTrue(text.startsWith("Plan   LlamaForCausalLM · 4.20 M parameters · 4 layers · 28 linears"), text);
        assertTrue(text.contains("\nMethod rtn 4-bit g64 symmetric\n"), text);
        assertEquals(
                28,
                text.lines().filter(line -> line.matches(" +[0-3]  [a-z_]+ .*")).count(),
                text);
        assertTrue(text.contains("4.41 bits per quantized weight"), text);
        assertTrue(text.contains("28 of 28 linears restore"), text);
        assertTrue(text.endsWith("Wrote  " + out() + System.lineSeparator()), text);
    }

    @Test
    void aDryRunPrintsThePlanAndWritesNothing() throws IOException {
        Invocation run = Invocation.of("quantize", MODEL, out(), "--method", "rtn", "--dry-run");
        assertEquals(0, run.status(), run.err());
        List<String> words =
                run.out().lines().map(line -> line.replaceAll(" .*", "")).toList();
        assertEquals(List.of("Plan", "Method", "Memory", "Disk", "Time"), words, run.out());

        JsonNode plan = Invocation.of(
                        "quantize",
                        MODEL,
                        out(),
                        "--calibration-windows",
                        "2",
                        "--dry-run",
                        "--json",
                        "--shard-size",
                        "3MB")
                .last();
        assertEquals("plan", plan.path("event").asText());
        assertTrue(plan.path("seconds").asDouble() > 0, plan.toString());
        assertTrue(
                plan.path("resident_bytes").asLong() > plan.path("memory_bytes").asLong());
        // 2 windows of 1024 tokens of 256 float32 numbers, before and after a block, in the quantized model and the
        // float one.
        long progress = 2 * 2 * 2 * 1024 * 256 * 4;
        assertTrue(plan.path("disk_bytes").asLong() > progress + 3_000_000, plan.toString());
        assertTrue(plan.path("disk_bytes").asLong() < progress + 5_000_000, plan.toString());
        try (var left = Files.list(folder)) {
            assertEquals(List.of(), left.toList());
        }
    }

    @ParameterizedTest
    @EnumSource(Method.class)
    void measuresEveryMethodForItsPlan(Method method) {
        Invocation run = Invocation.of(
                "quantize",
                MODEL,
                out(),
                "--method",
                method.word(),
                "--calibration-windows",
                "1",
                "--calibration-length",
                "64",
                "--dry-run",
                "--json");
        assertEquals(0, run.status(), run.err());
        assertTrue(run.last().path("seconds").asDouble() > 0, run.out());
    }

    @Test
    void aDryRunIsRefusedLikeTheRunItself() throws IOException {
        Path taken = Files.createDirectory(folder.resolve("out"));
        Files.writeString(taken.resolve("mine"), "");

        Invocation run = Invocation.of("quantize", MODEL, out(), "--method", "rtn", "--dry-run");

        assertEquals(9, run.status(), run.err());
    }

    @Test
    void saysOnlyWhatWasWrittenUnderQ() {
        Invocation run = Invocation.of("quantize", MODEL, out(), "--method", "rtn", "-q");
        assertEquals(0, run.status(), run.err());
        assertEquals("Wrote  " + out() + System.lineSeparator(), run.out());
        assertEquals("", run.err());
    }

    @Test
    void gptqTellsItsPlanItsLinearsAndItsFiguresAsEvents() {
        String text =
                Shared.root().resolve("models/tiny-storyteller/calibration.txt").toString();
        Invocation run = Invocation.of(
                "quantize",
                MODEL,
                out(),
                "--bits",
                "3",
                "--group-size",
                "64",
                "--calibration",
                text,
                "--calibration-windows",
                "2",
                "--calibration-length",
                "128",
                "--damping",
                "0.02",
                "--json");
        assertEquals(0, run.status(), run.err());
        List<JsonNode> events = run.events();
        JsonNode plan = events.getFirst();
        assertEquals("plan", plan.path("event").asText());
        assertEquals(28, plan.path("linears").asInt());
        assertEquals(0.02, plan.path("settings").path("damp_percent").asDouble());
        assertEquals(2, plan.path("calibration").path("windows").asInt());
        assertEquals(128, plan.path("calibration").path("length").asInt());
        assertEquals(64, plan.path("calibration").path("text_sha256").asText().length());
        List<JsonNode> linears = events.stream()
                .filter(event -> event.path("event").asText().equals("linear"))
                .toList();
        assertEquals(28, linears.size());
        for (JsonNode linear : linears) {
            assertEquals("outputs", linear.path("measure").asText());
            assertTrue(linear.path("relative_error").asDouble() > 0, linear.toString());
            assertTrue(linear.path("damping").asDouble() >= 0.02, linear.toString());
        }
        JsonNode done = events.getLast();
        assertEquals("done", done.path("event").asText());
        assertEquals("gptq", done.path("method").asText());
        assertEquals(3, done.path("bits").asInt());
        assertEquals(28, done.path("verified").asInt());
        assertEquals(3.39, done.path("bits_per_weight").asDouble(), 0.01);
        assertTrue(done.path("seconds").asDouble() > 0);
        assertEquals(out(), done.path("out").asText());
        assertEquals(34, events.size(), "plan, linears, four blocks kept and done, nothing else");
    }

    /// @return the last event
    private JsonNode quantized(String... more) {
        List<String> arguments = new ArrayList<>(List.of("quantize", MODEL, out(), "--group-size", "64", "--json"));
        arguments.addAll(List.of(more));
        Invocation run = Invocation.of(arguments.toArray(String[]::new));
        assertEquals(0, run.status(), run.err());
        return run.last();
    }

    private JsonNode section() throws IOException {
        return new ObjectMapper()
                .readTree(folder.resolve("out/config.json").toFile())
                .path("quantization_config");
    }

    @ParameterizedTest
    @CsvSource({"awq, awq+rtn-clip", "awq+gptq, awq+gptq"})
    void scalesBeforeItRoundsAndSaysSo(String method, String steps) throws IOException {
        JsonNode done = quantized(
                "--method", method, "--bits", "3", "--calibration-windows", "2", "--calibration-length", "64");
        assertEquals(steps, done.path("method").asText());
        assertEquals(28, done.path("verified").asInt());
        assertEquals("gptq", done.path("layout").asText());
        JsonNode meta = section().path("meta");
        assertEquals("both", meta.path("duo_scaling").asText());
        assertEquals(method.equals("awq"), meta.path("apply_clip").asBoolean());
        assertEquals(method.equals("awq") ? 0 : 0.5, meta.path("damp_percent").asDouble());
    }

    @ParameterizedTest
    @CsvSource({
        "4, false, , gptq",
        "8, false, , gptq",
        "4, true, , awq",
        "3, true, , gptq_v2",
        "8, true, , gptq_v2",
        "4, true, gptq, gptq",
        "4, false, gptq_v2, gptq_v2",
        "4, true, awq, awq",
        "4, true, compressed-tensors, compressed-tensors",
        "8, false, compressed-tensors, compressed-tensors"
    })
    void writesTheFormatThatWasAskedForOrTheOneThatMostToolsLoad(
            int bits, boolean asymmetric, String asked, String expected) throws IOException {
        List<String> more = new ArrayList<>(List.of("--method", "rtn", "--bits", Integer.toString(bits)));
        if (asymmetric) {
            more.add("--asymmetric");
        }
        if (asked != null) {
            more.addAll(List.of("--format", asked));
        }
        assertEquals(
                expected, quantized(more.toArray(String[]::new)).path("layout").asText());
        JsonNode section = section();
        assertEquals(
                expected.startsWith("gptq") ? "gptq" : expected,
                section.path("quant_method").asText());
        assertEquals(
                expected.equals("gptq_v2"),
                section.path("checkpoint_format").asText().equals("gptq_v2"));
    }

    @Test
    void refusesFormatsThatCannotHoldWhatIsAskedFor() throws IOException {
        assertFails(
                2,
                "--format awq holds 4-bit asymmetric weights only, found 3-bit asymmetric",
                "quantize",
                MODEL,
                out(),
                "--format",
                "awq",
                "--asymmetric",
                "--bits",
                "3");
        assertFails(2, "found 4-bit symmetric", "quantize", MODEL, out(), "--format", "awq");
        assertFails(2, "format 'zip' is unknown; known: gptq, gptq_v2", "quantize", MODEL, out(), "--format", "zip");
        assertFails(
                2,
                "cannot hold 3-bit codes",
                "quantize",
                MODEL,
                out(),
                "--method",
                "rtn",
                "--format",
                "compressed-tensors",
                "--bits",
                "3");
    }

    @Test
    void saysThatItCalibratesOnTheBundledText() {
        Invocation run =
                Invocation.of("quantize", MODEL, out(), "--calibration-windows", "1", "--calibration-length", "64");
        assertEquals(0, run.status(), run.err());
        assertTrue(run.err().contains("calibrating on the bundled stories"), run.err());
        assertTrue(run.out().contains("Text   calibration.txt · 1 × 64 = 64 of "), run.out());
        assertTrue(run.out().contains(" dropped · sha256 "), run.out());
    }

    @Test
    void takesTheBundledTextByName() throws IOException {
        String[] few = {"--calibration-windows", "1", "--calibration-length", "64", "--json"};
        List<String> words = new ArrayList<>(List.of("quantize", MODEL, out(), "--calibration", "stories"));
        words.addAll(List.of(few));

        Invocation run = Invocation.of(words.toArray(String[]::new));

        assertEquals(0, run.status(), run.err());
        assertFalse(run.err().contains("no --calibration"), run.err());
        JsonNode told = run.events().getFirst().path("calibration");
        assertEquals("calibration.txt", told.path("text").asText());
        assertEquals(64, told.path("used_tokens").asInt());
        assertEquals(
                told.path("text_tokens").asInt() - 64,
                told.path("dropped_tokens").asInt());
        // One text has one hash: the file's, in what is said and in what is written.
        String hash = Text.read(Path.of(MODEL, "calibration.txt")).sha256();
        assertEquals(hash, told.path("text_sha256").asText());
        assertEquals(Optional.of(hash), QuantizationReport.calibrationText(folder.resolve("out")));
    }

    @Test
    void calibratesOnDocumentsInLines() throws IOException {
        Path lines = Files.createTempFile("documents", ".jsonl");
        Files.writeString(lines, "{\"text\": \"Once upon a time there was a cat who liked to sing.\"}\n".repeat(30));
        Invocation run = Invocation.of(
                "quantize",
                MODEL,
                out(),
                "--calibration",
                lines.toString(),
                "--calibration-windows",
                "2",
                "--calibration-length",
                "64");
        assertEquals(0, run.status(), run.err());
        assertTrue(run.out().contains(".jsonl · 30 documents · 2 × 64 = 128 of "), run.out());

        Files.writeString(lines, "{\"messages\": [{\"role\": \"user\", \"content\": \"Tell me.\"}]}\n".repeat(40));
        Files.move(folder.resolve("out"), folder.resolve("kept"));
        run = Invocation.of(
                "quantize",
                MODEL,
                out(),
                "--calibration",
                lines.toString(),
                "--calibration-windows",
                "1",
                "--calibration-length",
                "64");
        assertEquals(0, run.status(), run.err());
        assertTrue(run.out().contains(".jsonl · 40 documents · 1 × 64 = 64 of "), run.out());
        Files.delete(lines);
    }

    @Test
    void findsAGroupSizeThatDividesUnlessToldOne() throws IOException {
        Invocation run = Invocation.of("quantize", MODEL, out(), "--method", "rtn", "--json");
        assertEquals(128, run.events().getFirst().path("group_size").asInt());
        Files.move(folder.resolve("out"), folder.resolve("kept"));
        run = Invocation.of("quantize", MODEL, out(), "--method", "rtn", "--group-size", "-1", "--json");
        assertEquals(0, run.status(), run.err());
        assertEquals(-1, run.last().path("group_size").asInt());
    }

    @Test
    void writesFilesOfTheSizeAskedFor() throws IOException {
        Invocation run = Invocation.of("quantize", MODEL, out(), "--method", "rtn", "--shard-size", "2.1MB");
        assertEquals(0, run.status(), run.err());
        try (var files = Files.list(folder.resolve("out"))) {
            List<Path> weights = files.filter(file -> file.toString().endsWith(".safetensors"))
                    .toList();
            assertTrue(weights.size() > 1, weights.toString());
            for (Path file : weights) {
                // The header comes on top.
                assertTrue(Files.size(file) < 2_150_000, file + ": " + Files.size(file));
            }
        }
        assertTrue(Files.exists(folder.resolve("out/model.safetensors.index.json")));
    }

    @Test
    void refusesOptionsOutOfTheirRange() throws IOException {
        assertFails(2, "--bits must be 2, 3, 4 or 8, found 5", "quantize", MODEL, out(), "--bits", "5");
        assertFails(2, "--group-size must be positive", "quantize", MODEL, out(), "--group-size", "0");
        assertFails(
                2, "no multiple of group size 100", "quantize", MODEL, out(), "--method", "rtn", "--group-size", "100");
        assertFails(2, "--shard-size must be a size, found 'big'", "quantize", MODEL, out(), "--shard-size", "big");
        assertFails(2, "--damping must be above 0", "quantize", MODEL, out(), "--damping", "0");
        assertFails(
                2,
                "order 'random' is unknown; known: natural, activation, group-aware",
                "quantize",
                MODEL,
                out(),
                "--order",
                "random");
        assertFails(
                2,
                "method 'magic' is unknown; known: rtn, gptq, awq, awq+gptq, smoothquant, smoothquant+gptq",
                "quantize",
                MODEL,
                out(),
                "--method",
                "magic");
        assertFails(
                2,
                "--damping means nothing to method rtn",
                "quantize",
                MODEL,
                out(),
                "--method",
                "rtn",
                "--damping",
                "0.1");
        assertFails(
                2,
                "--order means nothing to method awq",
                "quantize",
                MODEL,
                out(),
                "--method",
                "awq",
                "--order",
                "natural");
        assertFails(
                2,
                "longer than the model's context",
                "quantize",
                MODEL,
                out(),
                "--calibration-length",
                "1025",
                "--calibration-windows",
                "1");
    }

    private Invocation quantize(String... options) {
        List<String> arguments = new ArrayList<>(List.of("quantize", MODEL, out(), "--json"));
        arguments.addAll(List.of("--calibration-windows", "2", "--calibration-length", "32"));
        arguments.addAll(List.of(options));
        return Invocation.of(arguments.toArray(String[]::new));
    }

    private JsonNode inputActivations() throws IOException {
        JsonNode config = new ObjectMapper().readTree(Files.readString(Path.of(out(), "config.json")));
        assertEquals(
                "int-quantized",
                config.at("/quantization_config/config_groups/group_0/format").textValue());
        return config.at("/quantization_config/config_groups/group_0/input_activations");
    }

    @Test
    void smoothquantRoundsInputsWeightsAndFormatWithoutBeingTold() throws IOException {
        Invocation run = quantize("--method", "smoothquant");
        assertEquals(0, run.status(), run.err());
        JsonNode plan = run.events().getFirst();
        assertEquals("smoothquant+rtn", plan.path("method").asText());
        assertEquals(8, plan.path("bits").asInt());
        assertEquals(-1, plan.path("group_size").asInt());
        assertTrue(plan.path("symmetric").asBoolean());
        assertEquals("auto", plan.path("settings").path("smoothing_strength").asText());
        assertEquals("all", plan.path("settings").path("smoothing_folds").asText());
        assertEquals("per-token", plan.path("settings").path("activations").asText());
        assertEquals("token", inputActivations().path("strategy").asText());
        assertTrue(inputActivations().path("dynamic").asBoolean());
    }

    @Test
    void smoothquantWithGptqTakesTheOptionsOfBoth() throws IOException {
        Invocation run = quantize(
                "--method",
                "smoothquant+gptq",
                "--smoothing",
                "0.5",
                "--smoothing-folds",
                "norms",
                "--damping",
                "0.02",
                "--activations",
                "per-tensor",
                "--activation-range",
                "mse");
        assertEquals(0, run.status(), run.err());
        JsonNode settings = run.events().getFirst().path("settings");
        assertEquals(0.5, settings.path("smoothing_strength").asDouble());
        assertEquals("norms", settings.path("smoothing_folds").asText());
        assertEquals(0.02, settings.path("damp_percent").asDouble());
        assertEquals("per-tensor", settings.path("activations").asText());
        assertEquals("squared-error", settings.path("activation_range").asText());
        assertEquals("tensor", inputActivations().path("strategy").asText());
        assertFalse(inputActivations().path("dynamic").asBoolean());
    }

    @Test
    void smoothsByDefaultWhereInputsAreRounded() throws IOException {
        Invocation run = quantize("--activations", "per-token");
        assertEquals(0, run.status(), run.err());
        assertEquals("smoothquant+gptq", run.events().getFirst().path("method").asText());
        assertEquals("token", inputActivations().path("strategy").asText());
    }

    @Test
    void doesNotSmoothByDefaultWhereInputsAreLeftAlone() throws IOException {
        Invocation run = quantize("--activations", "none", "--dry-run");
        assertEquals(0, run.status(), run.err());
        assertEquals("gptq", run.events().getFirst().path("method").asText());
    }

    @Test
    void anyMethodRoundsInputsIfAskedTo() throws IOException {
        Invocation run = quantize("--method", "rtn", "--activations", "per-token");
        assertEquals(0, run.status(), run.err());
        assertEquals(8, run.events().getFirst().path("bits").asInt());
        assertTrue(run.events().getFirst().path("calibration").isNull(), "nothing is to be found in a text");
        assertEquals("token", inputActivations().path("strategy").asText());
    }

    @Test
    void smoothquantLeavesInputsAloneIfToldTo() throws IOException {
        Invocation run = quantize(
                "--method",
                "smoothquant",
                "--activations",
                "none",
                "--bits",
                "4",
                "--group-size",
                "32",
                "--asymmetric");
        assertEquals(0, run.status(), run.err());
        JsonNode plan = run.events().getFirst();
        assertEquals("smoothquant+rtn", plan.path("method").asText());
        assertEquals(4, plan.path("bits").asInt());
        assertFalse(plan.path("settings").has("activations"));
        JsonNode config = new ObjectMapper().readTree(Files.readString(Path.of(out(), "config.json")));
        assertEquals("awq", config.at("/quantization_config/quant_method").textValue(), "the format of weights alone");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--method smoothquant --bits 4|inputs rounded to integers take --bits 8, found --bits 4",
                "--method smoothquant --group-size 128|take --group-size -1, found --group-size 128",
                "--method smoothquant --format gptq|take --format compressed-tensors, found --format gptq",
                "--method smoothquant --asymmetric|without zero points, found --asymmetric",
                "--method smoothquant --target-bpw 4|take weights of 8 bits everywhere, found --target-bpw 4.0",
                "--method smoothquant --override down_proj=bits:4|the int-quantized format cannot hold 4-bit codes",
                "--method smoothquant --activations sometimes|'sometimes' are unknown; known: none, per-token,"
                        + " per-tensor",
                "--method smoothquant --activation-range mse|--activation-range is for the one scale",
                "--method gptq --activation-range mse|--activation-range is for the one scale",
                "--method rtn --activations per-tensor --activation-range all|known: minmax, moving-average,"
                        + " percentile",
                "--method smoothquant --smoothing much|--smoothing is auto or from 0 to 1, found 'much'",
                "--method smoothquant --smoothing 1.5|--smoothing is auto or from 0 to 1, found '1.5'",
                "--method smoothquant --smoothing-folds some|smoothing-folds 'some' is unknown; known: all, norms",
                "--method gptq --smoothing 0.5|--smoothing means nothing to method gptq",
                "--method rtn --smoothing-folds all|--smoothing-folds means nothing to method rtn",
                "--method smoothquant --damping 0.1|--damping means nothing to method smoothquant"
            })
    void refusesWhatContradictsTheRoundingOfInputs(String options, String what) throws IOException {
        List<String> arguments = new ArrayList<>(List.of("quantize", MODEL, out()));
        arguments.addAll(List.of(options.split(" ")));
        assertFails(2, what, arguments.toArray(String[]::new));
    }

    @Test
    void refusesAModelThatIsNotThereAndNamesTheNearest() throws IOException {
        assertFails(3, "did you mean", "quantize", MODEL + "s", out());
    }

    @Test
    void refusesACalibrationTextThatIsTooShort() throws IOException {
        Path text = Files.writeString(Files.createTempFile("short", ".txt"), "Once upon a time.");
        assertFails(3, "the calibration text is too short", "quantize", MODEL, out(), "--calibration", text.toString());
        Files.delete(text);
        assertFails(3, "no text at", "quantize", MODEL, out(), "--calibration", text.toString());
    }

    @Test
    void refusesAFolderThatIsTaken() throws IOException {
        Path taken = Files.createDirectory(folder.resolve("out"));
        Path file = Files.writeString(taken.resolve("mine"), "");
        Invocation run = Invocation.of("quantize", MODEL, out(), "--method", "rtn");
        assertEquals(9, run.status(), run.err());
        assertTrue(run.err().startsWith("error: "), run.err());
        assertTrue(Files.exists(file));
    }

    @Test
    void refusesAModelThatIsQuantizedAlready() {
        assertEquals(
                0, Invocation.of("quantize", MODEL, out(), "--method", "rtn").status());
        Invocation again =
                Invocation.of("quantize", out(), folder.resolve("again").toString(), "--method", "rtn");
        assertEquals(3, again.status());
        assertTrue(again.err().contains("already quantized"), again.err());
    }

    @Test
    void stopsWithoutATraceOfItselfWhenInterrupted() throws IOException {
        Interruption interruption = new Interruption();
        interruption.request();
        Invocation run = Invocation.of(interruption, "quantize", MODEL, out(), "--method", "rtn");
        assertEquals(130, run.status());
        assertTrue(run.err().endsWith("stopped; nothing was published" + System.lineSeparator()), run.err());
        try (var left = Files.list(folder)) {
            assertEquals(List.of(), left.toList());
        }
    }

    @Test
    void roundsSomeLinearsOtherwiseAndLeavesSomeAlone() {
        Invocation run = Invocation.of(
                "quantize",
                MODEL,
                out(),
                "--method",
                "rtn",
                "--group-size",
                "64",
                "--skip",
                "layers\\.0\\.",
                "--override",
                "down_proj=bits:8,group:32");
        assertEquals(0, run.status(), run.err());
        assertTrue(run.out().contains("4-bit g64 symmetric"), run.out());
        assertTrue(run.out().contains("8-bit g32 symmetric"), run.out());
        assertTrue(run.out().contains("7 linears in floating point"), run.out());
        assertTrue(run.out().contains("21 of 21 linears restore"), run.out());
        Invocation again = Invocation.of("inspect", out());
        assertEquals(0, again.status(), again.err());
    }

    @Test
    void spendsTheBitsOfABudgetWhereTheyCount() {
        JsonNode done = Invocation.of(
                        "quantize",
                        MODEL,
                        out(),
                        "--method",
                        "rtn",
                        "--group-size",
                        "64",
                        "--target-bpw",
                        "5",
                        "--calibration-windows",
                        "1",
                        "--calibration-length",
                        "256",
                        "--json")
                .last();
        assertEquals("done", done.path("event").asText(), done.toString());
        double bits = done.path("bits_per_weight").asDouble();
        assertTrue(bits > 4.5 && bits <= 5, done.toString());
        assertEquals(28, done.path("verified").asInt());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--override   | nowhere=bits:8  | matches no linear of this model",
                "--override   | down_proj       | --override is REGEX=CHANGES",
                "--override   | down_proj=bits:5 | bits must be 2, 3, 4 or 8",
                "--override   | down_proj=color:8 | found 'color:8'",
                "--override   | (=bits:8        | is no regular expression",
                "--override   | v_proj=bits:8   | would be stored differently",
                "--skip       | proj            | nothing is left to quantize",
                "--target-bpw | 1.5             | --target-bpw 1.5 cannot be met"
            })
    void refusesOverridesThatCannotBe(String option, String value, String what) throws IOException {
        assertFails(2, what, "quantize", MODEL, out(), "--method", "rtn", "--group-size", "64", option, value);
    }
}

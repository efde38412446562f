package dev.halftone.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.Llama;
import dev.halftone.core.tensor.DType;
import dev.halftone.eval.SpeedResult;
import dev.halftone.eval.SpeedTest;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// What `bench` puts out: a table that grows row by row, comma-separated values, or events.
final class BenchReport {
    private static final String COLUMNS =
            "model,weights,cache,backend,threads,test,prompt,generate,batch,repetitions,warm_ups,"
                    + "steady,tokens_per_second,tokens_per_second_stddev,first_token_seconds,step_seconds,"
                    + "weight_bytes_per_pass,weight_bytes_per_second,read_loop_bytes_per_second,"
                    + "prompt_flops,multiply_add_flops";

    private static final String ABSENT = "-";

    private final Console console;
    private final boolean csv;
    private final Path model;
    private final String weights;
    private final String cache;
    private String backend;
    private int names; // width of the first column
    private boolean begun;

    BenchReport(Console console, boolean csv, Path model, DType cached, Checkpoint checkpoint) {
        this.console = console;
        this.csv = csv;
        this.model = model;
        cache = Cached.word(cached);
        weights = LinearWeights.of(checkpoint).description().orElse("float");
    }

    /// Before the tests on a backend.
    void begin(Llama llama, List<SpeedTest> tests, Console notes) {
        backend = llama.backend().description();
        int longest = tests.stream().mapToInt(SpeedTest::capacity).max().orElseThrow();
        if (longest > llama.config().context()) {
            notes.note("warning: up to " + longest + " tokens, but the model was made for "
                    + llama.config().context());
        }
        if (begun) {
            return;
        }
        begun = true;
        names = tests.stream().mapToInt(test -> test.name().length()).max().orElseThrow();
        if (csv) {
            console.result(COLUMNS);
            return;
        }
        console.line(Figures.format(
                "%s · %s · %s of weights, %s read in a pass · keys and values %s",
                model, weights, Figures.bytes(llama.weightBytes()), Figures.bytes(llama.weightBytesPerPass()), cache));
        console.line(backend.replaceFirst(", \\d+ threads?\\)", ")"));
        console.line("");
        console.line(console.bold(Figures.format(
                "%-" + names + "s  threads        tokens/s  first token  weights read, of loop  computed, of loop",
                "test")));
    }

    void test(Llama llama, SpeedResult result, MachineSpeed machine, int threads) {
        SpeedTest test = result.test();
        double read = test.generate() == 0 ? 0 : llama.weightBytesPerPass() / result.step();
        double computed = test.prompt() == 0 ? 0 : test.promptOperations(llama.config()) / result.firstToken();
        if (!result.steady()) {
            console.note("note: " + test.name() + " was still getting faster after " + result.warmUps()
                    + " repetitions of warm-up");
        }
        if (csv) {
            console.result(values(llama, result, machine, threads, read, computed));
        } else {
            console.result(row(result, machine, threads, read, computed));
        }
        console.event("test", fields -> describe(fields, llama, result, machine, threads, read, computed));
    }

    private String row(SpeedResult result, MachineSpeed machine, int threads, double read, double computed) {
        return Figures.format(
                "%-" + names + "s  %7d  %14s  %11s  %21s  %17s",
                result.test().name(),
                threads,
                Figures.significant(result.tokensPerSecond()) + " ± " + Figures.significant(result.deviation()),
                result.test().prompt() == 0 ? ABSENT : Figures.format("%.0f ms", 1e3 * result.firstToken()),
                share(read, machine.reading(), "GB/s"),
                share(computed, machine.multiplyAdd(), "GFLOP/s"));
    }

    /// `12.3 GB/s  47 %`
    private static String share(double found, double limit, String unit) {
        if (found == 0) {
            return ABSENT;
        }
        String share = limit == 0 ? ABSENT : Figures.format("%.0f %%", 100 * found / limit);
        return Figures.format("%s %s %5s", Figures.significant(found / 1e9), unit, share);
    }

    private String values(
            Llama llama, SpeedResult result, MachineSpeed machine, int threads, double read, double computed) {
        SpeedTest test = result.test();
        return Stream.of(
                        quoted(model.toString()),
                        quoted(weights),
                        cache,
                        quoted(backend),
                        threads,
                        quoted(test.name()),
                        test.prompt(),
                        test.generate(),
                        test.batch(),
                        result.samples().size(),
                        result.warmUps(),
                        result.steady(),
                        result.tokensPerSecond(),
                        result.deviation(),
                        orEmpty(result.firstToken()),
                        orEmpty(result.step()),
                        llama.weightBytesPerPass(),
                        orEmpty(read),
                        orEmpty(machine.reading()),
                        orEmpty(computed),
                        orEmpty(machine.multiplyAdd()))
                .map(String::valueOf)
                .collect(Collectors.joining(","));
    }

    private static String orEmpty(double value) {
        return value == 0 ? "" : Double.toString(value);
    }

    private static String quoted(String text) {
        return "\"" + text.replace("\"", "\"\"") + "\"";
    }

    private void describe(
            ObjectNode fields,
            Llama llama,
            SpeedResult result,
            MachineSpeed machine,
            int threads,
            double read,
            double computed) {
        SpeedTest test = result.test();
        fields.put("test", test.name())
                .put("cache", cache)
                .put("backend", backend)
                .put("threads", threads)
                .put("prompt", test.prompt())
                .put("generate", test.generate())
                .put("batch", test.batch())
                .put("warm_ups", result.warmUps())
                .put("steady", result.steady())
                .put("tokens_per_second", result.tokensPerSecond())
                .put("tokens_per_second_stddev", result.deviation());
        result.samples().forEach(sample -> fields.withArray("samples").add(result.tokensPerSecond(sample)));
        putKnown(fields, "first_token_seconds", result.firstToken());
        putKnown(fields, "step_seconds", result.step());
        fields.put("weight_bytes_per_pass", llama.weightBytesPerPass());
        putKnown(fields, "weight_bytes_per_second", read);
        putKnown(fields, "read_loop_bytes_per_second", machine.reading());
        putKnown(fields, "prompt_flops", computed);
        putKnown(fields, "multiply_add_flops", machine.multiplyAdd());
    }

    /// Zero stands for what was not measured.
    private static void putKnown(ObjectNode fields, String name, double value) {
        if (value != 0) {
            fields.put(name, value);
        }
    }

    void done(double seconds) {
        console.event(
                "done",
                fields -> fields.put("model", model.toString())
                        .put("weights", weights)
                        .put("seconds", seconds));
    }
}

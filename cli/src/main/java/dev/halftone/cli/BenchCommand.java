package dev.halftone.cli;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.MachineProbe;
import dev.halftone.core.model.Llama;
import dev.halftone.core.tensor.DType;
import dev.halftone.eval.SpeedResult;
import dev.halftone.eval.SpeedRun;
import dev.halftone.eval.SpeedSample;
import dev.halftone.eval.SpeedTest;
import dev.halftone.eval.Steadiness;
import dev.halftone.runtime.cpu.ProductMode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@picocli.CommandLine.Command(
        name = "bench",
        description = {
            "Measures how fast a model, float or quantized, is here: prompts of random tokens (pp),",
            "generation from an empty context (tg), and both. No tokenizer is needed."
        },
        sortOptions = false,
        footer = {
            "",
            "Figures are means of the repetitions, after warm-up, ± standard deviation. Beside",
            "them stands what plain loops that only read, or only multiply and add, reach on",
            "the same threads at that moment."
        })
final class BenchCommand implements Command {
    /// Tokens of a prompt that are computed at a time, as `run` does.
    private static final int CHUNK = 512;

    private static final double WARM_UP_SECONDS = 20;
    private static final double PROBE_SECONDS = 0.25;

    @Parameters(paramLabel = "MODEL", description = "Folder of the model.")
    Path model;

    @Option(
            names = {"-p", "--prompt"},
            paramLabel = "N",
            converter = Counts.Converter.class,
            description = "Tokens of a prompt; 0: no such test. Default: 512.")
    Counts prompt = Counts.of(512);

    @Option(
            names = {"-n", "--generate"},
            paramLabel = "N",
            converter = Counts.Converter.class,
            description = "Tokens to generate; 0: no such test. Default: 128.")
    Counts generate = Counts.of(128);

    @Option(
            names = "--mixed",
            paramLabel = "P,G",
            converter = Counts.Converter.class,
            description = "Also G tokens after a prompt of P.")
    Counts mixed;

    @Option(
            names = "--batch",
            paramLabel = "N",
            converter = Counts.Converter.class,
            description = "Sequences generated in step. Default: 1.")
    Counts batch = Counts.of(1);

    @Option(
            names = {"-r", "--repetitions"},
            paramLabel = "N",
            description = "How often each test counts. Default: 5.")
    int repetitions = 5;

    @Option(
            names = "--matmul",
            paramLabel = "NAME",
            description = "How matrices of many rows are multiplied: vector, onednn or auto. Default: auto.")
    String matmul;

    @Option(
            names = "--cache",
            paramLabel = "NAME",
            description = "Keys and values are kept as f32, or as f16 in half the memory. Default: f32.")
    String cache;

    @Option(names = "--csv", description = "Results as comma-separated values.")
    boolean csv;

    @Override
    public int run(Console console, Interruption interruption) throws IOException {
        List<SpeedTest> tests = tests();
        DType cached = Cached.numbers(cache);
        if (repetitions < 1) {
            throw Usage.fault("--repetitions must be at least 1, found " + repetitions, null);
        }
        if (csv && console.options().json) {
            throw Usage.fault("--csv excludes --json", "one of them");
        }
        Counts threads = console.options().threads;
        if (threads == null) {
            threads = Counts.of(Runtime.getRuntime().availableProcessors());
        }
        long start = System.nanoTime();
        try (Checkpoint checkpoint = Checkpoint.open(model)) {
            BenchReport report = new BenchReport(console, csv, model, cached, checkpoint);
            for (int count : threads.values()) {
                try (Backend backend = Backends.open(count, console, matmul, ProductMode.AUTO);
                        Llama llama = Llama.load(checkpoint, backend)) {
                    report.begin(llama, tests, console);
                    for (SpeedTest test : tests) {
                        measure(llama, test, cached, count, report, console, interruption);
                    }
                }
            }
            report.done((System.nanoTime() - start) / 1e9);
        }
        return 0;
    }

    /// In the order of the table: prompts, generation, both.
    private List<SpeedTest> tests() {
        if (prompt.least() < 0 || generate.least() < 0) {
            throw Usage.fault("--prompt and --generate must not be negative", "0, to leave a test out");
        }
        if (batch.least() < 1) {
            throw Usage.fault("--batch must be at least 1, found " + batch, null);
        }
        if (mixed != null && (mixed.values().size() != 2 || mixed.least() < 1)) {
            throw Usage.fault(
                    "--mixed takes the tokens of a prompt and of its answer, found " + mixed, "--mixed 512,128");
        }
        List<SpeedTest> tests = new ArrayList<>();
        prompt.values().stream().filter(n -> n > 0).forEach(n -> tests.add(new SpeedTest(n, 0, 1)));
        for (int n : generate.values()) {
            if (n > 0) {
                batch.values().forEach(sequences -> tests.add(new SpeedTest(0, n, sequences)));
            }
        }
        if (mixed != null) {
            tests.add(new SpeedTest(mixed.values().get(0), mixed.values().get(1), 1));
        }
        if (tests.isEmpty()) {
            throw Usage.fault("nothing is left to measure", "--prompt 512, --generate 128 or --mixed 512,128");
        }
        return tests;
    }

    private void measure(
            Llama llama,
            SpeedTest test,
            DType cached,
            int threads,
            BenchReport report,
            Console console,
            Interruption interruption) {
        List<SpeedSample> samples = new ArrayList<>();
        Steadiness steadiness = new Steadiness();
        Optional<MachineProbe> probe = llama.backend().probe(llama.weightBytesPerPass());
        try (SpeedRun run = new SpeedRun(llama, test, CHUNK, cached);
                Progress progress = console.progress(test.name())) {
            long start = System.nanoTime();
            while (!steadiness.isSteady() && (System.nanoTime() - start) / 1e9 < WARM_UP_SECONDS) {
                interruption.check();
                progress.update(0, 1, "warm-up " + (steadiness.repetitions() + 1));
                steadiness.add(run.repeat().seconds());
            }
            MachineSpeed machine = new MachineSpeed(probe);
            machine.measure(PROBE_SECONDS);
            for (int repetition = 1; repetition <= repetitions; repetition++) {
                interruption.check();
                progress.update(repetition - 1, repetitions, "repetition " + repetition + "/" + repetitions);
                samples.add(run.repeat());
                machine.measure(PROBE_SECONDS);
            }
            SpeedResult result = new SpeedResult(test, samples, steadiness.repetitions(), steadiness.isSteady());
            progress.close();
            report.test(llama, result, machine, threads);
        } finally {
            probe.ifPresent(MachineProbe::close);
        }
    }
}

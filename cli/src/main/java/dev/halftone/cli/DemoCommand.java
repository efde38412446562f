package dev.halftone.cli;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.layout.GptqLayout;
import dev.halftone.core.model.Generation;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.model.Sampler;
import dev.halftone.core.model.SamplingOptions;
import dev.halftone.core.model.StreamingDecoder;
import dev.halftone.core.model.Tokenizer;
import dev.halftone.core.quantize.Calibration;
import dev.halftone.core.quantize.InputRounding;
import dev.halftone.core.quantize.QuantizationListener;
import dev.halftone.core.quantize.QuantizationRun;
import dev.halftone.core.quantize.Recipe;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.eval.CalibrationText;
import dev.halftone.eval.Divergence;
import dev.halftone.eval.Perplexity;
import dev.halftone.eval.Protocol;
import dev.halftone.eval.Text;
import dev.halftone.eval.Windows;
import dev.halftone.runtime.cpu.ProductMode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import picocli.CommandLine.Option;

@picocli.CommandLine.Command(
        name = "demo",
        description = {
            "Quantizes a tiny storyteller with every method at 8, 4, 3 and 2 bits, reads each",
            "result back from disk, compares it with the float model, and lets the 4-bit one",
            "tell a story. Works in a temporary folder and removes it."
        },
        sortOptions = false)
final class DemoCommand implements Command {
    private static final List<Integer> BITS = List.of(8, 4, 3, 2);
    private static final int GROUP_SIZE = 64;
    private static final int CONTEXT = 512;
    private static final int CALIBRATION_WINDOWS = 8;
    private static final int SCORED_WINDOWS = 8;
    private static final int TIMED_TOKENS = 64;

    /// Timing ends when no pass was faster for so long: by then the kernels of this kind of weight are compiled.
    private static final Duration PATIENCE = Duration.ofMillis(800);

    private static final Duration LONGEST_TIMING = Duration.ofSeconds(5);
    private static final String OPENING = "Long ago there was a curious";

    @Option(names = "--model", paramLabel = "DIR", description = "Another model, with calibration.txt and heldout.txt.")
    Path model;

    @Option(names = "--keep", paramLabel = "DIR", description = "Keep the quantized models there; absent or empty.")
    Path keep;

    /// One line of the table.
    private record Row(
            String name,
            long bytes,
            double bitsPerWeight,
            double perplexity,
            Divergence divergence,
            double tokensPerSecond) {}

    /// The float model and what all others are measured with.
    private record Bench(
            Path folder, Backend backend, Tokenizer tokenizer, Llama base, Windows scored, Calibration calibration) {}

    /// The bundled model.
    static Path model(Path home) {
        return home.resolve("models").resolve("tiny-storyteller");
    }

    @Override
    public int run(Console console, Interruption interruption) throws IOException {
        Path folder = model != null ? model : bundled(console.environment().home());
        Path work = workFolder();
        long start = System.nanoTime();
        try (LoadedModel loaded = LoadedModel.open(folder, console, null, ProductMode.VECTOR)) {
            Text heldOut = Text.read(folder.resolve("heldout.txt"));
            CalibrationText text = CalibrationText.read(folder.resolve("calibration.txt"), Optional::empty);
            Tokenizer tokenizer = loaded.tokenizer();
            int[] tokens = tokenizer.encode(text.content());
            Bench bench = new Bench(
                    folder,
                    loaded.backend(),
                    tokenizer,
                    loaded.llama(),
                    Windows.of(tokenizer.encode(heldOut.content()), CONTEXT, SCORED_WINDOWS),
                    Calibration.ofHashed(text.sha256(), tokens, CALIBRATION_WINDOWS, CONTEXT));
            compare(bench, work, console, interruption);
            tell(bench, work.resolve(name(Method.GPTQ, 4)), console, interruption);
            double seconds = (System.nanoTime() - start) / 1e9;
            console.line(Figures.format(
                    "%nThat took %s.%s",
                    Figures.duration(seconds),
                    keep == null ? "" : " The models are in " + Printable.line(keep.toString())));
            console.event("done", fields -> fields.put("seconds", seconds));
        } finally {
            if (keep == null) {
                remove(work);
            }
        }
        return 0;
    }

    private static Path bundled(Path home) {
        if (home == null) {
            throw new HalftoneException(
                    Kind.USAGE, "the demo's model is not here", null, "start with ./halftone, or --model DIR");
        }
        return model(home);
    }

    private Path workFolder() throws IOException {
        if (keep == null) {
            return Files.createTempDirectory("halftone-demo");
        }
        if (Files.exists(keep)) {
            try (Stream<Path> entries = Files.list(keep)) {
                if (entries.findAny().isPresent()) {
                    throw new HalftoneException(
                            Kind.OUTPUT_TAKEN, "'" + keep + "' is not empty", null, "--keep with another folder");
                }
            }
        }
        return Files.createDirectories(keep);
    }

    private static String name(Method method, int bits) {
        return method.word() + "-" + bits + "bit";
    }

    private void compare(Bench bench, Path work, Console console, Interruption interruption) throws IOException {
        console.line(Figures.format(
                "%s: %s parameters, quantized in groups of %d, scored on %d tokens it has not seen",
                bench.folder.getFileName(),
                Figures.count(parameters(bench.folder)),
                GROUP_SIZE,
                bench.scored.count() * (CONTEXT - 1)));
        console.line(Figures.format(
                "%n%-14s %10s %12s %11s %21s %9s",
                "", "size", "bits/weight", "perplexity", "KL from float (nats)", "tokens/s"));
        int rows = 1 + BITS.stream().mapToInt(bits -> methods(bits).size()).sum();
        int done = 0;
        try (Progress progress = console.progress("Comparing")) {
            progress.update(done, rows, "float");
            show(measure("float", bench.folder, bench.base, bench), console);
            for (int bits : BITS) {
                for (Method method : methods(bits)) {
                    interruption.check();
                    progress.update(++done, rows, name(method, bits));
                    Path out = work.resolve(name(method, bits));
                    quantize(bench, method, bits, out, interruption);
                    try (Checkpoint checkpoint = Checkpoint.open(out);
                            Llama llama = Llama.load(checkpoint, bench.backend)) {
                        show(measure(method.word() + " " + bits + "-bit", out, llama, bench), console);
                    }
                }
            }
        }
    }

    /// At 8 bits even plain rounding loses next to nothing, and 3 bits lie between 4 and 2: one method beside rounding
    /// is enough there.
    static List<Method> methods(int bits) {
        return bits == 8 || bits == 3 ? List.of(Method.RTN, Method.GPTQ) : Method.ofWeightsAlone();
    }

    private static long parameters(Path folder) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            LlamaConfig config = ModelFacts.config(checkpoint);
            return ModelFacts.of(config, checkpoint.tensors().values()).parameters();
        }
    }

    private static void quantize(Bench bench, Method method, int bits, Path out, Interruption interruption)
            throws IOException {
        QuantizationScheme scheme = QuantizationScheme.gptq(bits, GROUP_SIZE, true);
        Recipe recipe = method.recipe(Method.Settings.DEFAULT, scheme, GptqLayout.v1(scheme), InputRounding.NONE);
        QuantizationRun run = new QuantizationRun(bench.folder, out, recipe, bench.calibration, bench.backend);
        interruption.whenRequested(run::cancel);
        run.run(new QuantizationListener() {});
    }

    private static Row measure(String name, Path folder, Llama llama, Bench bench) throws IOException {
        ModelFacts facts;
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            facts = ModelFacts.of(llama.config(), checkpoint.tensors().values());
        }
        double perplexity = Perplexity.evaluate(llama, bench.scored, Protocol.PLAIN, -1, (done, windows, value) -> {})
                .perplexity();
        Divergence divergence = llama == bench.base ? null : Divergence.between(bench.base, llama, bench.scored);
        return new Row(
                name, facts.totalBytes(), facts.bitsPerWeight(), perplexity, divergence, decodeSpeed(llama, bench));
    }

    /// Tokens per second of one sequence in the best of many passes: the first ones run before the kernels of this kind
    /// of weight are compiled.
    private static double decodeSpeed(Llama llama, Bench bench) {
        int[] prompt = bench.tokenizer.encode(OPENING);
        Sampler sampler = new Sampler(SamplingOptions.greedy(), llama.config().vocabulary());
        double best = 0;
        try (Generation generation = new Generation(llama, CONTEXT, CONTEXT, Set.of())) {
            long begin = System.nanoTime();
            long now = begin;
            long improved = begin;
            while (now - improved < PATIENCE.toNanos() && now - begin < LONGEST_TIMING.toNanos()) {
                generation.start(prompt, TIMED_TOKENS);
                long start = System.nanoTime();
                int count = 0;
                while (generation.step(sampler) >= 0) {
                    count++;
                }
                now = System.nanoTime();
                double rate = count / ((now - start) / 1e9);
                improved = rate > 1.05 * best ? now : improved;
                best = Math.max(best, rate);
            }
        }
        return best;
    }

    private static void show(Row row, Console console) {
        String divergence = row.divergence == null
                ? "-"
                : Figures.format("%.6f ± %.6f", row.divergence.meanDivergence(), row.divergence.standardError());
        console.result(Figures.format(
                "%-14s %10s %12.2f %11.4f %21s %9.0f",
                row.name,
                Figures.bytes(row.bytes),
                row.bitsPerWeight,
                row.perplexity,
                divergence,
                row.tokensPerSecond));
        console.event("model", fields -> {
            fields.put("name", row.name)
                    .put("bytes", row.bytes)
                    .put("bits_per_weight", row.bitsPerWeight)
                    .put("perplexity", row.perplexity)
                    .put("tokens_per_second", row.tokensPerSecond);
            if (row.divergence != null) {
                fields.put("divergence", row.divergence.meanDivergence())
                        .put("divergence_stderr", row.divergence.standardError())
                        .put("same_top", row.divergence.sameTop());
            }
        });
    }

    private static void tell(Bench bench, Path folder, Console console, Interruption interruption) throws IOException {
        console.line(Figures.format("%nThe 4-bit GPTQ model tells a story:%n"));
        int[] prompt = bench.tokenizer.encode(OPENING);
        // Where the model's texts begin a turn, the story is over.
        Set<Integer> ends = new HashSet<>(bench.tokenizer.endTokens());
        ends.add(bench.tokenizer.token("<|im_start|>"));
        StringBuilder story = new StringBuilder(OPENING);
        console.stream(OPENING);
        try (Checkpoint checkpoint = Checkpoint.open(folder);
                Llama llama = Llama.load(checkpoint, bench.backend);
                Generation generation = new Generation(llama, CONTEXT, CONTEXT, ends)) {
            Sampler sampler = new Sampler(
                    new SamplingOptions(0.7, 40, 0.95, 0.05, 1), llama.config().vocabulary());
            StreamingDecoder decoder = bench.tokenizer.streamingDecoder(prompt);
            generation.start(prompt, 160);
            // A story is one line; questions about it follow.
            String piece = "";
            for (int token = generation.step(sampler);
                    token >= 0 && piece.indexOf('\n') < 0;
                    token = generation.step(sampler)) {
                interruption.check();
                piece = decoder.push(token);
                story.append(piece.replace("\n", ""));
                console.stream(Printable.text(piece.replace("\n", "")));
            }
        }
        console.stream(System.lineSeparator());
        console.event("story", fields -> fields.put("text", story.toString()));
    }

    private static void remove(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}

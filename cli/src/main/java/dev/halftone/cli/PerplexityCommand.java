package dev.halftone.cli;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.Tokenizer;
import dev.halftone.core.quantize.QuantizationReport;
import dev.halftone.eval.Divergence;
import dev.halftone.eval.Perplexity;
import dev.halftone.eval.PerplexityResult;
import dev.halftone.eval.Protocol;
import dev.halftone.eval.Text;
import dev.halftone.eval.Windows;
import dev.halftone.runtime.cpu.ProductMode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@picocli.CommandLine.Command(
        name = "perplexity",
        description = "Scores a model, float or quantized, on a text.",
        sortOptions = false,
        footer = {
            "",
            "Protocols; figures of different ones cannot be compared:",
            "  hf2048    the papers': WikiText rows joined by blank lines, windows of 2048",
            "  llama512  llama.cpp's: the file as it stands, windows of 512, the second",
            "            half of each scored",
            "  plain     the file as it stands, windows of 2048"
        })
final class PerplexityCommand implements Command {
    @Parameters(paramLabel = "MODEL", description = "Folder of the model.")
    Path model;

    @Option(names = "--text", paramLabel = "FILE", required = true, description = "UTF-8 text to score.")
    Path text;

    @Option(names = "--protocol", paramLabel = "NAME", description = "See below. Default: hf2048.")
    String protocol = "hf2048";

    @Option(names = "--context", paramLabel = "N", description = "Tokens of a window. Default: the protocol's.")
    Integer context;

    @Option(names = "--windows", paramLabel = "N", description = "Only the first N windows. Default: all.")
    Integer windows;

    @Option(
            names = "--base",
            paramLabel = "MODEL",
            description = "Also say how far the predictions are from those of this model, the one it was made from.")
    Path base;

    @Option(
            names = "--matmul",
            paramLabel = "NAME",
            description = "What multiplies: vector, onednn, onednn-bf16 (rounds inputs), steady (onednn where it can be"
                    + " had, else vector), quick (onednn-bf16 where the processor has AMX, else codes by"
                    + " inputs of 16 bits where it has VNNI, the rest as steady) or auto"
                    + " (likewise, else measured). Default: steady.")
    String matmul;

    @Override
    public int run(Console console, Interruption interruption) throws IOException {
        Protocol rule = protocol();
        int length = context == null ? rule.context() : context;
        if (windows != null && windows < 1) {
            throw Usage.fault("--windows must be at least 1, found " + windows, null);
        }
        Text scored = Text.read(text, rule);
        long start = System.nanoTime();
        try (LoadedModel loaded = LoadedModel.open(model, console, matmul, ProductMode.STEADY)) {
            Tokenizer tokenizer = loaded.tokenizer();
            int[] tokens = rule == Protocol.HF2048
                    ? tokenizer.encodeWithBos(scored.content())
                    : tokenizer.encode(scored.content());
            Windows chosen = Windows.of(tokens, length, windows == null ? Integer.MAX_VALUE : windows);
            loaded.warnIfLonger(length, console);
            warnIfCalibratedOn(scored, console);
            int bos = rule == Protocol.LLAMA512 ? tokenizer.bos() : -1;
            PerplexityResult result = evaluate(loaded, chosen, rule, bos, console, interruption);
            Divergence divergence = base == null ? null : compare(loaded, chosen, console, interruption);
            double seconds = (System.nanoTime() - start) / 1e9;
            String products = Backends.products(loaded.backend());
            report(result, divergence, scored, tokens.length, bosRule(rule, bos), products, seconds, console);
        }
        return 0;
    }

    /// A text that the codes were fitted to says little about others.
    private void warnIfCalibratedOn(Text scored, Console console) throws IOException {
        if (QuantizationReport.calibrationText(model).equals(Optional.of(scored.sha256()))) {
            console.note("warning: the model was calibrated on this very text; on others it will do worse than here");
            console.event(
                    "warning",
                    fields -> fields.put("kind", "calibrated-on-this-text").put("text_sha256", scored.sha256()));
        }
    }

    private Protocol protocol() {
        try {
            return Protocol.of(protocol);
        } catch (IllegalArgumentException e) {
            throw Usage.fault(e.getMessage(), "--protocol hf2048");
        }
    }

    private static PerplexityResult evaluate(
            LoadedModel loaded, Windows chosen, Protocol rule, int bos, Console console, Interruption interruption) {
        try (Progress progress = console.progress("Scoring")) {
            return Perplexity.evaluate(loaded.llama(), chosen, rule, bos, (done, count, perplexity) -> {
                interruption.check();
                progress.update(done, count, Figures.format("window %d/%d · perplexity %.4f", done, count, perplexity));
                console.event(
                        "window",
                        fields -> fields.put("done", done).put("windows", count).put("perplexity", perplexity));
            });
        }
    }

    /// Both models on one backend; the windows as they stand, whatever the protocol scores of them.
    private Divergence compare(LoadedModel loaded, Windows chosen, Console console, Interruption interruption)
            throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(base);
                Llama original = Llama.load(checkpoint, loaded.backend());
                Progress progress = console.progress("Comparing")) {
            if (original.config().vocabulary() != loaded.llama().config().vocabulary()) {
                throw new HalftoneException(
                        Kind.INPUT,
                        "'" + base + "' is another model than '" + model + "'",
                        "their vocabularies have " + original.config().vocabulary() + " and "
                                + loaded.llama().config().vocabulary() + " tokens",
                        "--base with the model that this one was made from");
            }
            return Divergence.between(original, loaded.llama(), chosen, done -> {
                interruption.check();
                progress.update(done, chosen.count(), Figures.format("window %d/%d", done, chosen.count()));
            });
        }
    }

    /// What was put before the tokens, in words that belong beside the figure.
    private static String bosRule(Protocol rule, int bos) {
        return switch (rule) {
            case HF2048 -> "as the tokenizer does, once";
            case LLAMA512 -> bos < 0 ? "none: the model uses none" : "first token of every window";
            case PLAIN -> "none";
        };
    }

    private void report(
            PerplexityResult result,
            Divergence divergence,
            Text scored,
            int textTokens,
            String bos,
            String products,
            double seconds,
            Console console) {
        console.result(Figures.format("perplexity %.5f ± %.5f", result.perplexity(), result.standardError()));
        if (divergence != null) {
            console.result(Figures.format(
                    "divergence %.6f ± %.6f nats from %s · same first choice %.2f %%",
                    divergence.meanDivergence(),
                    divergence.standardError(),
                    Printable.line(base.toString()),
                    100 * divergence.sameTop()));
        }
        console.line(Figures.format(
                "protocol %s · %d windows of %d · %d of %d tokens scored · begin token: %s",
                result.protocol().id(), result.windows(), result.context(), result.tokens(), textTokens, bos));
        console.line("text sha256 " + scored.sha256() + " · " + Figures.duration(seconds));
        if (products != null) {
            console.line("multiplied by " + products);
        }
        console.event("done", fields -> {
            fields.put("perplexity", result.perplexity())
                    .put("stderr", result.standardError())
                    .put("window_stderr", Double.isFinite(result.windowError()) ? result.windowError() : null)
                    .put("loss", result.meanLoss())
                    .put("tokens", result.tokens())
                    .put("text_tokens", textTokens)
                    .put("protocol", result.protocol().id())
                    .put("windows", result.windows())
                    .put("context", result.context())
                    .put("bos", bos)
                    .put("text_sha256", scored.sha256())
                    .put("model", model.toString())
                    .put("matmul", products)
                    .put("seconds", seconds);
            if (divergence != null) {
                fields.put("divergence", divergence.meanDivergence())
                        .put("divergence_stderr", divergence.standardError())
                        .put("same_top", divergence.sameTop())
                        .put("base", base.toString());
            }
        });
    }
}

package dev.halftone.cli;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.layout.GptqLayout;
import dev.halftone.core.model.ChatTemplate;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.model.Tokenizer;
import dev.halftone.core.quantize.Calibration;
import dev.halftone.core.quantize.OutputOptions;
import dev.halftone.core.quantize.QuantizationRun;
import dev.halftone.core.quantize.Recipe;
import dev.halftone.core.quantize.Resume;
import dev.halftone.core.quantize.TimeEstimate;
import dev.halftone.core.quantize.WeightQuantizer;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.eval.CalibrationText;
import java.io.IOException;
import java.nio.file.Path;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@picocli.CommandLine.Command(
        name = "quantize",
        description = {
            "Rounds the weights of a model to few bits and writes them as a GPTQ checkpoint",
            "that other tools load as well. OUT appears whole or not at all. A run that was",
            "stopped, by whatever, goes on when the same command is given again."
        },
        abbreviateSynopsis = true,
        sortOptions = false)
final class QuantizeCommand implements Command {
    private static final int USUAL_LENGTH = 2048;
    private static final String STORIES = "stories";

    @Parameters(index = "0", paramLabel = "MODEL", description = "Folder of the float model.")
    Path model;

    @Parameters(index = "1", paramLabel = "OUT", description = "Folder to write; absent or empty.")
    Path out;

    @Option(names = "--method", paramLabel = "NAME", description = "gptq, or rtn: plain rounding. Default: gptq.")
    String method = "gptq";

    @Option(names = "--bits", paramLabel = "N", description = "2, 3, 4 or 8. Default: 4.")
    int bits = 4;

    @Option(
            names = "--group-size",
            paramLabel = "N",
            description = "Inputs that share a scale; -1: all. Default: 128, or 64 or 32 where that does not divide.")
    Integer groupSize;

    @Option(names = "--asymmetric", description = "Choose a zero point for each group.")
    boolean asymmetric;

    @Option(
            names = "--calibration",
            paramLabel = "FILE",
            description = "What gptq watches the model read: text, WikiText's .raw, .jsonl of {\"text\"} or"
                    + " {\"messages\"}, or stories, which come along. Default: stories.")
    Path calibration;

    @Option(names = "--calibration-windows", paramLabel = "N", description = "How many. Default: 32.")
    int calibrationWindows = 32;

    @Option(
            names = "--calibration-length",
            paramLabel = "N",
            description = "Tokens of each. Default: 2048, or the model's context.")
    Integer calibrationLength;

    @Option(
            names = "--damping",
            paramLabel = "X",
            description = "gptq: share of the mean diagonal added to the diagonal. Default: 0.01.")
    Double damping;

    @Option(
            names = "--order",
            paramLabel = "NAME",
            description = "gptq: natural, activation or group-aware. Default: group-aware.")
    String order;

    @Option(names = "--force", description = "Start even if the memory estimate says no.")
    boolean force;

    @Option(names = "--dry-run", description = "Print the plan, with memory, disk and time, and stop.")
    boolean dryRun;

    @Option(names = "--shard-size", paramLabel = "SIZE", description = "Of one file, as in 2GB. Default: 5GB.")
    String shardSize;

    @Option(names = "--fresh", description = "Discard what a stopped run left; start over.")
    boolean fresh;

    @Option(names = "--no-resume", description = "The same, and leave nothing to go on with.")
    boolean noResume;

    private QuantizationView view;

    @Override
    public String stopped() {
        return "stopped; " + (view == null ? "nothing was published" : view.leftBehind());
    }

    @Override
    public int run(Console console, Interruption interruption) throws IOException {
        Method chosen = Method.of(method);
        Method.Settings settings = new Method.Settings(damping, order);
        settings.requireOnly(chosen);
        WeightQuantizer quantizer = chosen.create(settings);
        OutputOptions options = outputOptions();
        LlamaConfig config;
        try (Checkpoint checkpoint = Checkpoint.open(model)) {
            config = ModelFacts.config(checkpoint);
        }
        QuantizationScheme scheme = SchemeOptions.scheme(bits, groupSize, !asymmetric, config);
        Recipe recipe = new Recipe(quantizer, scheme, GptqLayout.v1(scheme));
        view = new QuantizationView(console, out, force, !noResume);
        Calibration shown = quantizer.needsMoments() ? calibration(config, console) : null;
        if (shown == null && calibration != null) {
            console.note("note: " + chosen.word() + " looks at no text; --calibration is not used");
        }
        try (Backend backend = Backends.open(console)) {
            QuantizationRun run = new QuantizationRun(model, out, recipe, shown, backend, options);
            view.estimatesTime(plan -> TimeEstimate.of(plan, backend));
            if (dryRun) {
                view.plannedOnly(run.plan());
                return 0;
            }
            interruption.whenRequested(run::cancel);
            run.run(view);
        }
        return 0;
    }

    private OutputOptions outputOptions() {
        OutputOptions options =
                OutputOptions.DEFAULT.withResume(noResume ? Resume.NEVER : fresh ? Resume.FRESH : Resume.AUTO);
        return shardSize == null ? options : options.withShardBytes(ByteSize.of("--shard-size", shardSize));
    }

    private Calibration calibration(LlamaConfig config, Console console) throws IOException {
        Path file = calibration;
        if (file == null || file.equals(Path.of(STORIES))) {
            file = bundledText(console.environment().home());
        }
        if (calibration == null) {
            console.note("note: no --calibration; calibrating on the bundled stories. A text like those the model will"
                    + " meet does better");
        }
        int length = calibrationLength == null ? Math.min(USUAL_LENGTH, config.context()) : calibrationLength;
        CalibrationText text = CalibrationText.read(file, ChatTemplate.of(model));
        view.calibratesOn(file.getFileName().toString(), text.documents());
        try (Tokenizer tokenizer = Tokenizer.of(model)) {
            return Calibration.ofHashed(text.sha256(), tokenizer.encode(text.content()), calibrationWindows, length);
        }
    }

    private static Path bundledText(Path home) {
        if (home == null) {
            throw new HalftoneException(
                    Kind.USAGE, "gptq needs a text, and the bundled one is not here", null, "--calibration FILE");
        }
        return DemoCommand.model(home).resolve("calibration.txt");
    }
}

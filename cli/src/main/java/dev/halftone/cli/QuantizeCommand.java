package dev.halftone.cli;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.layout.PackedLayout;
import dev.halftone.core.model.ChatTemplate;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.model.Tokenizer;
import dev.halftone.core.quantize.Calibration;
import dev.halftone.core.quantize.OutputOptions;
import dev.halftone.core.quantize.QuantizationRun;
import dev.halftone.core.quantize.Recipe;
import dev.halftone.core.quantize.Resume;
import dev.halftone.core.quantize.TimeEstimate;
import dev.halftone.eval.CalibrationText;
import dev.halftone.runtime.cpu.CpuBackend;
import dev.halftone.runtime.cpu.ProductMode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@picocli.CommandLine.Command(
        name = "quantize",
        description = {
            "Rounds the weights of a model to few bits and writes them in a format that other",
            "tools load as well. OUT appears whole or not at all. A run that was stopped, by",
            "whatever, goes on when the same command is given again."
        },
        abbreviateSynopsis = true,
        sortOptions = false)
final class QuantizeCommand implements Command {
    private static final int USUAL_LENGTH = 2048;
    private static final String STORIES = "stories";
    private static final int USUAL_BITS = 4;
    private static final List<Integer> HEAD_BITS = List.of(4, 8);

    @Parameters(index = "0", paramLabel = "MODEL", description = "Folder of the float model.")
    Path model;

    @Parameters(index = "1", paramLabel = "OUT", description = "Folder to write; absent or empty.")
    Path out;

    @Option(
            names = "--method",
            paramLabel = "NAME",
            description = "gptq; awq: scaling and clipping; awq+gptq: scaling, then gptq; rtn: plain rounding;"
                    + " smoothquant or smoothquant+gptq: outliers of the inputs smoothed,"
                    + " so that inputs are rounded too. Default: gptq, or smoothquant+gptq where --activations rounds"
                    + " inputs.")
    String method;

    @Option(
            names = "--bits",
            paramLabel = "N",
            description = "2, 3, 4 or 8. Default: 4, or 8 where inputs are rounded.")
    Integer bits;

    @Option(
            names = "--group-size",
            paramLabel = "N",
            description = "Inputs that share a scale; -1: all. Default: 128, or 64 or 32 where that does not divide; -1"
                    + " where inputs are rounded.")
    Integer groupSize;

    @Option(names = "--asymmetric", description = "Choose a zero point for each group.")
    boolean asymmetric;

    @Option(
            names = "--override",
            paramLabel = "RE=CHANGE",
            description =
                    "Round the linears whose names match otherwise, as in 'down_proj=bits:8,group:64'. As often as"
                            + " needed; the first that matches counts.")
    List<String> overrides = List.of();

    @Option(names = "--skip", paramLabel = "RE", description = "Leave the linears whose names match in floating point.")
    List<String> skips = List.of();

    @Option(
            names = "--head-bits",
            paramLabel = "N",
            description =
                    "Round the head too, plainly, to 4 or 8 bits in the same groups; a head that was the embedding"
                            + " table becomes a matrix of its own. Not counted by --target-bpw. Default: it stays in"
                            + " floating point.")
    Integer headBits;

    @Option(
            names = "--embedding-bits",
            paramLabel = "N",
            description = "Round the embedding table too, plainly, to 8 bits with a scale for each token: in"
                    + " compressed-tensors, which transformers loads and vLLM does not. Where the head is that table,"
                    + " --head-bits has to go with it. Default: it stays in floating point.")
    Integer embeddingBits;

    @Option(
            names = "--target-bpw",
            paramLabel = "X",
            description = "Choose the bits of each linear, so that all take X bits per weight: measures first which of"
                    + " them matter.")
    Double targetBpw;

    @Option(
            names = "--format",
            paramLabel = "NAME",
            description = "gptq, gptq_v2, awq or compressed-tensors. Default: gptq; asymmetric awq at 4 bits, otherwise"
                    + " gptq_v2; compressed-tensors where inputs are rounded.")
    String format;

    @Option(
            names = "--activations",
            paramLabel = "NAME",
            description = "Round the inputs of every linear to 8-bit integers too: per-token, by the scale of each, or"
                    + " per-tensor, by one scale found in calibration; none leaves them in floating point."
                    + " Default: per-token for smoothquant, otherwise none.")
    String activations;

    @Option(
            names = "--activation-range",
            paramLabel = "NAME",
            description = "per-tensor: what the scale is to reach to, minmax, moving-average, percentile, entropy or"
                    + " mse. Default: minmax.")
    String activationRange;

    @Option(
            names = "--smoothing",
            paramLabel = "X",
            description = "smoothquant: how much of the outliers goes into the weights, from 0 to 1, or auto: what is"
                    + " best for each place. Default: auto.")
    String smoothing;

    @Option(
            names = "--smoothing-folds",
            paramLabel = "NAME",
            description = "smoothquant: what takes the division, all (norms, v and up) or norms. Default: all.")
    String smoothingFolds;

    @Option(
            names = "--calibration",
            paramLabel = "FILE",
            description = "What the method watches the model read: text, WikiText's .raw, .jsonl of {\"text\"} or"
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
            description = "gptq: share of the mean diagonal added to the diagonal. Default: 0.5.")
    Double damping;

    @Option(
            names = "--order",
            paramLabel = "NAME",
            description = "gptq: natural, activation or group-aware. Default: group-aware.")
    String order;

    @Option(
            names = "--target",
            paramLabel = "NAME",
            description = "gptq: what outputs should come near to, same-inputs (what the float weight makes of the same"
                    + " inputs), float-outputs (those of the float model; takes twice the time) or float-states (also"
                    + " takes back how far the hidden states have drifted)."
                    + " Default: float-states.")
    String target;

    @Option(
            names = "--sweeps",
            paramLabel = "N",
            description = "gptq: rounds of coordinate descent over the finished codes. Default: 4.")
    Integer sweeps;

    @Option(names = "--force", description = "Start even if the memory estimate says no.")
    boolean force;

    @Option(
            names = "--matmul",
            paramLabel = "NAME",
            description = "What multiplies: vector, onednn, onednn-bf16 (rounds inputs), steady (onednn where it can be"
                    + " had, else vector), quick (onednn-bf16 where the processor has AMX, else codes by"
                    + " inputs of 16 bits where it has VNNI, the rest as steady) or auto"
                    + " (likewise, else measured). Default: quick.")
    String matmul;

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
        // What measured best; docs/performance.md.
        Method chosen = method != null
                ? Method.of(method)
                : InputOptions.round(activations) ? Method.SMOOTHQUANT_GPTQ : Method.GPTQ;
        Method.Settings settings = new Method.Settings(damping, order, target, sweeps, smoothing, smoothingFolds);
        settings.requireOnly(chosen);
        InputOptions inputs = InputOptions.of(chosen.usualInputs(), activations, activationRange);
        inputs.requireSymmetric(asymmetric);
        inputs.requireNoBudget(targetBpw);
        requireTableBits();
        OutputOptions outputs = outputOptions();
        LlamaConfig config;
        SchemeOptions options;
        try (Checkpoint checkpoint = Checkpoint.open(model)) {
            config = ModelFacts.config(checkpoint);
            options = SchemeOptions.of(
                    inputs.format(format),
                    inputs.bits(bits, USUAL_BITS),
                    inputs.groupSize(groupSize),
                    !asymmetric,
                    config,
                    checkpoint);
        }
        PackedLayout layout = options.layout(inputs.rounding().kind());
        if (targetBpw != null && !(overrides.isEmpty() && skips.isEmpty())) {
            throw Usage.fault("--target-bpw chooses by itself; --override and --skip do not go with it", null);
        }
        Recipe usual = chosen.recipe(settings, options.scheme(), layout, inputs.rounding())
                .withOverrides(OverrideOptions.of(skips, overrides))
                .withHeadBits(headBits)
                .withEmbeddingBits(embeddingBits);
        view = new QuantizationView(console, out, force, !noResume);
        boolean reads = usual.needsCalibration() || targetBpw != null;
        Calibration shown = reads ? calibration(config, console) : null;
        if (shown == null && calibration != null) {
            console.note("note: " + chosen.word() + " looks at no text; --calibration is not used");
        }
        try (Backend backend = Backends.open(console, matmul, ProductMode.QUICK)) {
            if (backend instanceof CpuBackend cpu) {
                cpu.decideProducts();
                view.multipliesBy(cpu.products());
            }
            Recipe recipe = targetBpw == null
                    ? usual
                    : usual.withOverrides(
                            new BitBudget(usual).choose(model, targetBpw, shown, backend, console, interruption));
            QuantizationRun run = new QuantizationRun(model, out, recipe, shown, backend, outputs);
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

    private void requireTableBits() {
        if (headBits != null && !HEAD_BITS.contains(headBits)) {
            throw Usage.fault("--head-bits must be 4 or 8, found " + headBits, "--head-bits 8");
        }
        if (embeddingBits != null && embeddingBits != 8) {
            throw Usage.fault("--embedding-bits must be 8, found " + embeddingBits, "--embedding-bits 8");
        }
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
        CalibrationText text = CalibrationText.read(file, () -> ChatTemplate.of(model));
        view.calibratesOn(file.getFileName().toString(), text.documents());
        try (Tokenizer tokenizer = Tokenizer.of(model)) {
            return Calibration.ofHashed(text.sha256(), tokenizer.encode(text.content()), calibrationWindows, length);
        }
    }

    private static Path bundledText(Path home) {
        if (home == null) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "this method needs a text, and the bundled one is not here",
                    null,
                    "--calibration FILE");
        }
        return DemoCommand.model(home).resolve("calibration.txt");
    }
}

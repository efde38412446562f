package dev.halftone.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.quantize.Calibration;
import dev.halftone.core.quantize.DampingAttempt;
import dev.halftone.core.quantize.LinearReport;
import dev.halftone.core.quantize.LinearTask;
import dev.halftone.core.quantize.QuantizationError.Measure;
import dev.halftone.core.quantize.QuantizationListener;
import dev.halftone.core.quantize.QuantizationPlan;
import dev.halftone.core.quantize.QuantizationReport;
import dev.halftone.core.quantize.Recipe;
import dev.halftone.core.quantize.Resumption;
import dev.halftone.core.quantize.TimeEstimate;
import dev.halftone.core.weight.QuantizationScheme;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.OptionalLong;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.Collectors;

/// Shows a quantization: the plan first, a row for each linear, a summary.
final class QuantizationView implements QuantizationListener {
    private final Console console;
    private final Path out;
    private final boolean force;
    private final boolean keeps;
    private Function<QuantizationPlan, TimeEstimate> clock;
    private String textName = "";
    private int documents;
    private long missingDisk;
    private String products; // null if there is but one way
    private QuantizationPlan plan;
    private Progress progress;
    private int done;
    private double worst;
    private int keptBlocks;
    private Path keptIn; // null while nothing is kept

    /// @param force whether to go on when the plan needs more memory than there is
    /// @param keeps whether progress is kept on the disk
    QuantizationView(Console console, Path out, boolean force, boolean keeps) {
        this.console = console;
        this.out = out;
        this.force = force;
        this.keeps = keeps;
    }

    /// Names the text.
    ///
    /// @param count documents that it was made of
    void calibratesOn(String name, int count) {
        textName = name;
        documents = count;
    }

    /// Says in the plan what multiplies.
    void multipliesBy(String newProducts) {
        products = newProducts;
    }

    /// Has the time estimated when the plan is there.
    void estimatesTime(Function<QuantizationPlan, TimeEstimate> newClock) {
        clock = newClock;
    }

    @Override
    public void planned(QuantizationPlan agreed) {
        plan = agreed;
        // Measuring takes seconds, which nobody would see the result of.
        boolean shown = !console.options().quiet || console.options().json;
        TimeEstimate time = shown ? clock.apply(plan) : null;
        QuantizationScheme scheme = plan.recipe().scheme();
        long memory = plan.memory().total();
        long free = Machine.availableMemory();
        console.line(Figures.format(
                "%s   %s · %s parameters · %d layers · %d linears to quantize",
                console.bold("Plan"),
                plan.config().family().architecture(),
                Figures.count(plan.parameters()),
                plan.config().layers(),
                plan.linears().size()));
        console.line(console.bold("Method") + " " + plan.recipe().method() + " " + scheme
                + plan.recipe().settings().entrySet().stream()
                        .filter(setting -> !setting.getKey().equals(Recipe.OVERRIDES))
                        .map(setting -> " · " + setting.getKey() + " " + setting.getValue())
                        .collect(Collectors.joining()));
        if (!plan.recipe().overrides().isEmpty() || !plan.recipe().tables().isEmpty()) {
            console.line(console.bold("Mixed") + "  " + mixture()
                    + Figures.format(" · %.3f bits per weight", plan.bitsPerWeight()));
        }
        Calibration.Facts facts = plan.calibration();
        if (facts != null) {
            console.line(Figures.format(
                    "%s   %s%s · %d × %d = %d of %d tokens, %d dropped · sha256 %s…",
                    console.bold("Text"),
                    Printable.line(textName),
                    documents == 1 ? "" : " · " + documents + " documents",
                    facts.samples(),
                    facts.length(),
                    facts.tokens(),
                    facts.textTokens(),
                    facts.dropped(),
                    facts.textSha256().substring(0, 12)));
        }
        String parts = plan.memory().parts().entrySet().stream()
                .map(part -> part.getKey() + " " + Figures.bytes(part.getValue()))
                .collect(Collectors.joining(" + "));
        console.line(Figures.format(
                "%s %s = %s  (free %s); %s with the pages of the files, which count while there is room",
                console.bold("Memory"),
                Figures.bytes(memory),
                parts,
                Figures.bytes(free),
                Figures.bytes(plan.memory().resident())));
        long progressBytes = keeps ? plan.progressBytes() : 0;
        long disk = plan.fileBytes() + progressBytes;
        long freeDisk = freeDisk();
        console.line(Figures.format(
                "%s   %s = output %s as %s + progress %s  (free %s)",
                console.bold("Disk"),
                Figures.bytes(disk),
                Figures.bytes(plan.fileBytes()),
                plan.recipe().layout().name(),
                Figures.bytes(progressBytes),
                Figures.bytes(freeDisk)));
        if (time != null) {
            console.line(Figures.format(
                    "%s   about %s = forward pass %s + moments %s + codes %s + reading %s%s",
                    console.bold("Time"),
                    Figures.duration(time.total()),
                    Figures.duration(time.forward()),
                    Figures.duration(time.moments()),
                    Figures.duration(time.codes()),
                    Figures.duration(time.bytes()),
                    products == null ? "" : "  (multiplied by " + products + ")"));
        }
        planEvent(free, disk, freeDisk, time);
        missingDisk = disk - freeDisk;
        if (memory > free && !force) {
            throw new HalftoneException(
                    Kind.RESOURCES,
                    "not enough memory for this run",
                    "needs " + Figures.bytes(memory) + " (" + parts + "), " + Figures.bytes(free) + " are free",
                    facts == null
                            ? "end other programs, or --force"
                            : "fewer --calibration-windows, a smaller --calibration-length, or --force");
        }
    }

    /// Shows a plan that is not carried out, and refuses it where the run would be refused.
    void plannedOnly(QuantizationPlan agreed) {
        planned(agreed);
        if (missingDisk > 0) {
            throw new HalftoneException(
                    Kind.RESOURCES,
                    "not enough disk for this run",
                    Figures.bytes(missingDisk) + " are missing",
                    keeps ? "free that much, another disk, or --no-resume" : "free that much, or another disk");
        }
    }

    @Override
    public void started() {
        console.line(Figures.format(
                "%n%5s  %-10s %8s %10s %8s %7s", "layer", "module", "damping", "rel.error", "vs rtn", "sec"));
        progress = console.progress("Quantizing");
    }

    private long freeDisk() {
        try {
            return Machine.freeDisk(out);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /// How many weights take which scheme.
    private String mixture() {
        Map<String, Long> weights = plan.linears().stream()
                .collect(Collectors.groupingBy(
                        linear -> linear.scheme().toString(),
                        TreeMap::new,
                        Collectors.summingLong(LinearTask::parameters)));
        String packed = weights.entrySet().stream()
                .map(entry -> Figures.count(entry.getValue()) + " " + entry.getKey())
                .collect(Collectors.joining(" · "));
        return plan.dense().isEmpty() ? packed : packed + " · " + plan.dense().size() + " linears in floating point";
    }

    private void planEvent(long free, long disk, long freeDisk, TimeEstimate time) {
        console.event("plan", fields -> {
            QuantizationScheme scheme = plan.recipe().scheme();
            fields.put("architecture", plan.config().family().architecture())
                    .put("parameters", plan.parameters())
                    .put("layers", plan.config().layers())
                    .put("linears", plan.linears().size())
                    .put("method", plan.recipe().method());
            putSettings(fields, plan.recipe().settings());
            fields.put("bits", scheme.bits())
                    .put("group_size", scheme.groupSize())
                    .put("symmetric", scheme.symmetric())
                    .put("layout", plan.recipe().layout().name())
                    .put("memory_bytes", plan.memory().total())
                    .put("free_memory_bytes", free)
                    .put("resident_bytes", plan.memory().resident())
                    .put("disk_bytes", disk)
                    .put("free_disk_bytes", freeDisk)
                    .put("seconds", time == null ? null : (Double) time.total())
                    .put("matmul", products);
            ObjectNode parts = fields.putObject("memory_parts");
            plan.memory().parts().forEach(parts::put);
            putCalibration(fields, plan.calibration());
        });
    }

    private static void putSettings(ObjectNode fields, Map<String, Object> settings) {
        ObjectNode tree = fields.putObject("settings");
        settings.forEach(tree::putPOJO);
    }

    private void putCalibration(ObjectNode fields, Calibration.Facts facts) {
        if (facts == null) {
            fields.putNull("calibration");
            return;
        }
        fields.putObject("calibration")
                .put("text", textName)
                .put("text_sha256", facts.textSha256())
                .put("documents", documents)
                .put("windows", facts.samples())
                .put("length", facts.length())
                .put("used_tokens", facts.tokens())
                .put("dropped_tokens", facts.dropped())
                .put("text_tokens", facts.textTokens());
    }

    @Override
    public void resumed(Resumption resumption) {
        done = resumption.linears().size();
        keptBlocks = resumption.blocks();
        for (LinearReport linear : resumption.linears()) {
            worst = Math.max(worst, linear.error().relative());
        }
        console.note(Figures.format(
                "note: going on with an interrupted run: %d of %d blocks are done, in %s",
                resumption.blocks(), plan.config().layers(), Figures.duration(resumption.seconds())));
        console.event(
                "resumed",
                fields -> fields.put("blocks", resumption.blocks())
                        .put("linears", done)
                        .put("seconds", resumption.seconds()));
    }

    @Override
    public void kept(int blocks, Path directory) {
        keptBlocks = blocks;
        keptIn = directory;
        console.event("kept", fields -> fields.put("blocks", blocks).put("directory", directory.toString()));
    }

    /// What is left of a run that ends now.
    String leftBehind() {
        if (keptIn == null && keptBlocks == 0) {
            return "nothing was published";
        }
        return Figures.format(
                "nothing was published; %d of %d blocks are kept%s: the same command goes on from there",
                keptBlocks,
                plan.config().layers(),
                keptIn == null ? "" : " in '" + Printable.line(keptIn.toString()) + "'");
    }

    @Override
    public void quantized(LinearReport linear) {
        done++;
        DampingAttempt last =
                linear.attempts().isEmpty() ? null : linear.attempts().getLast();
        double error = linear.error().relative();
        double rounding = linear.error().rounding();
        boolean compared = linear.error().measure() == Measure.OUTPUTS && rounding > 0;
        String module = linear.name().substring(linear.name().lastIndexOf('.') + 1);
        String remark = linear.attempts().size() > 1 ? "  damping raised" : "";
        if (error > worst) {
            worst = error;
            remark += done > 1 ? "  ▲ worst so far" : "";
        }
        console.line(Figures.format(
                "%5d  %-10s %8s %10.2e %8s %7.2f%s",
                linear.layer(),
                module,
                last == null ? "-" : Double.toString(last.damping()),
                error,
                compared ? Figures.format("%+.0f %%", 100 * (error / rounding - 1)) : "-",
                linear.seconds(),
                remark));
        console.event(
                "linear",
                fields -> fields.put("name", linear.name())
                        .put("layer", linear.layer())
                        .put("module", module)
                        .put("damping", last == null ? null : (Double) last.damping())
                        .put("attempts", linear.attempts().size())
                        .put("measure", linear.error().measure() == Measure.OUTPUTS ? "outputs" : "weights")
                        .put("relative_error", error)
                        .put("rounding_error", rounding)
                        .put("seconds", linear.seconds()));
    }

    @Override
    public void progressed(double fraction) {
        int layer = Math.min(
                plan.config().layers(),
                1 + done * plan.config().layers() / plan.linears().size());
        progress.update(
                fraction,
                1,
                Figures.format(
                        "layer %d/%d · %d/%d linears",
                        layer, plan.config().layers(), done, plan.linears().size()));
    }

    @Override
    public void finished(QuantizationReport report) {
        progress.close();
        double[] errors = report.linears().stream()
                .mapToDouble(linear -> linear.error().relative())
                .sorted()
                .toArray();
        int middle = errors.length / 2;
        double median = errors.length % 2 == 1 ? errors[middle] : (errors[middle - 1] + errors[middle]) / 2;
        double overall = 8.0 * report.writtenBytes() / report.parameters();
        LinearReport last = report.worst();
        OptionalLong peak = Machine.peakMemory();
        console.line(Figures.format(
                "%n%s   %d/%d linears in %s%s",
                console.bold("Done"),
                report.linears().size(),
                plan.linears().size(),
                Figures.duration(report.seconds()),
                peak.isPresent() ? " · peak memory " + Figures.bytes(peak.getAsLong()) : ""));
        console.line(Figures.format(
                "%s   %s → %s · %.2f bits per quantized weight, %.2f overall",
                console.bold("Size"),
                Figures.bytes(report.sourceBytes()),
                Figures.bytes(report.writtenBytes()),
                report.bitsPerWeight(),
                overall));
        console.line(Figures.format(
                "%s  mean %.2e · median %.2e · worst %.2e at %s",
                console.bold("Error"), report.meanError(), median, last.error().relative(), last.name()));
        console.line(Figures.format(
                "%s  read back from disk: %d of %d linears restore to the very numbers computed",
                console.bold("Check"), report.verified(), report.linears().size()));
        console.result(console.bold("Wrote") + "  " + Printable.line(out.toString()));
        console.event("done", fields -> {
            fields.put("out", out.toString())
                    .put("method", report.method())
                    .put("bits", report.scheme().bits())
                    .put("group_size", report.scheme().groupSize())
                    .put("symmetric", report.scheme().symmetric())
                    .put("layout", report.layout())
                    .put("linears", report.linears().size())
                    .put("verified", report.verified())
                    .put("source_bytes", report.sourceBytes())
                    .put("bytes", report.writtenBytes())
                    .put("bits_per_weight", report.bitsPerWeight())
                    .put("bits_overall", overall)
                    .put("error_mean", report.meanError())
                    .put("error_median", median)
                    .put("error_worst", last.error().relative())
                    .put("worst_linear", last.name())
                    .put("damping_raised", report.retried().size())
                    .put("seconds", report.seconds())
                    .put("peak_memory_bytes", peak.isPresent() ? (Long) peak.getAsLong() : null)
                    .put("backend", report.backend());
            putCalibration(fields, report.calibration());
        });
    }
}

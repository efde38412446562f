package dev.halftone.core.quantize;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.CheckpointWriter;
import dev.halftone.core.compute.Backend;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CancellationException;

/// Quantizes a checkpoint: the one loop over the layers, whatever the method, layout and backend.
///
/// For each block in order, and in it for each place where linears share an input: compute that input for all
/// calibration windows from the linears already quantized, accumulate its moments, find the codes of each linear, write
/// them, and bind the quantized weight for the steps to come. So errors made before a linear are in what it is shown,
/// one forward pass serves the whole run, and memory is one block and the samples, however deep the model. A method
/// that needs no moments is only handed one weight after another.
///
/// The result does not depend on the number of threads. It appears whole or not at all: files are staged beside the
/// target, read back and compared with what was computed, and only then moved into place.
///
/// Every finished block is made to last, with the samples' hidden states behind it. A run that ends early, by
/// [#cancel], a failure, a kill or a power cut, leaves them beside the target, and the same run goes on there,
/// see [Resume]. What it writes in the end is, byte for byte, what one uninterrupted run would have written.
public final class QuantizationRun {
    /// Who writes the files.
    public static final String TOOL = "halftone:0.1.0";

    private final Path source;
    private final Path target;
    private final Recipe recipe;
    private final Calibration calibration;
    private final Backend backend;
    private final OutputOptions options;
    private volatile boolean cancelled;

    /// With [OutputOptions#DEFAULT].
    public QuantizationRun(Path source, Path target, Recipe recipe, Calibration calibration, Backend backend) {
        this(source, target, recipe, calibration, backend, OutputOptions.DEFAULT);
    }

    /// @param source      directory of the model
    /// @param target      directory to make; absent or empty
    /// @param calibration may be null if the method needs no moments, and is not looked at then
    /// @param backend     does the arithmetic; stays open
    public QuantizationRun(
            Path source, Path target, Recipe recipe, Calibration calibration, Backend backend, OutputOptions options) {
        if (recipe.needsCalibration() && calibration == null) {
            throw new IllegalArgumentException(recipe.method() + " needs calibration");
        }
        this.source = source;
        this.target = target;
        this.recipe = recipe;
        this.calibration = calibration;
        this.backend = backend;
        this.options = options;
    }

    /// Asks the run, from any thread, to stop soon: between two linears, or two batches of the forward pass.
    public void cancel() {
        cancelled = true;
    }

    /// What [#run] would do. Looks at headers only, and writes nothing.
    ///
    /// @throws HalftoneException if it cannot begin: model, recipe, calibration or target do not allow it
    public QuantizationPlan plan() throws IOException {
        CheckpointWriter.requireUntaken(target);
        try (Checkpoint checkpoint = Checkpoint.open(source)) {
            return QuantizationPlan.of(checkpoint, recipe, calibration, options.shardBytes());
        }
    }

    /// Does it all.
    ///
    /// @throws HalftoneException     if model, recipe, calibration, disk or numbers do not allow it; what can be
    ///                               known beforehand is checked before any work
    /// @throws CancellationException after [#cancel]; nothing is published, and what was kept before remains
    public QuantizationReport run(QuantizationListener listener) throws IOException {
        long begin = System.nanoTime();
        try (Checkpoint checkpoint = Checkpoint.open(source)) {
            QuantizationPlan plan = QuantizationPlan.of(checkpoint, recipe, calibration, options.shardBytes());
            try (QuantizedOutput output = new QuantizedOutput(target, plan, checkpoint, options)) {
                listener.planned(plan);
                Fingerprint fingerprint = Fingerprint.of(checkpoint, plan, calibration, backend, () -> cancelled);
                checkpoint.release("");
                requireNotCancelled();
                Resumption resumption = output.begin(fingerprint);
                listener.started();
                if (resumption.blocks() > 0) {
                    listener.resumed(resumption);
                }
                LayerLoop loop =
                        new LayerLoop(checkpoint, plan, backend, output, listener, this::requireNotCancelled, begin);
                List<LinearReport> linears = run(loop, resumption, output);
                output.copyTensors();
                checkpoint.release("");
                output.writeFiles(TOOL, report(plan, linears, 0, 0));
                requireNotCancelled();
                double seconds = output.secondsBefore() + (System.nanoTime() - begin) / 1e9;
                QuantizationReport report = report(plan, linears, output.verify(backend), seconds);
                requireNotCancelled();
                output.publish();
                listener.finished(report);
                return report;
            }
        }
    }

    private List<LinearReport> run(LayerLoop loop, Resumption resumption, QuantizedOutput output) throws IOException {
        try {
            return loop.run(calibration, resumption);
        } catch (HalftoneException e) {
            // The same numbers would fail again, and other settings could not go on from here.
            if (e.kind() == Kind.NUMERICS) {
                output.discard();
            }
            throw e;
        }
    }

    private void requireNotCancelled() {
        if (cancelled) {
            throw new CancellationException("quantization was cancelled");
        }
    }

    private QuantizationReport report(QuantizationPlan plan, List<LinearReport> linears, int verified, double seconds) {
        return new QuantizationReport(
                TOOL,
                plan.model(),
                plan.config().family().modelType(),
                plan.config().layers(),
                plan.parameters(),
                plan.quantizedParameters(),
                recipe.method(),
                recipe.settings(),
                recipe.scheme(),
                recipe.layout().name(),
                plan.calibration(),
                linears,
                plan.sourceBytes(),
                plan.writtenBytes(),
                plan.bitsPerWeight(),
                verified,
                backend.description(),
                seconds);
    }
}

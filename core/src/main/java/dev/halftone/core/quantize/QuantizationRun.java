package dev.halftone.core.quantize;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.tensor.Tensor;
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
public final class QuantizationRun {
    /// Who writes the files.
    public static final String TOOL = "halftone:0.1.0";

    private final Path source;
    private final Path target;
    private final Recipe recipe;
    private final Calibration calibration;
    private final Backend backend;
    private volatile boolean cancelled;

    /// @param source      directory of the model
    /// @param target      directory to make; absent or empty
    /// @param calibration may be null if the method needs no moments, and is not looked at then
    /// @param backend     does the arithmetic; stays open
    public QuantizationRun(Path source, Path target, Recipe recipe, Calibration calibration, Backend backend) {
        if (recipe.needsCalibration() && calibration == null) {
            throw new IllegalArgumentException(recipe.method() + " needs calibration");
        }
        this.source = source;
        this.target = target;
        this.recipe = recipe;
        this.calibration = calibration;
        this.backend = backend;
    }

    /// Asks the run, from any thread, to stop soon: between two linears, or two batches of the forward pass.
    public void cancel() {
        cancelled = true;
    }

    /// Does it all.
    ///
    /// @throws HalftoneException     if model, recipe, calibration, disk or numbers do not allow it; what can be
    ///                               known beforehand is checked before any work
    /// @throws CancellationException after [#cancel]; nothing is published
    public QuantizationReport run(QuantizationListener listener) throws IOException {
        long begin = System.nanoTime();
        try (Checkpoint checkpoint = Checkpoint.open(source)) {
            QuantizationPlan plan = QuantizationPlan.of(checkpoint, recipe, calibration);
            try (QuantizedOutput output = new QuantizedOutput(target, plan, checkpoint)) {
                listener.planned(plan);
                requireFinite(checkpoint);
                LayerLoop loop = new LayerLoop(checkpoint, plan, backend, output, listener, this::requireNotCancelled);
                List<LinearReport> linears = loop.run(calibration);
                output.copyTensors();
                output.writeFiles(TOOL, report(plan, linears, 0, begin));
                requireNotCancelled();
                QuantizationReport report = report(plan, linears, output.verify(backend), begin);
                requireNotCancelled();
                output.publish();
                listener.finished(report);
                return report;
            }
        }
    }

    private void requireNotCancelled() {
        if (cancelled) {
            throw new CancellationException("quantization was cancelled");
        }
    }

    /// Looks at every number of the source, so that a broken one costs seconds instead of the whole run.
    private void requireFinite(Checkpoint checkpoint) {
        List<Tensor> tensors = List.copyOf(checkpoint.tensors().values());
        MalformedCheckpointException[] faults = new MalformedCheckpointException[tensors.size()];
        backend.forRanges(faults.length, (from, to) -> {
            for (int i = from; i < to && !cancelled; i++) {
                try {
                    checkpoint.requireFinite(tensors.get(i).name());
                } catch (MalformedCheckpointException e) {
                    faults[i] = e;
                }
            }
        });
        requireNotCancelled();
        for (MalformedCheckpointException fault : faults) {
            if (fault != null) {
                throw fault;
            }
        }
    }

    private QuantizationReport report(QuantizationPlan plan, List<LinearReport> linears, int verified, long begin) {
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
                (System.nanoTime() - begin) / 1e9);
    }
}

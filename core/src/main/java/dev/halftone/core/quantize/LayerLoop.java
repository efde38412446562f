package dev.halftone.core.quantize;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.weight.QuantizedWeight;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/// The walk over the blocks of one run, see [QuantizationRun].
final class LayerLoop {
    private final Checkpoint checkpoint;
    private final LinearWeights weights;
    private final QuantizationPlan plan;
    private final Backend backend;
    private final QuantizedOutput output;
    private final QuantizationListener listener;
    private final Progress progress;
    private final Runnable requireNotCancelled;
    private final List<LinearReport> reports = new ArrayList<>();

    LayerLoop(
            Checkpoint checkpoint,
            QuantizationPlan plan,
            Backend backend,
            QuantizedOutput output,
            QuantizationListener listener,
            Runnable requireNotCancelled) {
        this.checkpoint = checkpoint;
        this.weights = LinearWeights.of(checkpoint);
        this.plan = plan;
        this.backend = backend;
        this.output = output;
        this.listener = listener;
        this.progress = new Progress(plan, listener);
        this.requireNotCancelled = requireNotCancelled;
    }

    /// Quantizes and writes every linear of the plan.
    ///
    /// @param calibration not looked at if the plan needs none
    List<LinearReport> run(Calibration calibration) throws IOException {
        if (plan.calibration() == null) {
            for (LinearTask linear : plan.linears()) {
                quantize(linear, null);
            }
            return reports;
        }
        int layers = plan.config().layers();
        try (CalibrationSamples samples = new CalibrationSamples(checkpoint, plan.config(), calibration, backend)) {
            for (int layer = 0; layer < layers; layer++) {
                try (DecoderBlock block =
                        DecoderBlock.withoutLinears(plan.config(), layer, weights, checkpoint, backend)) {
                    for (InputSite site : InputSite.values()) {
                        quantizeSite(layer, site, block, samples);
                    }
                    // Nothing reads what the last block puts out.
                    if (layer + 1 < layers) {
                        samples.leave(block, () -> {
                            requireNotCancelled.run();
                            progress.left(samples.batches());
                        });
                    }
                }
            }
        }
        return reports;
    }

    private void quantizeSite(int layer, InputSite site, DecoderBlock block, CalibrationSamples samples)
            throws IOException {
        try (InputStatistics statistics = new InputStatistics(site.width(plan.config()), backend)) {
            samples.advance(block, site, statistics, () -> {
                requireNotCancelled.run();
                progress.advanced(site, samples.batches());
            });
            for (LinearTask linear : plan.linears(layer, site)) {
                block.bind(linear.linear(), quantize(linear, statistics));
            }
        }
    }

    private QuantizedWeight quantize(LinearTask linear, InputStatistics statistics) throws IOException {
        requireNotCancelled.run();
        long begin = System.nanoTime();
        Quantized quantized = plan.recipe()
                .quantizer()
                .quantize(
                        linear.name(),
                        weights.weight(linear.name()),
                        plan.recipe().scheme(),
                        statistics,
                        backend);
        LinearReport report = new LinearReport(
                linear.name(),
                linear.layer(),
                linear.outputs(),
                linear.inputs(),
                quantized.error(),
                quantized.attempts(),
                (System.nanoTime() - begin) / 1e9);
        output.write(linear, quantized.weight());
        reports.add(report);
        listener.quantized(report);
        progress.finished(linear);
        return quantized.weight();
    }
}

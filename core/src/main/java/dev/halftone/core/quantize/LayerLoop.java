package dev.halftone.core.quantize;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.Weight;
import java.io.IOException;
import java.lang.foreign.Arena;
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
                quantize(linear, weights.weight(linear.name()), null);
            }
            return reports;
        }
        try (CalibrationSamples samples = new CalibrationSamples(checkpoint, plan.config(), calibration, backend)) {
            if (plan.recipe().transforms().isEmpty()) {
                for (int layer = 0; layer < plan.config().layers(); layer++) {
                    try (FoldedBlock unchanged = new FoldedBlock(checkpoint, weights, plan.config(), layer)) {
                        quantizeBlock(layer, unchanged, samples);
                    }
                }
                return reports;
            }
            try (FoldSearch search =
                    new FoldSearch(checkpoint, weights, plan.config(), plan.recipe(), calibration.facts(), backend)) {
                for (int layer = 0; layer < plan.config().layers(); layer++) {
                    try (FoldedBlock folded = search.fold(layer, samples, () -> {
                        requireNotCancelled.run();
                        progress.probed();
                    })) {
                        quantizeBlock(layer, folded, samples);
                    }
                }
            }
        }
        return reports;
    }

    private void quantizeBlock(int layer, FoldedBlock folded, CalibrationSamples samples) throws IOException {
        for (Tensor tensor : folded.replaced().values()) {
            output.replace(tensor);
        }
        try (DecoderBlock block =
                DecoderBlock.withoutLinears(plan.config(), layer, weights, checkpoint, backend, folded.replaced())) {
            for (InputSite site : InputSite.values()) {
                quantizeSite(layer, site, block, folded, samples);
            }
            // Nothing reads what the last block puts out.
            if (layer + 1 < plan.config().layers()) {
                samples.leave(block, () -> {
                    requireNotCancelled.run();
                    progress.left(samples.batches());
                });
            }
        }
    }

    private void quantizeSite(
            int layer, InputSite site, DecoderBlock block, FoldedBlock folded, CalibrationSamples samples)
            throws IOException {
        boolean needed = plan.recipe().quantizer().needsMoments();
        try (InputStatistics statistics = needed ? new InputStatistics(site.width(plan.config()), backend) : null) {
            samples.advance(block, site, statistics, () -> {
                requireNotCancelled.run();
                progress.advanced(site, samples.batches());
            });
            for (LinearTask linear : plan.linears(layer, site)) {
                try (Arena arena = Arena.ofShared()) {
                    Weight weight = folded.weight(linear.linear(), arena);
                    block.bind(linear.linear(), quantize(linear, weight, statistics));
                }
            }
        }
    }

    private QuantizedWeight quantize(LinearTask linear, Weight weight, InputStatistics statistics) throws IOException {
        requireNotCancelled.run();
        long begin = System.nanoTime();
        Quantized quantized = plan.recipe()
                .quantizer()
                .quantize(linear.name(), weight, plan.recipe().scheme(), statistics, backend);
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

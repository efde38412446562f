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
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;

/// The walk over the blocks of one run, see [QuantizationRun].
final class LayerLoop {
    /// Name under which the samples are kept.
    private static final String HIDDEN = "hidden";

    private final Checkpoint checkpoint;
    private final LinearWeights weights;
    private final QuantizationPlan plan;
    private final Backend backend;
    private final QuantizedOutput output;
    private final QuantizationListener listener;
    private final Progress progress;
    private final Runnable requireNotCancelled;
    private final List<LinearReport> reports = new ArrayList<>();
    private final long begin;

    /// @param begin when the run began, by [System#nanoTime]
    LayerLoop(
            Checkpoint checkpoint,
            QuantizationPlan plan,
            Backend backend,
            QuantizedOutput output,
            QuantizationListener listener,
            Runnable requireNotCancelled,
            long begin) {
        this.checkpoint = checkpoint;
        this.weights = LinearWeights.of(checkpoint);
        this.plan = plan;
        this.backend = backend;
        this.output = output;
        this.listener = listener;
        this.progress = new Progress(plan, listener);
        this.requireNotCancelled = requireNotCancelled;
        this.begin = begin;
    }

    /// Quantizes and writes every linear of the plan that no earlier run did.
    ///
    /// @param calibration not looked at if the plan needs none
    /// @param resumption  what is done already
    /// @return reports on all linears, earlier ones included
    List<LinearReport> run(Calibration calibration, Resumption resumption) throws IOException {
        reports.addAll(resumption.linears());
        if (resumption.blocks() > 0) {
            progress.resumed(resumption.blocks());
        }
        int layers = plan.config().layers();
        if (plan.calibration() == null) {
            for (int layer = resumption.blocks(); layer < layers; layer++) {
                for (LinearTask linear : plan.linears(layer)) {
                    quantize(linear, weights.weight(linear.name()), null);
                }
                keep(layer + 1, Collections.emptySortedMap());
            }
            return reports;
        }
        if (resumption.blocks() == layers) {
            return reports;
        }
        try (CalibrationSamples samples = samples(calibration, resumption)) {
            if (plan.recipe().transforms().isEmpty()) {
                for (int layer = resumption.blocks(); layer < layers; layer++) {
                    try (FoldedBlock unchanged = new FoldedBlock(checkpoint, weights, plan.config(), layer)) {
                        quantizeBlock(layer, unchanged, samples);
                    }
                }
                return reports;
            }
            try (FoldSearch search =
                    new FoldSearch(checkpoint, weights, plan.config(), plan.recipe(), calibration.facts(), backend)) {
                for (int layer = resumption.blocks(); layer < layers; layer++) {
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

    /// The samples as they stand before the first block that is to be done.
    private CalibrationSamples samples(Calibration calibration, Resumption resumption) throws IOException {
        if (resumption.blocks() == 0) {
            return new CalibrationSamples(checkpoint, plan.config(), calibration, backend);
        }
        CalibrationSamples samples = new CalibrationSamples(plan.config(), calibration.facts(), backend);
        try {
            output.restore(Map.of(HIDDEN, samples));
        } catch (IOException | RuntimeException e) {
            try (samples) {
                throw e;
            }
        }
        return samples;
    }

    private void keep(int blocks, SortedMap<String, CalibrationSamples> borders) throws IOException {
        Optional<Path> directory = output.keep(blocks, reports, borders, (System.nanoTime() - begin) / 1e9);
        directory.ifPresent(kept -> listener.kept(blocks, kept));
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
        boolean last = layer + 1 == plan.config().layers();
        keep(layer + 1, last ? Collections.emptySortedMap() : new TreeMap<>(Map.of(HIDDEN, samples)));
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

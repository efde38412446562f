package dev.halftone.core.quantize;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.Llama;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.DenseWeight;
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
import java.util.function.Consumer;

/// The walk over the blocks of one run, see [QuantizationRun].
final class LayerLoop {
    /// Name under which the samples are kept.
    private static final String HIDDEN = "hidden";

    private static final String FLOAT_HIDDEN = "hidden-float";

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
    private final HeapWatch heap = new HeapWatch();

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
        quantizeBlocks(calibration, resumption);
        if (plan.head().isPresent()) {
            quantizeTable(plan.head().get());
        }
        return reports;
    }

    /// Head and embeddings are rounded to nearest whatever the method: nothing is measured behind the last block, and
    /// there is nothing in front of the first.
    private QuantizedWeight quantizeTable(LinearTask table) throws IOException {
        Weight weight = new DenseWeight(checkpoint.tensor(table.source(plan.config())));
        return quantize(table, new RoundToNearest(), weight, null, ActivationScheme.NONE);
    }

    private void quantizeBlocks(Calibration calibration, Resumption resumption) throws IOException {
        if (resumption.blocks() > 0) {
            progress.resumed(resumption.blocks());
        }
        int layers = plan.config().layers();
        // An earlier run that got anywhere began with it.
        Weight embedding = plan.embedding().isPresent() && resumption.blocks() == 0
                ? quantizeTable(plan.embedding().get())
                : embedding();
        if (plan.calibration() == null) {
            for (int layer = resumption.blocks(); layer < layers; layer++) {
                for (LinearTask linear : plan.linears(layer)) {
                    quantize(linear, quantizer(), weights.weight(linear.name()), null, schemeWithoutSamples());
                }
                checkpoint.release(DecoderBlock.prefix(layer));
                keep(layer + 1, Collections.emptySortedMap());
            }
            return;
        }
        if (resumption.blocks() == layers) {
            return;
        }
        try (CalibrationScratch scratch = new CalibrationScratch(plan.config(), calibration.facts(), backend);
                CalibrationSamples samples = samples(embedding, calibration, resumption, scratch, true);
                FloatTwin twin =
                        needsTwin() ? twin(samples(embedding(), calibration, resumption, scratch, false)) : null;
                FoldSearch search = plan.recipe().transforms().isEmpty()
                        ? null
                        : new FoldSearch(
                                checkpoint,
                                weights,
                                plan.config(),
                                plan.recipe(),
                                calibration.facts(),
                                backend,
                                heap)) {
            SortedMap<String, CalibrationSamples> borders = new TreeMap<>(Map.of(HIDDEN, samples));
            if (twin != null) {
                borders.put(FLOAT_HIDDEN, twin.samples());
            }
            if (resumption.blocks() > 0) {
                output.restore(borders);
            }
            for (int layer = resumption.blocks(); layer < layers; layer++) {
                try (FoldedBlock folded = search == null
                        ? new FoldedBlock(checkpoint, weights, plan.config(), layer)
                        : search.fold(layer, samples, step(progress::probed))) {
                    quantizeBlock(layer, folded, samples, twin);
                }
                checkpoint.release(DecoderBlock.prefix(layer));
                // Nobody goes on from behind the last block.
                keep(layer + 1, layer + 1 == layers ? Collections.emptySortedMap() : borders);
            }
        }
    }

    private WeightQuantizer quantizer() {
        return plan.recipe().quantizer();
    }

    /// The float model's.
    private Weight embedding() {
        return new DenseWeight(checkpoint.tensor(Llama.EMBEDDING + ".weight"));
    }

    /// The samples before the first block, or empty ones that are to be restored.
    private CalibrationSamples samples(
            Weight embedding,
            Calibration calibration,
            Resumption resumption,
            CalibrationScratch scratch,
            boolean keepingInputs) {
        CalibrationSamples samples =
                new CalibrationSamples(plan.config(), calibration.facts(), scratch, keepingInputs, backend);
        if (resumption.blocks() == 0) {
            samples.embed(embedding, calibration);
            checkpoint.release(Llama.EMBEDDING);
        }
        return samples;
    }

    private FloatTwin twin(CalibrationSamples samples) {
        Consumer<InputSite> afterBatch = site -> {
            requireNotCancelled.run();
            progress.advanced(site, samples.batches());
            if (site == InputSite.MLP_OUTPUT) {
                progress.left(samples.batches());
            }
        };
        return new FloatTwin(checkpoint, weights, plan.config(), samples, afterBatch, backend);
    }

    private void keep(int blocks, SortedMap<String, CalibrationSamples> borders) throws IOException {
        Optional<Path> directory = output.keep(blocks, reports, borders, (System.nanoTime() - begin) / 1e9);
        directory.ifPresent(kept -> listener.kept(blocks, kept));
    }

    private boolean needsTwin() {
        return plan.recipe().needsFloatTwin();
    }

    /// What is done after each batch: look whether to stop, then tell of the progress.
    private Runnable step(Runnable tell) {
        return () -> {
            requireNotCancelled.run();
            tell.run();
        };
    }

    private void quantizeBlock(int layer, FoldedBlock folded, CalibrationSamples samples, FloatTwin twin)
            throws IOException {
        for (Tensor tensor : folded.replaced().values()) {
            output.replace(tensor);
        }
        try (DecoderBlock block =
                DecoderBlock.withoutLinears(plan.config(), layer, weights, checkpoint, backend, folded.replaced())) {
            if (twin != null) {
                twin.enter(layer);
            }
            for (InputSite site : InputSite.values()) {
                quantizeSite(layer, site, block, folded, samples, twin);
            }
            // Nothing reads what the last block puts out.
            if (layer + 1 < plan.config().layers()) {
                Runnable afterBatch = step(() -> progress.left(samples.batches()));
                samples.leave(block, afterBatch);
            }
        }
    }

    private void quantizeSite(
            int layer,
            InputSite site,
            DecoderBlock block,
            FoldedBlock folded,
            CalibrationSamples samples,
            FloatTwin twin)
            throws IOException {
        InputRounding rounding = plan.recipe().inputs();
        boolean rounded = rounding.kind() != ActivationScheme.Kind.NONE;
        try (InputStatistics statistics = statistics(site, twin)) {
            Runnable afterBatch = step(() -> progress.advanced(site, samples.batches()));
            ActivationScheme activations = ActivationScheme.NONE;
            if (rounded) {
                samples.advance(block, site, null, null, afterBatch);
                // How some are rounded is known only when all have been seen.
                RoundedInputs inputs = RoundedInputs.of(
                        rounding,
                        plan.recipe().scheme(),
                        samples,
                        site.width(plan.config()),
                        "layer " + layer,
                        backend);
                activations = inputs.scheme();
                if (statistics != null) {
                    samples.showRounded(inputs, site, statistics, twin);
                }
            } else {
                samples.advance(block, site, statistics, twin, afterBatch);
            }
            if (twin != null && site == InputSite.MLP_OUTPUT) {
                twin.leave();
            }
            if (twin != null && folded.divisors(site) != null) {
                statistics.divideFloatInputs(folded.divisors(site));
            }
            for (String linear : site.linears()) {
                if (plan.dense().contains(DecoderBlock.prefix(layer) + linear)) {
                    bindDense(linear, block, folded);
                }
            }
            for (LinearTask linear : plan.linears(layer, site)) {
                try (Arena arena = Arena.ofShared()) {
                    Weight weight = folded.weight(linear.linear(), arena);
                    block.bind(linear.linear(), quantize(linear, quantizer(), weight, statistics, activations));
                }
            }
        }
    }

    /// A linear that stays in floating point, as it will be stored: what was folded into it is rounded to its type.
    private void bindDense(String linear, DecoderBlock block, FoldedBlock folded) throws IOException {
        try (Arena arena = Arena.ofShared()) {
            Tensor stored = folded.stored(linear, arena);
            if (folded.changes(linear)) {
                output.replace(stored);
            }
            block.bind(linear, new DenseWeight(stored));
        }
    }

    /// Empty statistics of a site; null if the method needs none.
    private InputStatistics statistics(InputSite site, FloatTwin twin) {
        int width = site.width(plan.config());
        if (twin != null) {
            return plan.recipe().meansOutputs(site)
                    ? InputStatistics.withMeantOutputs(width, plan.config().hidden(), backend)
                    : InputStatistics.withFloatInputs(width, backend);
        }
        return quantizer().needsMoments() ? new InputStatistics(width, backend) : null;
    }

    private ActivationScheme schemeWithoutSamples() {
        return switch (plan.recipe().inputs().kind()) {
            case NONE -> ActivationScheme.NONE;
            case PER_TOKEN -> ActivationScheme.PER_TOKEN;
            case PER_TENSOR -> throw new IllegalStateException("the scales of inputs come from calibration");
        };
    }

    private QuantizedWeight quantize(
            LinearTask linear,
            WeightQuantizer quantizer,
            Weight weight,
            InputStatistics statistics,
            ActivationScheme activations)
            throws IOException {
        requireNotCancelled.run();
        long begin = System.nanoTime();
        Quantized quantized = quantizer.quantize(linear.name(), weight, linear.scheme(), statistics, backend);
        LinearReport report = new LinearReport(
                linear.name(),
                linear.layer(),
                linear.outputs(),
                linear.inputs(),
                quantized.error(),
                quantized.attempts(),
                (System.nanoTime() - begin) / 1e9);
        QuantizedWeight codes = quantized.weight().withActivations(activations);
        output.write(linear, codes);
        reports.add(report);
        listener.quantized(report);
        progress.finished(linear);
        heap.look();
        return codes;
    }
}

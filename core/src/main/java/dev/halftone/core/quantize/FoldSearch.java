package dev.halftone.core.quantize;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// Lets the transforms of a recipe choose what to fold into a block, before any of its linears is quantized: the float
/// block runs once over some of the calibration windows, and each transform looks at each site in turn. The windows
/// come as the quantized blocks before left them.
final class FoldSearch implements AutoCloseable {
    /// Tokens that the choice is made on. It weighs channels, for which far fewer will do than for the moments.
    private static final int TOKENS = 16384;

    private final Checkpoint checkpoint;
    private final LinearWeights weights;
    private final LlamaConfig config;
    private final Recipe recipe;
    private final Backend backend;
    private final CalibrationScratch scratch;
    private final CalibrationSamples probe;
    private final HeapWatch heap;

    FoldSearch(
            Checkpoint checkpoint,
            LinearWeights weights,
            LlamaConfig config,
            Recipe recipe,
            Calibration.Facts facts,
            Backend backend,
            HeapWatch heap) {
        this.heap = heap;
        this.checkpoint = checkpoint;
        this.weights = weights;
        this.config = config;
        this.recipe = recipe;
        this.backend = backend;
        scratch = new CalibrationScratch(config, probed(facts), backend);
        probe = new CalibrationSamples(config, probed(facts), scratch, true, backend);
    }

    /// The share of the windows that is looked at.
    static Calibration.Facts probed(Calibration.Facts facts) {
        int samples = Math.clamp(TOKENS / facts.length(), 1, facts.samples());
        return new Calibration.Facts(samples, facts.length(), facts.textTokens(), facts.textSha256());
    }

    /// Folds what the transforms choose into `layer`, whose input is in `samples`.
    ///
    /// @param afterBatch run after each batch of the probe, four times the batches of the probe
    FoldedBlock fold(int layer, CalibrationSamples samples, Runnable afterBatch) {
        FoldedBlock folded = new FoldedBlock(checkpoint, weights, config, layer);
        try (DecoderBlock block = DecoderBlock.withoutLinears(config, layer, weights, checkpoint, backend, Map.of())) {
            probe.copyHidden(samples);
            for (InputSite site : InputSite.values()) {
                Fold fold = Fold.of(site, config);
                try (InputStatistics seen = InputStatistics.withDetails(fold.width(), probe.tokens(), backend)) {
                    probe.advance(block, site, seen, null, afterBatch);
                    String first = DecoderBlock.prefix(layer) + site.linears().getFirst();
                    Optional<QuantizationScheme> scheme = recipe.schemeOf(first);
                    // What is not rounded needs no preparation; all linears of a site have one scheme.
                    for (BlockTransform transform :
                            scheme.isPresent() ? recipe.transforms() : List.<BlockTransform>of()) {
                        apply(transform, fold, folded, seen, scheme.get());
                        heap.look();
                    }
                }
                if (site != InputSite.MLP_OUTPUT) {
                    for (String linear : site.linears()) {
                        block.bind(linear, weights.weight(DecoderBlock.prefix(layer) + linear));
                    }
                }
            }
            return folded;
        } catch (RuntimeException e) {
            folded.close();
            throw e;
        }
    }

    private void apply(
            BlockTransform transform, Fold fold, FoldedBlock folded, InputStatistics seen, QuantizationScheme scheme) {
        try (Arena arena = Arena.ofShared()) {
            List<Weight> readers = new ArrayList<>();
            for (String linear : fold.site().linears()) {
                readers.add(folded.weight(linear, arena));
            }
            float[] divisors = transform.divisors(fold, readers, seen, scheme, backend);
            if (divisors != null) {
                seen.divide(folded.divide(fold, divisors));
            }
        }
    }

    @Override
    public void close() {
        probe.close();
        scratch.close();
    }
}

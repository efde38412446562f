package dev.halftone.eval;

import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.Llama;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import java.util.ArrayList;
import java.util.List;

/// How much a model suffers where: the divergence from itself when the linears behind one site of one block, and
/// nothing else, are plainly rounded. A cleverer method rounds all of them better; which of them matter stays the same.
///
/// @param layer       of the block
/// @param site        whose linears were rounded
/// @param divergences for each scheme the mean of `KL(model ‖ rounded)` over predictions, in nats
public record Sensitivity(int layer, InputSite site, List<Double> divergences) {
    public Sensitivity {
        divergences = List.copyOf(divergences);
    }

    /// Told after every measurement.
    public interface Listener {
        void measured(int done, int all);
    }

    /// Measures all sites of all blocks; the model is as it was afterwards.
    ///
    /// @param model   bound from `weights`, in floating point
    /// @param windows that the divergence is taken over; a few hundred tokens tell the sites apart
    public static List<Sensitivity> measure(
            Llama model, LinearWeights weights, Windows windows, List<QuantizationScheme> schemes, Listener listener) {
        int layers = model.config().layers();
        int all = layers * InputSite.values().length * schemes.size();
        List<Sensitivity> measured = new ArrayList<>();
        try (Self self = new Self(model, windows)) {
            for (int layer = 0; layer < layers; layer++) {
                for (InputSite site : InputSite.values()) {
                    List<Double> divergences = new ArrayList<>();
                    try {
                        for (QuantizationScheme scheme : schemes) {
                            bind(model, weights, layer, site, scheme);
                            divergences.add(self.divergence());
                            listener.measured(measured.size() * schemes.size() + divergences.size(), all);
                        }
                    } finally {
                        bind(model, weights, layer, site, null);
                    }
                    measured.add(new Sensitivity(layer, site, divergences));
                }
            }
        }
        return measured;
    }

    /// @param scheme null for the weights as they are
    private static void bind(Llama model, LinearWeights weights, int layer, InputSite site, QuantizationScheme scheme) {
        for (String linear : site.linears()) {
            Weight weight = weights.weight(DecoderBlock.prefix(layer) + linear);
            model.block(layer)
                    .bind(linear, scheme == null ? weight : RoundToNearest.round(weight, scheme, model.backend()));
        }
    }

    /// The predictions of the model before anything was rounded.
    private static final class Self implements AutoCloseable {
        private final Windows windows;
        private final WindowScorer scorer;
        private final int vocabulary;
        private final List<float[]> expected = new ArrayList<>(); // of each window, [context - 1, vocabulary]

        Self(Llama model, Windows windows) {
            this.windows = windows;
            scorer = new WindowScorer(model, windows.context());
            vocabulary = scorer.vocabulary();
            for (int index = 0; index < windows.count(); index++) {
                float[] logits = new float[Math.multiplyExact(windows.context() - 1, vocabulary)];
                scorer.score(
                        windows.window(index),
                        0,
                        (from, rows, values) ->
                                System.arraycopy(values, 0, logits, from * vocabulary, rows * vocabulary));
                expected.add(logits);
            }
        }

        /// Of the model as it is bound now.
        double divergence() {
            double[] divergences = new double[windows.context() - 1];
            Mean mean = new Mean();
            for (int index = 0; index < windows.count(); index++) {
                float[] base = expected.get(index);
                scorer.score(
                        windows.window(index),
                        0,
                        (from, rows, values) -> scorer.model().backend().forRanges(rows, (low, high) -> {
                            for (int row = low; row < high; row++) {
                                divergences[from + row] = Divergence.divergence(
                                        base, (from + row) * vocabulary, values, row * vocabulary, vocabulary);
                            }
                        }));
                for (double divergence : divergences) {
                    mean.add(divergence);
                }
            }
            // Rounding can leave a mean of nothing just below it.
            return Math.max(0, mean.mean());
        }

        @Override
        public void close() {
            scorer.close();
        }
    }
}

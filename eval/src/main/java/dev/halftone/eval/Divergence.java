package dev.halftone.eval;

import dev.halftone.core.model.Llama;
import java.util.function.IntConsumer;

/// How far the next-token distributions of a model are from those of the model it was made from.
///
/// @param meanDivergence mean of `KL(base ‖ other) = sum(p · (log p - log q))` over predictions, in nats
/// @param standardError  of the mean, taking predictions as independent
/// @param sameTop        share of predictions in which both rank the same token first
/// @param predictions    how many were compared
public record Divergence(double meanDivergence, double standardError, double sameTop, long predictions) {

    /// Compares the two models on every prediction of `windows`. Both must have the same vocabulary.
    ///
    /// @throws IllegalArgumentException if the vocabularies differ
    public static Divergence between(Llama base, Llama other, Windows windows) {
        return between(base, other, windows, done -> {});
    }

    /// The same, telling after every window how many are done.
    public static Divergence between(Llama base, Llama other, Windows windows, IntConsumer listener) {
        int vocabulary = base.config().vocabulary();
        if (other.config().vocabulary() != vocabulary) {
            throw new IllegalArgumentException("vocabularies differ: " + vocabulary + " and "
                    + other.config().vocabulary());
        }
        int context = windows.context();
        float[] expected = new float[Math.multiplyExact(context - 1, vocabulary)];
        double[] divergences = new double[context - 1];
        boolean[] same = new boolean[context - 1];
        Mean mean = new Mean();
        long agreements = 0;
        try (WindowScorer baseScorer = new WindowScorer(base, context);
                WindowScorer otherScorer = new WindowScorer(other, context)) {
            for (int index = 0; index < windows.count(); index++) {
                int[] window = windows.window(index);
                baseScorer.score(
                        window,
                        0,
                        (from, rows, logits) ->
                                System.arraycopy(logits, 0, expected, from * vocabulary, rows * vocabulary));
                otherScorer.score(
                        window,
                        0,
                        (from, rows, logits) -> other.backend().forRanges(rows, (low, high) -> {
                            for (int row = low; row < high; row++) {
                                int p = (from + row) * vocabulary;
                                int q = row * vocabulary;
                                divergences[from + row] = divergence(expected, p, logits, q, vocabulary);
                                same[from + row] = LogProbabilities.argmax(expected, p, vocabulary)
                                        == LogProbabilities.argmax(logits, q, vocabulary);
                            }
                        }));
                for (int i = 0; i < divergences.length; i++) {
                    mean.add(divergences[i]);
                    agreements += same[i] ? 1 : 0;
                }
                listener.accept(index + 1);
            }
        }
        return new Divergence(mean.mean(), mean.standardError(), (double) agreements / mean.count(), mean.count());
    }

    /// `KL(base ‖ other)` of two rows of logits.
    static double divergence(float[] base, int p, float[] other, int q, int vocabulary) {
        double baseNorm = LogProbabilities.logSumExp(base, p, vocabulary);
        double otherNorm = LogProbabilities.logSumExp(other, q, vocabulary);
        double sum = 0;
        for (int i = 0; i < vocabulary; i++) {
            double logP = base[p + i] - baseNorm;
            if (logP > LogProbabilities.NEGLIGIBLE) {
                sum += LogProbabilities.exp(logP) * (logP - (other[q + i] - otherNorm));
            }
        }
        return sum;
    }
}

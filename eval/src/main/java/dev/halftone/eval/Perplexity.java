package dev.halftone.eval;

import dev.halftone.core.model.Llama;

/// Perplexity of a model: the exponential of the mean negative log-likelihood per predicted token, in double precision.
public final class Perplexity {
    /// Told after every window.
    public interface Listener {
        /// @param done       windows scored so far
        /// @param windows    all windows
        /// @param perplexity over the windows so far
        void window(int done, int windows, double perplexity);
    }

    private Perplexity() {}

    /// Scores `windows` under `protocol`.
    ///
    /// @param bos token put first in every window by [Protocol#LLAMA512], or -1 for none; other protocols ignore it
    public static PerplexityResult evaluate(
            Llama model, Windows windows, Protocol protocol, int bos, Listener listener) {
        int context = windows.context();
        int first = protocol.firstScored(context) - 1;
        int predictions = context - 1 - first;
        double[] losses = new double[predictions];
        Mean overWindows = new Mean();
        Mean overTokens = new Mean();
        try (WindowScorer scorer = new WindowScorer(model, context)) {
            int vocabulary = scorer.vocabulary();
            for (int index = 0; index < windows.count(); index++) {
                int[] window = windows.window(index);
                int[] input = window.clone();
                if (protocol == Protocol.LLAMA512 && bos >= 0) {
                    input[0] = bos;
                }
                scorer.score(
                        input,
                        first,
                        (from, rows, logits) -> model.backend().forRanges(rows, (low, high) -> {
                            for (int row = low; row < high; row++) {
                                int offset = row * vocabulary;
                                losses[from - first + row] = LogProbabilities.logSumExp(logits, offset, vocabulary)
                                        - logits[offset + window[from + row + 1]];
                            }
                        }));
                double sum = 0;
                for (double loss : losses) {
                    overTokens.add(loss);
                    sum += loss;
                }
                overWindows.add(sum / predictions);
                listener.window(index + 1, windows.count(), Math.exp(overWindows.mean()));
            }
        }
        return PerplexityResult.of(overTokens, overWindows, protocol, context);
    }
}

package dev.halftone.core.quantize;

import dev.halftone.core.compute.Matrix;

/// The tokens from which the moments of a site's inputs are taken: all of them, or every few where there are many
/// more than moments of that width need. All tokens pass through the model whatever is sampled, as later ones
/// attend to them.
///
/// @param step from one token of a batch to the next that counts
record TokenSample(int step) {
    /// So many tokens for each column at least: with as many the quantized model was as good as with all of two to five
    /// times as many, with half of them it was not (`docs/experiments.md`).
    private static final int TOKENS_PER_COLUMN = 20;

    /// For inputs of `width` columns.
    static TokenSample of(int width, Calibration.Facts facts) {
        return new TokenSample((int) Math.max(1, facts.tokens() / ((long) TOKENS_PER_COLUMN * width)));
    }

    /// Those of `rows`, which are of all tokens of a batch, that count. It begins at another row in the next batch, so
    /// that the first token of a window, which is like no other, counts no more often than any other.
    ///
    /// @param batch number of it
    Matrix of(Matrix rows, int batch) {
        return step == 1 ? rows : rows.everyNth(batch % Math.min(step, rows.rows()), step);
    }

    /// How many of `tokens` count, or one batch's share more or less.
    double of(double tokens) {
        return tokens / step;
    }
}

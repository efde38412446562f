package dev.halftone.eval;

import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.Workspace;

/// Runs one model over windows of tokens and hands out its logits a few rows at a time, so that memory stays small
/// whatever the vocabulary.
final class WindowScorer implements AutoCloseable {
    /// Takes `rows` rows of logits, packed, that predict the tokens after positions `first ...` of the window.
    interface LogitConsumer {
        void accept(int first, int rows, float[] logits);
    }

    /// About 32 MiB of logits at a time.
    private static final int LOGITS_AT_A_TIME = 8 << 20;

    private final Llama model;
    private final int chunk;
    private final KvCache cache;
    private final Workspace workspace;
    private final Matrix hidden;
    private final Matrix logits;
    private final float[] values;

    WindowScorer(Llama model, int context) {
        this.model = model;
        int vocabulary = model.config().vocabulary();
        chunk = Math.clamp(LOGITS_AT_A_TIME / vocabulary, 1, context);
        cache = model.allocateCache(1, context);
        workspace = model.workspace(context);
        hidden = model.backend().allocate(context, model.config().hidden());
        logits = model.backend().allocate(chunk, vocabulary);
        values = new float[chunk * vocabulary];
    }

    /// Logits at positions `[first, window.length - 1)`, those that predict another token of the window.
    void score(int[] window, int first, LogitConsumer consumer) {
        int length = window.length;
        Matrix states = hidden.rows(0, length);
        model.forward(window, Batch.single(0, length), cache, workspace, states);
        for (int from = first; from < length - 1; from += chunk) {
            int rows = Math.min(chunk, length - 1 - from);
            Matrix destination = logits.rows(0, rows);
            model.logits(states.rows(from, rows), destination);
            model.backend().copyOut(destination, values, 0);
            consumer.accept(from, rows, values);
        }
    }

    /// Tokens in all windows' rows; the width of a row of logits.
    int vocabulary() {
        return model.config().vocabulary();
    }

    Llama model() {
        return model;
    }

    @Override
    public void close() {
        logits.close();
        hidden.close();
        workspace.close();
        cache.close();
    }
}

package dev.halftone.core.quantize;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.model.Workspace;
import dev.halftone.core.tensor.DType;

/// What a batch of calibration windows needs while it is run and nobody needs afterwards. Models that are run in turn
/// over the same windows share it.
final class CalibrationScratch implements AutoCloseable {
    /// Tokens that are run at once: enough to keep a matrix product busy, few enough for the scratch to be small.
    private static final int ROWS = 1024;

    private final int length;
    private final Workspace workspace;
    private final KvCache cache;
    private Batch batch; // the one that the angles are prepared for

    CalibrationScratch(LlamaConfig config, Calibration.Facts facts, Backend backend) {
        length = facts.length();
        int windows = windowsAtOnce(facts);
        workspace = new Workspace(backend, config, windows * length);
        cache = backend.allocateCache(1, windows, length, config.attention(0), DType.F32);
    }

    /// Windows that are run in one batch.
    static int windowsAtOnce(Calibration.Facts facts) {
        return Math.clamp(ROWS / facts.length(), 1, facts.samples());
    }

    Workspace workspace() {
        return workspace;
    }

    /// Attends in each window, a sequence of its own that begins at position 0.
    ///
    /// @param normed      `[windows * length, hidden]`
    /// @param destination `[windows * length, heads * headSize]`
    void attend(DecoderBlock block, Matrix normed, int windows, Matrix destination) {
        // All batches but the last are alike.
        if (batch == null || batch.size() != windows) {
            batch = new Batch();
            for (int slot = 0; slot < windows; slot++) {
                batch.add(slot, 0, length);
            }
            workspace.angles().prepare(batch);
        }
        block.attend(normed, batch, workspace.angles(), cache, 0, workspace, destination);
    }

    @Override
    public void close() {
        cache.close();
        workspace.close();
    }
}

package dev.halftone.core.quantize;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.Workspace;
import java.io.IOException;
import java.nio.file.Path;
import java.util.stream.IntStream;

/// One forward pass of a model on disk.
final class ModelRun {
    private ModelRun() {}

    /// 16 of them.
    static int[] tokens() {
        return IntStream.range(0, 16).map(i -> (5 * i + 3) % 96).toArray();
    }

    /// Logits of these tokens, `[16, vocabulary]`.
    static float[] logits(Path directory, Backend backend) throws IOException {
        int[] tokens = tokens();
        try (Checkpoint checkpoint = Checkpoint.open(directory);
                Llama llama = Llama.load(checkpoint, backend);
                Workspace workspace = llama.workspace(tokens.length);
                KvCache cache = llama.allocateCache(1, tokens.length);
                Matrix hidden = backend.allocate(tokens.length, llama.config().hidden());
                Matrix logits = backend.allocate(tokens.length, llama.config().vocabulary())) {
            llama.forward(tokens, Batch.single(0, tokens.length), cache, workspace, hidden);
            llama.logits(hidden, logits);
            float[] values = new float[tokens.length * llama.config().vocabulary()];
            backend.copyOut(logits, values, 0);
            return values;
        }
    }
}

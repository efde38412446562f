package dev.halftone.cli;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.Tokenizer;
import dev.halftone.runtime.cpu.ProductMode;
import java.io.IOException;
import java.nio.file.Path;

/// A model ready to compute, with its tokenizer and the backend it is bound to. Closing it closes all of them.
record LoadedModel(Backend backend, Checkpoint checkpoint, Tokenizer tokenizer, Llama llama) implements AutoCloseable {
    /// Opens the folder on the backend that the options ask for; see [Backends#open].
    static LoadedModel open(Path folder, Console console, String matmul, ProductMode usual) throws IOException {
        long start = System.nanoTime();
        // Files first: a mistyped path should not wait for a backend.
        Checkpoint checkpoint = Checkpoint.open(folder);
        Tokenizer tokenizer = null;
        Backend backend = null;
        try {
            tokenizer = Tokenizer.of(folder);
            backend = Backends.open(console, matmul, usual);
            Llama llama = Llama.load(checkpoint, backend);
            console.detail(Figures.format(
                    "loaded %s of weights in %s",
                    Figures.bytes(llama.weightBytes()), Figures.duration((System.nanoTime() - start) / 1e9)));
            return new LoadedModel(backend, checkpoint, tokenizer, llama);
        } catch (IOException | RuntimeException e) {
            if (backend != null) {
                backend.close();
            }
            if (tokenizer != null) {
                tokenizer.close();
            }
            checkpoint.close();
            throw e;
        }
    }

    /// Says so when windows are longer than what the model was made for.
    void warnIfLonger(int length, Console console) {
        int context = llama.config().context();
        if (length > context) {
            console.note("warning: windows of " + length + " tokens, but the model was made for " + context
                    + "; --context " + context + " stays inside");
        }
    }

    @Override
    public void close() {
        llama.close();
        backend.close();
        tokenizer.close();
        checkpoint.close();
    }
}

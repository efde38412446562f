package dev.halftone.eval;

import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.Sampler;
import dev.halftone.core.model.SamplingOptions;
import dev.halftone.core.model.Workspace;
import dev.halftone.core.tensor.DType;
import java.util.Arrays;
import java.util.SplittableRandom;

/// A [SpeedTest] on a model: owns cache and scratch, so that repeating
/// it allocates next to nothing. Prompts are
/// random tokens; a step ends when the likeliest token of every sequence is known on the host, as in generation at
/// temperature 0, and that token is what the next step computes.
public final class SpeedRun implements AutoCloseable {
    private final Llama llama;
    private final SpeedTest test;
    private final int chunk;
    private final KvCache cache;
    private final Workspace workspace;
    private final Matrix hidden; // [max(chunk, batch), hidden]
    private final Matrix firstLogits; // [1, vocabulary]
    private final Matrix logits; // [batch, vocabulary]
    private final Matrix[] rows; // [batch], rows of `logits`
    private final float[] hostLogits; // [vocabulary]
    private final Sampler sampler;
    private final Batch pass = new Batch();
    private final int[][] prompts; // [batch][prompt]
    private final int[] chosen; // [batch]

    /// @param chunk tokens of a prompt that are computed at a time
    public SpeedRun(Llama llama, SpeedTest test, int chunk) {
        this(llama, test, chunk, DType.F32);
    }

    /// The same, with a cache of `cached` numbers, [DType#F32] or [DType#F16].
    public SpeedRun(Llama llama, SpeedTest test, int chunk, DType cached) {
        this.llama = llama;
        this.test = test;
        this.chunk = Math.min(chunk, Math.max(1, test.prompt()));
        int vocabulary = llama.config().vocabulary();
        int most = Math.max(this.chunk, test.batch());
        cache = llama.allocateCache(test.batch(), test.capacity(), cached);
        workspace = llama.workspace(most);
        hidden = llama.backend().allocate(most, llama.config().hidden());
        firstLogits = llama.backend().allocate(1, vocabulary);
        logits = llama.backend().allocate(test.batch(), vocabulary);
        rows = new Matrix[test.batch()];
        prompts = new int[test.batch()][test.prompt()];
        chosen = new int[test.batch()];
        SplittableRandom random = new SplittableRandom(1);
        for (int sequence = 0; sequence < test.batch(); sequence++) {
            rows[sequence] = logits.rows(sequence, 1);
            for (int i = 0; i < test.prompt(); i++) {
                prompts[sequence][i] = random.nextInt(vocabulary);
            }
        }
        hostLogits = new float[vocabulary];
        sampler = new Sampler(SamplingOptions.greedy(), vocabulary);
    }

    /// Computes the test once, from an empty context.
    public SpeedSample repeat() {
        long start = System.nanoTime();
        for (int sequence = 0; sequence < test.batch(); sequence++) {
            if (test.prompt() == 0) {
                chosen[sequence] = sequence % llama.config().vocabulary();
            } else {
                prefill(sequence);
            }
        }
        long prefilled = System.nanoTime();
        Matrix output = hidden.rows(0, test.batch());
        for (int step = 0; step < test.generate(); step++) {
            pass.clear();
            for (int sequence = 0; sequence < test.batch(); sequence++) {
                pass.add(sequence, test.prompt() + step, 1);
            }
            llama.forward(chosen, pass, cache, workspace, output);
            llama.logits(output, logits);
            for (int sequence = 0; sequence < test.batch(); sequence++) {
                chosen[sequence] = likeliest(rows[sequence]);
            }
        }
        long end = System.nanoTime();
        return new SpeedSample(test.prompt() == 0 ? 0 : (prefilled - start) / 1e9, (end - prefilled) / 1e9);
    }

    private void prefill(int sequence) {
        for (int from = 0; from < test.prompt(); from += chunk) {
            int count = Math.min(chunk, test.prompt() - from);
            int[] tokens = Arrays.copyOfRange(prompts[sequence], from, from + count);
            pass.clear();
            pass.add(sequence, from, count);
            Matrix output = hidden.rows(0, count);
            llama.forward(tokens, pass, cache, workspace, output);
            if (from + count == test.prompt()) {
                llama.logits(output.rows(count - 1, 1), firstLogits);
                chosen[sequence] = likeliest(firstLogits);
            }
        }
    }

    private int likeliest(Matrix row) {
        llama.backend().copyOut(row, hostLogits, 0);
        return sampler.sample(hostLogits);
    }

    /// The tokens that the latest repetition chose last, one of each sequence.
    public int[] chosen() {
        return chosen.clone();
    }

    @Override
    public void close() {
        firstLogits.close();
        logits.close();
        hidden.close();
        workspace.close();
        cache.close();
    }
}

package dev.halftone.core.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.layout.LinearWeights;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/// What every backend must reproduce: the logits that transformers computes for a tiny model of each family, whichever
/// way the tokens come. A runtime extends this and says which backend.
public abstract class LlamaParityContract {
    /// Logits are of size 1; float32 summed in another order moves them by 1e-5 at most.
    private static final float TOLERANCE = 1e-4f;

    @TempDir
    Path directory;

    private Backend backend;

    /// A backend that the contract closes after each test.
    protected abstract Backend openBackend();

    static List<String> families() {
        return GoldenFamily.NAMES;
    }

    /// What dynamic frequencies give in pieces is pinned by the test of single tokens.
    static List<String> familiesThatMayComeInPieces() {
        return families().stream().filter(name -> !name.equals("llama-dynamic")).toList();
    }

    @BeforeEach
    void open() {
        backend = openBackend();
    }

    @AfterEach
    void close() {
        backend.close();
    }

    /// Runs golden models and compares; one per family and test.
    private final class Fixture implements AutoCloseable {
        final GoldenFamily golden;
        final Checkpoint checkpoint;
        final Llama llama;
        final Workspace workspace;
        final int vocabulary;

        Fixture(String family) throws IOException {
            golden = GoldenFamily.open(family, directory);
            checkpoint = golden.checkpoint();
            llama = Llama.load(checkpoint, backend);
            workspace = llama.workspace(128);
            vocabulary = llama.config().vocabulary();
        }

        /// Logits `[batch.rows, vocabulary]` of one pass.
        float[] logits(int[] tokens, Batch batch, KvCache cache) {
            try (Matrix hidden = backend.allocate(batch.rows(), llama.config().hidden());
                    Matrix logits = backend.allocate(batch.rows(), vocabulary)) {
                llama.forward(tokens, batch, cache, workspace, hidden);
                llama.logits(hidden, logits);
                float[] values = new float[batch.rows() * vocabulary];
                backend.copyOut(logits, values, 0);
                return values;
            }
        }

        /// Compares `rows` rows of logits, from row `first` of the expected on.
        void compare(String expected, int first, int rows, float[] actual, int firstActual, String what) {
            float[] all = golden.floats(expected);
            assertTrue(actual.length >= (firstActual + rows) * vocabulary);
            for (int row = 0; row < rows; row++) {
                for (int i = 0; i < vocabulary; i++) {
                    float wanted = all[(first + row) * vocabulary + i];
                    float found = actual[(firstActual + row) * vocabulary + i];
                    assertEquals(wanted, found, TOLERANCE, what + ": row " + row + ", token " + i);
                }
            }
        }

        @Override
        public void close() {
            workspace.close();
            llama.close();
            checkpoint.close();
            golden.close();
        }
    }

    @ParameterizedTest
    @MethodSource("families")
    void matchesTransformersOverAWholeSequence(String family) throws IOException {
        try (Fixture model = new Fixture(family);
                KvCache cache = model.llama.allocateCache(1, 40)) {
            int[] tokens = model.golden.ints("tokens");
            assertEquals(40, tokens.length);
            model.compare("logits", 0, 40, model.logits(tokens, Batch.single(0, 40), cache), 0, "whole");
        }
    }

    @ParameterizedTest
    @MethodSource("families")
    void matchesTransformersTokenByToken(String family) throws IOException {
        try (Fixture model = new Fixture(family);
                KvCache cache = model.llama.allocateCache(1, 40)) {
            int[] tokens = model.golden.ints("tokens");
            float[] prompt = model.logits(tokens, Batch.single(0, 17), cache);
            model.compare("cached.logits", 0, 17, prompt, 0, "prompt");
            for (int position = 17; position < 40; position++) {
                float[] step = model.logits(new int[] {tokens[position]}, Batch.single(position, 1), cache);
                model.compare("cached.logits", position, 1, step, 0, "position " + position);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("families")
    void matchesTransformersInABatchOfUnequalLengths(String family) throws IOException {
        try (Fixture model = new Fixture(family)) {
            int[] lengths = model.golden.ints("batch.lengths");
            int[] padded = model.golden.ints("batch.tokens");
            int longest = padded.length / lengths.length;
            Batch batch = new Batch();
            int[] tokens = new int[Arrays.stream(lengths).sum()];
            for (int i = 0, next = 0; i < lengths.length; next += lengths[i], i++) {
                // Slots out of order and with gaps: the cache goes by slot, the rows by sequence.
                batch.add(2 * (lengths.length - 1 - i), 0, lengths[i]);
                System.arraycopy(padded, i * longest, tokens, next, lengths[i]);
            }
            try (KvCache cache = model.llama.allocateCache(2 * lengths.length, longest)) {
                float[] logits = model.logits(tokens, batch, cache);
                for (int i = 0, next = 0; i < lengths.length; next += lengths[i], i++) {
                    model.compare("batch.logits", i * longest, lengths[i], logits, next, "sequence " + i);
                }
            }
        }
    }

    /// Several sequences at different positions in one pass, some with one token and some with many, as a server mixes
    /// them.
    @ParameterizedTest
    @MethodSource("familiesThatMayComeInPieces")
    void continuesSequencesTogether(String family) throws IOException {
        try (Fixture model = new Fixture(family)) {
            int[] lengths = model.golden.ints("batch.lengths");
            int[] padded = model.golden.ints("batch.tokens");
            int longest = padded.length / lengths.length;
            try (KvCache cache = model.llama.allocateCache(lengths.length, longest)) {
                int[] done = new int[lengths.length];
                for (int round = 0;
                        Arrays.stream(done).sum() < Arrays.stream(lengths).sum();
                        round++) {
                    Batch batch = new Batch();
                    int[] tokens = new int[padded.length];
                    for (int i = 0; i < lengths.length; i++) {
                        int count = Math.min(1 + (round + i) * 2 % 5, lengths[i] - done[i]);
                        if (count > 0) {
                            System.arraycopy(padded, i * longest + done[i], tokens, batch.rows(), count);
                            batch.add(i, done[i], count);
                        }
                    }
                    float[] logits = model.logits(tokens, batch, cache);
                    for (int s = 0, row = 0; s < batch.size(); row += batch.count(s), s++) {
                        int i = batch.slot(s);
                        String what = "sequence " + i + " from " + done[i];
                        model.compare("batch.logits", i * longest + done[i], batch.count(s), logits, row, what);
                        done[i] += batch.count(s);
                    }
                }
            }
        }
    }

    @Test
    void forgetsALongerSequenceWhenAShorterFollows() throws IOException {
        try (Fixture model = new Fixture("llama-dynamic");
                KvCache cache = model.llama.allocateCache(1, 40)) {
            int[] tokens = model.golden.ints("tokens");
            model.logits(tokens, Batch.single(0, 40), cache);
            model.compare("short.logits", 0, 20, model.logits(tokens, Batch.single(0, 20), cache), 0, "short");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"llama3", "qwen3"})
    void showsTheSameBlockOutputsStepByStep(String family) throws IOException {
        try (Fixture model = new Fixture(family);
                KvCache cache = model.llama.allocateCache(1, 40)) {
            LlamaConfig config = model.llama.config();
            LinearWeights weights = LinearWeights.of(model.checkpoint);
            Batch batch = Batch.single(0, 40);
            model.workspace.angles().prepare(batch);
            try (Matrix hidden = backend.allocate(40, config.hidden());
                    Matrix narrow = backend.allocate(40, config.hidden());
                    Matrix attended = backend.allocate(40, InputSite.ATTENTION_OUTPUT.width(config));
                    Matrix activated = backend.allocate(40, config.intermediate())) {
                model.llama.embed(model.golden.ints("tokens"), hidden);
                for (int layer = 0; layer < config.layers(); layer++) {
                    try (DecoderBlock block = DecoderBlock.load(config, layer, weights, model.checkpoint, backend)) {
                        block.enter(hidden, narrow);
                        block.attend(narrow, batch, model.workspace.angles(), cache, layer, model.workspace, attended);
                        block.closeAttention(attended, hidden, model.workspace, narrow);
                        block.activate(narrow, model.workspace, activated);
                        block.closeMlp(activated, hidden, model.workspace);
                    }
                    float[] found = new float[40 * config.hidden()];
                    backend.copyOut(hidden, found, 0);
                    float[] wanted = model.golden.floats("hidden." + layer);
                    for (int i = 0; i < found.length; i++) {
                        assertEquals(wanted[i], found[i], TOLERANCE, "layer " + layer + ", element " + i);
                    }
                }
            }
        }
    }
}

package dev.halftone.core.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.testing.Shared;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class GenerationTest {
    @TempDir
    Path directory;

    private interface Body {
        void run(Llama llama, GoldenFamily golden) throws IOException;
    }

    private void with(String family, Backend backend, Body body) throws IOException {
        try (GoldenFamily golden = GoldenFamily.open(family, directory);
                Checkpoint checkpoint = golden.checkpoint();
                Llama llama = Llama.load(checkpoint, backend)) {
            body.run(llama, golden);
        }
    }

    private static Sampler greedy(Llama llama) {
        return new Sampler(SamplingOptions.greedy(), llama.config().vocabulary());
    }

    private static int[] write(Generation generation, Sampler sampler) {
        return IntStream.generate(() -> generation.step(sampler))
                .takeWhile(token -> token >= 0)
                .toArray();
    }

    private static float[] row(float[] logits, int row, int vocabulary) {
        return Arrays.copyOfRange(logits, row * vocabulary, (row + 1) * vocabulary);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 7, 40, 64})
    void computesAPromptInPiecesLikeTheWhole(int chunk) throws IOException {
        with("mistral", new ReferenceBackend(), (llama, golden) -> {
            try (Generation generation = new Generation(llama, 64, chunk, Set.of())) {
                assertEquals(0, generation.start(golden.ints("tokens"), 1));
                float[] wanted = row(golden.floats("logits"), 39, llama.config().vocabulary());
                assertArrayEquals(wanted, generation.logits(), 1e-4f);
                assertEquals(40, generation.position());
            }
        });
    }

    /// Beyond the original length the angles of all depend on the length of the prompt, so pieces would not do.
    @Test
    void computesAPromptAtOnceWhereTheAnglesGrow() throws IOException {
        with("llama-dynamic", new ReferenceBackend(), (llama, golden) -> {
            try (Generation generation = new Generation(llama, 64, 7, Set.of())) {
                int[] tokens = golden.ints("tokens");
                generation.start(Arrays.copyOf(tokens, 30), 1);
                assertEquals(0, generation.start(tokens, 1), "nothing of the shorter prompt fits");
                float[] wanted = row(golden.floats("logits"), 39, llama.config().vocabulary());
                assertArrayEquals(wanted, generation.logits(), 1e-4f);
                generation.start(Arrays.copyOf(tokens, 20), 1);
                wanted = row(golden.floats("short.logits"), 19, llama.config().vocabulary());
                assertArrayEquals(wanted, generation.logits(), 1e-4f);
            }
        });
    }

    @Test
    void keepsWhatPromptsHaveInCommon() throws IOException {
        with("llama3", new ReferenceBackend(), (llama, golden) -> {
            int[] tokens = golden.ints("tokens");
            try (Generation generation = new Generation(llama, 64, 16, Set.of())) {
                int[] other = Arrays.copyOf(tokens, 35);
                other[25] = (other[25] + 1) % 128;
                generation.start(other, 1);
                assertEquals(25, generation.start(tokens, 1));
                float[] wanted = row(golden.floats("logits"), 39, llama.config().vocabulary());
                assertArrayEquals(wanted, generation.logits(), 1e-4f);
                assertEquals(39, generation.start(tokens, 1), "the last token is computed again for its logits");
                assertArrayEquals(wanted, generation.logits(), 1e-4f);
            }
        });
    }

    @Test
    void continuesAConversationWithoutComputingItAgain() throws IOException {
        IdleBackend idle = new IdleBackend();
        with("llama2", idle, (llama, golden) -> {
            try (Generation generation = new Generation(llama, 64, 16, Set.of())) {
                generation.start(new int[] {5, 6, 7}, 3);
                int[] answer = write(generation, greedy(llama));
                assertEquals(3, answer.length);
                int[] turn = {5, 6, 7, answer[0], answer[1], answer[2], 9, 9};
                idle.multipliedRows = 0;
                // The last token of the answer was chosen, but never computed.
                assertEquals(5, generation.start(turn, 1));
                assertEquals(3 * 7 * 2 + 1, idle.multipliedRows);
            }
        });
    }

    @Test
    void writesWhatTheModelFindsLikeliestStepByStep() throws IOException {
        with("qwen3", new ReferenceBackend(), (llama, golden) -> {
            int[] prompt = Arrays.copyOf(golden.ints("tokens"), 9);
            int[] written;
            try (Generation generation = new Generation(llama, 64, 4, Set.of())) {
                generation.start(prompt, 6);
                written = write(generation, greedy(llama));
                assertEquals(Generation.End.TOKEN_LIMIT, generation.end());
                assertEquals(-1, generation.step(greedy(llama)));
            }
            assertEquals(6, written.length);
            int[] text = prompt.clone();
            for (int token : written) {
                try (Generation fresh = new Generation(llama, 64, 64, Set.of())) {
                    fresh.start(text, 1);
                    assertEquals(token, fresh.step(greedy(llama)));
                }
                text = Arrays.copyOf(text, text.length + 1);
                text[text.length - 1] = token;
            }
        });
    }

    @Test
    void stopsAtAnEndTokenWithoutReturningIt() throws IOException {
        with("qwen3", new ReferenceBackend(), (llama, golden) -> {
            int[] prompt = Arrays.copyOf(golden.ints("tokens"), 9);
            int[] unbounded;
            try (Generation generation = new Generation(llama, 64, 16, Set.of())) {
                generation.start(prompt, 8);
                unbounded = write(generation, greedy(llama));
            }
            int stop = unbounded[5];
            int first = IntStream.range(0, 8)
                    .filter(i -> unbounded[i] == stop)
                    .findFirst()
                    .orElseThrow();
            try (Generation generation = new Generation(llama, 64, 16, Set.of(1_000_000, stop))) {
                generation.start(prompt, 8);
                assertNull(generation.end());
                assertArrayEquals(Arrays.copyOf(unbounded, first), write(generation, greedy(llama)));
                assertEquals(Generation.End.END_TOKEN, generation.end());
            }
        });
    }

    @Test
    void stopsWhenTheCacheIsFull() throws IOException {
        with("llama2", new ReferenceBackend(), (llama, golden) -> {
            try (Generation generation = new Generation(llama, 8, 16, Set.of())) {
                generation.start(new int[] {5, 6, 7, 8, 9, 10}, 100);
                // Two fit the cache, and the last chosen token needs no room.
                assertEquals(3, write(generation, greedy(llama)).length);
                assertEquals(Generation.End.CONTEXT, generation.end());
                generation.start(new int[] {5, 6, 7, 8, 9, 10, 11, 12}, 100);
                assertEquals(1, write(generation, greedy(llama)).length);
                HalftoneException refusal =
                        assertThrows(HalftoneException.class, () -> generation.start(new int[9], 1));
                assertTrue(refusal.detail().contains("9 tokens, room for 8"), refusal.explanation());
            }
        });
    }

    @Test
    void writesNothingWhenNothingIsAskedFor() throws IOException {
        with("llama2", new ReferenceBackend(), (llama, golden) -> {
            try (Generation generation = new Generation(llama, 8, 16, Set.of())) {
                assertEquals(-1, generation.step(greedy(llama)), "not started");
                generation.start(new int[] {5}, 0);
                assertEquals(-1, generation.step(greedy(llama)));
                assertEquals(Generation.End.TOKEN_LIMIT, generation.end());
                assertThrows(IllegalArgumentException.class, () -> generation.start(new int[0], 1));
            }
        });
    }

    @Test
    void allocatesNothingPerToken() throws IOException {
        with("qwen3", new IdleBackend(), (llama, golden) -> {
            Sampler sampler = new Sampler(
                    SamplingOptions.of(1, 1).withTopP(0.9), llama.config().vocabulary());
            try (Generation generation = new Generation(llama, 4000, 16, Set.of(1_000_000))) {
                generation.start(new int[] {1, 2, 3}, 3000);
                generation.step(sampler);
                generation.step(sampler);
                ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
                threads.getCurrentThreadAllocatedBytes();
                long before = threads.getCurrentThreadAllocatedBytes();
                for (int i = 0; i < 2000; i++) {
                    generation.step(sampler);
                }
                long bytes = threads.getCurrentThreadAllocatedBytes() - before;
                assertNull(generation.end());
                assertTrue(bytes < 2000, bytes + " bytes for 2000 tokens");
            }
        });
    }

    @Test
    void tellsTheSameStoryAsTransformers() throws IOException {
        Path model = Shared.directory("models/tiny-storyteller");
        try (Checkpoint checkpoint = Checkpoint.open(model);
                Backend backend = new ReferenceBackend();
                Llama llama = Llama.load(checkpoint, backend);
                Tokenizer tokenizer = Tokenizer.of(model);
                Generation generation = new Generation(llama, 64, 32, tokenizer.endTokens())) {
            int[] prompt = tokenizer.encodeWithBos("Once upon a time there was a little");
            generation.start(prompt, 12);
            StreamingDecoder decoder = tokenizer.streamingDecoder(prompt);
            StringBuilder story = new StringBuilder();
            for (int token : write(generation, greedy(llama))) {
                story.append(decoder.push(token));
            }
            story.append(decoder.flush());
            assertEquals(" boat. The wind was a small frog named Oskar. Oskar", story.toString());
        }
    }
}

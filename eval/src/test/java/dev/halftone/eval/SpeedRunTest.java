package dev.halftone.eval;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.model.Generation;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.Sampler;
import dev.halftone.core.model.SamplingOptions;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.testing.SyntheticCheckpoint;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SpeedRunTest {
    @TempDir
    Path folder;

    private interface Use {
        void of(Llama llama);
    }

    private void withModel(Use use) throws IOException {
        Path model = folder.resolve("model");
        SyntheticCheckpoint.write(model, SyntheticCheckpoint.tinyConfig(), DType.F32, 3);
        try (Checkpoint checkpoint = Checkpoint.open(model);
                Backend backend = new ReferenceBackend();
                Llama llama = Llama.load(checkpoint, backend)) {
            use.of(llama);
        }
    }

    private static int[] chosen(Llama llama, SpeedTest test, int chunk) {
        try (SpeedRun run = new SpeedRun(llama, test, chunk)) {
            run.repeat();
            return run.chosen();
        }
    }

    /// What is timed is what generation computes.
    @Test
    void choosesTheTokensThatGenerationDoes() throws IOException {
        withModel(llama -> {
            int[] timed = chosen(llama, new SpeedTest(0, 6, 1), 4);
            try (Generation generation = new Generation(llama, 16, 4, Set.of())) {
                Sampler sampler =
                        new Sampler(SamplingOptions.greedy(), llama.config().vocabulary());
                generation.start(new int[] {0}, 6);
                int token = -1;
                for (int step = 0; step < 6; step++) {
                    token = generation.step(sampler);
                }
                assertArrayEquals(new int[] {token}, timed);
            }
        });
    }

    @Test
    void aPromptInChunksIsThePromptAtOnce() throws IOException {
        withModel(llama -> {
            SpeedTest test = new SpeedTest(11, 5, 2);
            assertArrayEquals(chosen(llama, test, 11), chosen(llama, test, 4));
        });
    }

    @Test
    void everyRepetitionComputesTheSame() throws IOException {
        withModel(llama -> {
            try (SpeedRun run = new SpeedRun(llama, new SpeedTest(3, 4, 3), 8)) {
                run.repeat();
                int[] first = run.chosen();
                run.repeat();
                assertArrayEquals(first, run.chosen());
                assertEquals(3, first.length);
            }
        });
    }

    @Test
    void timesPromptAndGenerationApart() throws IOException {
        withModel(llama -> {
            try (SpeedRun both = new SpeedRun(llama, new SpeedTest(4, 4, 1), 8);
                    SpeedRun generation = new SpeedRun(llama, new SpeedTest(0, 4, 1), 8);
                    SpeedRun prompt = new SpeedRun(llama, new SpeedTest(4, 0, 1), 8)) {
                SpeedSample sample = both.repeat();
                assertTrue(sample.firstToken() > 0 && sample.generation() > 0);
                assertEquals(0, generation.repeat().firstToken());
                assertTrue(prompt.repeat().firstToken() > prompt.repeat().generation());
            }
        });
    }
}

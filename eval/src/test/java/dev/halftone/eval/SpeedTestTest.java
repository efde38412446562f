package dev.halftone.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.testing.SyntheticCheckpoint;
import java.util.List;
import org.junit.jupiter.api.Test;

class SpeedTestTest {
    @Test
    void isNamedAsLlamaBenchDoes() {
        assertEquals("pp512", new SpeedTest(512, 0, 1).name());
        assertEquals("tg128", new SpeedTest(0, 128, 1).name());
        assertEquals("pp512+tg128", new SpeedTest(512, 128, 1).name());
        assertEquals("tg128 x8", new SpeedTest(0, 128, 8).name());
    }

    @Test
    void refusesToMeasureNothing() {
        assertThrows(IllegalArgumentException.class, () -> new SpeedTest(0, 0, 1));
        assertThrows(IllegalArgumentException.class, () -> new SpeedTest(1, 1, 0));
        assertThrows(IllegalArgumentException.class, () -> new SpeedTest(-1, 5, 1));
    }

    /// Counted by hand for 3 blocks of 64 columns, 4 heads of 16, 2 key/value heads, 96 in between, 96 tokens known.
    @Test
    void countsTheOperationsOfAPrompt() {
        LlamaConfig config = LlamaConfig.of(SyntheticCheckpoint.tinyConfig());
        double linears = 3 * (64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 64 * 96);
        double keys = 1 + 2 + 3 + 4 + 5;
        double attention = 3 * 2 * keys * 64;
        double logits = 64 * 96;
        assertEquals(2 * (5 * linears + attention + logits), new SpeedTest(5, 7, 1).promptOperations(config));
        assertEquals(2 * 2 * (5 * linears + attention + logits), new SpeedTest(5, 7, 2).promptOperations(config));
        assertEquals(0, new SpeedTest(0, 7, 1).promptOperations(config));
    }

    @Test
    void countsOnlyTheKeysInsideASlidingWindow() {
        ObjectNode narrow = SyntheticCheckpoint.tinyConfig();
        narrow.put("model_type", "mistral").put("sliding_window", 2);
        narrow.putArray("architectures").add("MistralForCausalLM");
        double all = new SpeedTest(5, 0, 1).promptOperations(LlamaConfig.of(SyntheticCheckpoint.tinyConfig()));
        double some = new SpeedTest(5, 0, 1).promptOperations(LlamaConfig.of(narrow));
        // Tokens see 1, 2, 2, 2, 2 keys in place of 1, 2, 3, 4, 5.
        assertEquals(3 * 4 * (15 - 9) * 64, all - some);
    }

    @Test
    void averagesRepetitions() {
        SpeedTest test = new SpeedTest(30, 10, 1);
        SpeedResult result = new SpeedResult(test, List.of(new SpeedSample(0.5, 0.5), new SpeedSample(1, 1)), 3, true);
        assertEquals(30, result.tokensPerSecond(), 1e-12);
        assertEquals(10 * Math.sqrt(2), result.deviation(), 1e-12);
        assertEquals(0.75, result.firstToken(), 1e-12);
        assertEquals(0.075, result.step(), 1e-12);
    }

    @Test
    void isSteadyOnceTwoRepetitionsBringNothing() {
        Steadiness steadiness = new Steadiness();
        for (double seconds : new double[] {9, 5, 4, 3, 2.95}) {
            assertFalse(steadiness.add(seconds), "after " + seconds);
        }
        assertTrue(steadiness.add(4), "the second in a row without a gain of three per cent");
        assertEquals(6, steadiness.repetitions());
    }
}

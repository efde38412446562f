package dev.halftone.core.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.ReferenceBackend;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

class RotaryAnglesTest {
    private final Backend backend = new ReferenceBackend();

    private static double[] frequencies(RotaryScaling scaling, double theta, int headSize, int length) {
        double[] frequencies = new double[headSize / 2];
        scaling.frequencies(theta, headSize, length, frequencies);
        return frequencies;
    }

    private static LlamaConfig config(String ropeType) {
        ObjectNode config = JsonNodeFactory.instance.objectNode();
        config.put("model_type", "llama").put("hidden_size", 16).put("intermediate_size", 16);
        config.put("num_hidden_layers", 1).put("num_attention_heads", 2).put("vocab_size", 32);
        config.put("max_position_embeddings", 8);
        config.putObject("rope_scaling").put("rope_type", ropeType).put("factor", 2);
        return LlamaConfig.of(config);
    }

    private float[] cosines(RotaryAngles angles) {
        Matrix matrix = angles.cosines();
        float[] values = new float[matrix.rows() * matrix.columns()];
        backend.copyOut(matrix, values, 0);
        return values;
    }

    @Test
    void fallsGeometricallyWithTheColumn() {
        assertArrayEquals(
                new double[] {1, 0.1, 0.01, 0.001}, frequencies(new RotaryScaling.None(), 10_000, 8, 5), 1e-15);
        assertArrayEquals(
                new double[] {0.25, 0.025, 0.0025, 0.00025},
                frequencies(new RotaryScaling.Linear(4), 10_000, 8, 5),
                1e-15);
    }

    @Test
    void keepsShortWavesAndStretchesLongOnesAsLlama3Does() {
        double[] plain = frequencies(new RotaryScaling.None(), 500_000, 128, 0);
        double[] scaled = frequencies(new RotaryScaling.Llama3(8, 1, 4, 8192), 500_000, 128, 0);
        int blended = 0;
        for (int i = 0; i < 64; i++) {
            double wave = 2 * Math.PI / plain[i];
            if (wave < 8192 / 4.0) {
                assertEquals(plain[i], scaled[i]);
            } else if (wave > 8192) {
                assertEquals(plain[i] / 8, scaled[i]);
            } else {
                double smooth = (8192 / wave - 1) / 3;
                assertEquals((1 - smooth) * plain[i] / 8 + smooth * plain[i], scaled[i], 1e-15);
                blended++;
            }
        }
        assertEquals(6, blended);
    }

    @Test
    void growsTheBaseOnlyBeyondTheOriginalLength() {
        RotaryScaling dynamic = new RotaryScaling.Dynamic(2, 24);
        double[] plain = frequencies(new RotaryScaling.None(), 10_000, 8, 0);
        assertArrayEquals(plain, frequencies(dynamic, 10_000, 8, 24));
        double base = 10_000 * Math.pow(2 * 36 / 24.0 - 1, 8 / 6.0);
        assertArrayEquals(
                frequencies(new RotaryScaling.None(), base, 8, 0), frequencies(dynamic, 10_000, 8, 36), 1e-15);
    }

    @Test
    void turnsEachSequenceOfABatchByItsOwnLengthAndPositions() {
        LlamaConfig config = config("dynamic");
        try (RotaryAngles together = new RotaryAngles(backend, config, 16);
                RotaryAngles alone = new RotaryAngles(backend, config, 16)) {
            together.prepare(new Batch().add(0, 9, 2).add(1, 3, 1));
            float[] all = cosines(together);
            assertEquals(3 * 4, all.length);
            alone.prepare(Batch.single(9, 2));
            assertArrayEquals(Arrays.copyOf(all, 8), cosines(alone));
            alone.prepare(Batch.single(3, 1));
            assertArrayEquals(Arrays.copyOfRange(all, 8, 12), cosines(alone));
            assertEquals((float) Math.cos(3), all[8]);
        }
    }

    @Test
    void handsOutTheSameViewForTheSameNumberOfRows() {
        try (RotaryAngles angles = new RotaryAngles(backend, config("linear"), 16)) {
            angles.prepare(Batch.single(0, 1));
            Matrix first = angles.cosines();
            angles.prepare(Batch.single(1, 1));
            assertSame(first, angles.cosines());
        }
    }
}

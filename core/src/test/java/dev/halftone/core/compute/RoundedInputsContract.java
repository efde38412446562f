package dev.halftone.core.compute;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.testing.Shared;
import dev.halftone.core.weight.Weight;
import java.io.IOException;
import java.io.InputStream;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Linears of files whose inputs are to be rounded put out what they do in transformers with compressed-tensors, for
/// inputs of which many lie on the edge between two codes (`tools/golden/rounded_inputs.py`).
public abstract class RoundedInputsContract {
    private static final int ROWS = 4;

    /// A backend that is closed after each test.
    protected abstract Backend open();

    /// The script's formula, exact in float32.
    private static float[] inputs(int columns) {
        float[] values = new float[ROWS * columns];
        for (int row = 0; row < ROWS; row++) {
            float factor = new float[] {1, 1, 8, 0}[row];
            for (int column = 0; column < columns; column++) {
                values[row * columns + column] = ((31 * row + 17 * column) % 97 - 48) / 16f * factor;
            }
        }
        return values;
    }

    private static JsonNode expected(String folder) throws IOException {
        try (InputStream file = RoundedInputsContract.class.getResourceAsStream("/golden/rounded-inputs.json")) {
            return new ObjectMapper().readTree(file).get(folder);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"ct-sq-gptq-w8a8", "ct-w8a8-static"})
    void roundsAsTheOriginalToolDoes(String folder) throws IOException {
        try (Backend backend = open();
                Checkpoint checkpoint =
                        Checkpoint.open(Shared.directory("golden").resolve(folder))) {
            LinearWeights weights = LinearWeights.of(checkpoint);
            for (Map.Entry<String, JsonNode> linear : expected(folder).properties()) {
                float[] found = outputs(backend, weights.weight(linear.getKey()));
                int outputs = found.length / ROWS;
                for (int row = 0; row < ROWS; row++) {
                    JsonNode values = linear.getValue().get(row);
                    for (int output = 0; output < values.size(); output++) {
                        double value = values.get(output).doubleValue();
                        // Sums of products of floats there, of integers here.
                        assertEquals(
                                value, found[row * outputs + output], 2e-6 * (50 + Math.abs(value)), linear.getKey());
                    }
                }
            }
        }
    }

    private static float[] outputs(Backend backend, Weight weight) {
        try (Linear linear = backend.bind(weight, null);
                Matrix x = backend.allocate(ROWS, weight.inputs());
                Matrix y = backend.allocate(ROWS, weight.outputs())) {
            backend.copyIn(inputs(weight.inputs()), 0, x);
            linear.multiply(x, y);
            float[] values = new float[ROWS * weight.outputs()];
            backend.copyOut(y, values, 0);
            return values;
        }
    }
}

package dev.halftone.core.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SamplingOptionsTest {
    @ParameterizedTest
    @CsvSource({
        "-0.1, 0, 1, 0, temperature",
        "NaN, 0, 1, 0, temperature",
        "Infinity, 0, 1, 0, temperature",
        "1, -1, 1, 0, top-k",
        "1, 0, 0, 0, top-p",
        "1, 0, 1.01, 0, top-p",
        "1, 0, NaN, 0, top-p",
        "1, 0, 1, -0.5, min-p",
        "1, 0, 1, 1, min-p",
    })
    void refusesWhatMakesNoDistribution(double temperature, int topK, double topP, double minP, String named) {
        HalftoneException refusal =
                assertThrows(HalftoneException.class, () -> new SamplingOptions(temperature, topK, topP, minP, 0));
        assertEquals(HalftoneException.Kind.USAGE, refusal.kind());
        assertTrue(refusal.getMessage().startsWith(named), refusal.explanation());
    }

    @Test
    void changesOneThingAtATime() {
        assertEquals(
                new SamplingOptions(0.7, 40, 0.9, 0.05, 3),
                SamplingOptions.of(0.7, 3).withTopK(40).withTopP(0.9).withMinP(0.05));
    }
}

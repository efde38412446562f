package dev.halftone.core.convert;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.model.RotaryScaling;
import dev.halftone.core.model.RotaryScaling.Llama3;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RotaryFactorsTest {
    private static final double THETA = 500_000;

    /// The rule in the words of those who write such files: by wavelengths.
    @Test
    void followsTheRuleOfLlama31() {
        float[] factors = RotaryFactors.of(new Llama3(8, 1, 4, 8192), THETA, 128);
        assertEquals(64, factors.length);
        for (int i = 0; i < 64; i++) {
            double wavelength = 2 * Math.PI * Math.pow(THETA, i / 64.0);
            double t = (8192 / wavelength - 1) / (4 - 1);
            double expected = wavelength < 8192 / 4.0 ? 1 : wavelength > 8192 ? 8 : 1 / ((1 - t) / 8 + t);
            assertEquals(expected, factors[i], 1e-5, "pair " + i);
        }
        assertTrue(factors[33] > 1.01 && factors[33] < 7.9, "a pair between the bounds");
    }

    /// The models of Meta, and rules that nobody uses.
    @ParameterizedTest
    @CsvSource({
        "8, 4, 8192, 128",
        "32, 4, 8192, 64",
        "8, 4, 8192, 64",
        "4, 4, 4096, 80",
        "16, 2.5, 6000, 128",
        "2, 8, 10000, 128"
    })
    void recoversTheRule(double factor, double high, int original, int headSize) {
        Llama3 rule = new Llama3(factor, 1, high, original);
        assertEquals(Optional.of(rule), RotaryFactors.rule(RotaryFactors.of(rule, THETA, headSize), THETA, headSize));
    }

    @Test
    void recoversARuleThatMeansTheSameWhereTheLowerBoundIsNotOne() {
        float[] factors = RotaryFactors.of(new Llama3(8, 2, 8, 8192), THETA, 128);
        Llama3 found = RotaryFactors.rule(factors, THETA, 128).orElseThrow();
        assertEquals(new Llama3(8, 1, 4, 4096), found);
    }

    @Test
    void findsNoRuleWhereThereIsNone() {
        float[] rising = new float[64];
        for (int i = 0; i < rising.length; i++) {
            rising[i] = 1 + i / 8f;
        }
        assertEquals(Optional.empty(), RotaryFactors.rule(rising, THETA, 128));
        float[] broken = RotaryFactors.of(new Llama3(8, 1, 4, 8192), THETA, 128);
        broken[5] = Float.NaN;
        assertEquals(Optional.empty(), RotaryFactors.rule(broken, THETA, 128));
        broken[5] = 1.01f;
        assertEquals(Optional.empty(), RotaryFactors.rule(broken, THETA, 128));
        broken[5] = 0;
        assertEquals(Optional.empty(), RotaryFactors.rule(broken, THETA, 128));
    }

    @Test
    void leavesUnscaledHeadsAlone() {
        for (float factor : RotaryFactors.of(new RotaryScaling.None(), THETA, 64)) {
            assertEquals(1f, factor);
        }
    }
}

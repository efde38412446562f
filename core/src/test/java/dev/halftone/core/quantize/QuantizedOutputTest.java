package dev.halftone.core.quantize;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class QuantizedOutputTest {
    /// Sixteen mebibytes, and one byte more.
    @ParameterizedTest
    @CsvSource({
        "16777216, 1, 1000, true",
        "16777217, 24999, 1000, false",
        "16777217, 25000, 1000, true",
        "16777217, 5, 0, true"
    })
    void keepsWhatIsLargeOnlyWhenThatTakesAShareOfTheTime(long bytes, long since, long took, boolean expected) {
        assertEquals(expected, QuantizedOutput.isWorthKeeping(bytes, since, took));
    }
}

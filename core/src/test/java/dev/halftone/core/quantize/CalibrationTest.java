package dev.halftone.core.quantize;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CalibrationTest {
    private static final int[] TOKENS = IntStream.range(0, 11).toArray();

    @Test
    void takesTheFirstDisjointWindows() {
        Calibration calibration = Calibration.of("abc", TOKENS, 2, 4);

        assertEquals(2, calibration.windows().size());
        assertArrayEquals(new int[] {0, 1, 2, 3}, calibration.windows().get(0));
        assertArrayEquals(new int[] {4, 5, 6, 7}, calibration.windows().get(1));
    }

    @Test
    void countsUsedAndDroppedTokensAndHashesTheText() {
        Calibration.Facts facts = Calibration.of("abc", TOKENS, 2, 4).facts();

        assertEquals(8, facts.tokens());
        assertEquals(3, facts.dropped());
        assertEquals(11, facts.textTokens());
        // The first example of FIPS 180-2.
        assertEquals("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", facts.textSha256());
    }

    @Test
    void isNamedByTheHashOfTheFileThatItCameFrom() {
        assertEquals(
                "c0ffee", Calibration.ofHashed("c0ffee", TOKENS, 2, 4).facts().textSha256());
    }

    @Test
    void tellsHowManyWindowsATextThatIsTooShortHas() {
        HalftoneException refusal = assertThrows(HalftoneException.class, () -> Calibration.of("abc", TOKENS, 3, 4));

        assertEquals(HalftoneException.Kind.INPUT, refusal.kind());
        assertEquals("3 windows of 4 tokens need 12, the text has 11 (2 windows)", refusal.detail());
        assertTrue(refusal.remedy().contains("at most 2 windows"), refusal.remedy());
    }

    @Test
    void asksForShorterWindowsWhenNotOneFits() {
        HalftoneException refusal = assertThrows(HalftoneException.class, () -> Calibration.of("abc", TOKENS, 1, 12));

        assertTrue(refusal.remedy().startsWith("shorter windows"), refusal.remedy());
    }

    @ParameterizedTest
    @CsvSource({"0, 4", "2, 0", "-1, 4"})
    void refusesToTakeNothing(int samples, int length) {
        HalftoneException refusal =
                assertThrows(HalftoneException.class, () -> Calibration.of("abc", TOKENS, samples, length));

        assertEquals(HalftoneException.Kind.USAGE, refusal.kind());
    }

    @Test
    void refusesWindowsThatContradictTheirFacts() {
        Calibration.Facts facts = new Calibration.Facts(1, 4, 4, "");

        assertThrows(IllegalArgumentException.class, () -> new Calibration(List.of(new int[3]), facts));
    }
}

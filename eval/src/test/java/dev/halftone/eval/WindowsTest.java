package dev.halftone.eval;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class WindowsTest {
    @Test
    void dropsTheTail() {
        Windows windows = Windows.of(new int[] {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 4, 100);
        assertEquals(2, windows.count());
        assertArrayEquals(new int[] {4, 5, 6, 7}, windows.window(1));
    }

    @Test
    void usesNoMoreWindowsThanAsked() {
        assertEquals(3, Windows.of(new int[100], 10, 3).count());
    }

    @Test
    void refusesATextShorterThanAWindow() {
        HalftoneException fault = assertThrows(HalftoneException.class, () -> Windows.of(new int[9], 10, 3));
        assertTrue(fault.detail().contains("9 tokens"), fault.detail());
    }

    @Test
    void refusesAWindowThatScoresNothing() {
        assertThrows(HalftoneException.class, () -> Windows.of(new int[9], 1, 3));
    }

    @ParameterizedTest
    @CsvSource({"HF2048, 2048, 2047", "PLAIN, 512, 511", "LLAMA512, 512, 255", "LLAMA512, 2048, 1023"})
    void scoresAsManyTokensAsTheProtocolSays(Protocol protocol, int context, int predictions) {
        assertEquals(predictions, context - protocol.firstScored(context));
    }

    @Test
    void knowsProtocolsByTheirSpelling() {
        assertEquals(Protocol.LLAMA512, Protocol.of("llama512"));
        assertTrue(assertThrows(IllegalArgumentException.class, () -> Protocol.of("wikitext"))
                .getMessage()
                .contains("hf2048"));
    }
}

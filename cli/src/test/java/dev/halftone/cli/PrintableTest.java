package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import org.junit.jupiter.api.Test;

class PrintableTest {
    @Test
    void leavesOrdinaryTextAlone() {
        String text = "model.layers.0 — é 漢 🦙";
        assertSame(text, Printable.line(text));
    }

    @Test
    void showsWhatATerminalWouldObey() {
        assertEquals("a\\u001b[2Jb", Printable.line("a\u001b[2Jb"));
        assertEquals("a\\u009b31mb\\u007f", Printable.line("a\u009b31mb\u007f"));
        assertEquals("x\\r\\ny\\t", Printable.line("x\r\ny\t"));
    }

    @Test
    void showsWhatWouldTurnALineAround() {
        assertEquals("\\u202egpj.exe", Printable.line("\u202egpj.exe"));
        assertEquals("\\u2067a", Printable.line("\u2067a"));
    }

    @Test
    void keepsTheLayoutOfWhatAModelSays() {
        assertEquals("a\n\tb\\u0007", Printable.text("a\n\tb\u0007"));
    }
}

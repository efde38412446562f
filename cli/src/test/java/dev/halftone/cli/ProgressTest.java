package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

class ProgressTest {
    private static final long SECOND = 1_000_000_000L;

    private final ByteArrayOutputStream err = new ByteArrayOutputStream();
    private final AtomicLong clock = new AtomicLong();
    private final GlobalOptions options = new GlobalOptions();

    private Progress progress(boolean terminal) {
        Environment environment = new Environment(null, terminal, terminal, 80, false);
        Console console =
                new Console(Invocation.print(new ByteArrayOutputStream()), Invocation.print(err), environment, options);
        return new Progress(console, "Scoring", clock::get);
    }

    private String written() {
        return err.toString(StandardCharsets.UTF_8);
    }

    @Test
    void writesALineEveryTenSecondsToAFile() {
        Progress progress = progress(false);
        for (int second = 1; second <= 25; second++) {
            clock.set(second * SECOND);
            progress.update(second, 50, "window " + second + "/50");
        }
        assertEquals("""
            Scoring 20 % · window 10/50 · 10 s < 40 s
            Scoring 40 % · window 20/50 · 20 s < 30 s
            """, written().replace("\r\n", "\n"));
    }

    @Test
    void writesOverOneLineOnATerminal() {
        Progress progress = progress(true);
        progress.update(1, 4, "window 1/4");
        clock.set(SECOND / 20);
        progress.update(2, 4, "window 2/4");
        clock.set(SECOND);
        progress.update(2, 4, "window 2/4");
        progress.hide();
        assertEquals(3, written().split("\r", -1).length - 1, written());
        assertTrue(written().contains(" 50 % · window 2/4 · 1.0 s < 1.0 s"), written());
        assertTrue(written().endsWith("\r\u001b[K"), "the line is removed at the end");
    }

    @Test
    void staysInsideTheTerminal() {
        progress(true).update(1, 4, "x".repeat(200));
        assertEquals(1 + 79 + 3, written().length());
    }

    @Test
    void keepsQuietUnderQ() {
        options.quiet = true;
        Progress progress = progress(true);
        clock.set(60 * SECOND);
        progress.update(1, 2, "");
        assertEquals("", written());
    }
}

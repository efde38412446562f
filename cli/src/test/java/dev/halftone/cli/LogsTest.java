package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class LogsTest {
    private static String logged(Level level, String message, Object... parameters) {
        Logger logger = new Logs().getLogger("test", LogsTest.class.getModule());
        PrintStream before = System.err;
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        System.setErr(Invocation.print(err));
        try {
            logger.log(level, message, parameters);
        } finally {
            System.setErr(before);
        }
        return err.toString(StandardCharsets.UTF_8);
    }

    @Test
    void isWhatThePlatformUses() {
        assertSame(Logs.class, System.LoggerFinder.getLoggerFinder().getClass());
    }

    @Test
    void writesWarningsAsOneLine() {
        assertEquals(
                "warning: 'a\\u001b' is old" + System.lineSeparator(),
                logged(Level.WARNING, "''{0}'' is old", "a\u001b"));
    }

    @Test
    void leavesBracesWithoutParametersAlone() {
        assertEquals("warning: it's {0}" + System.lineSeparator(), logged(Level.ERROR, "it's {0}"));
    }

    @Test
    void keepsTheRestToItself() {
        assertEquals("", logged(Level.INFO, "all well"));
        assertFalse(new Logs().getLogger("test", LogsTest.class.getModule()).isLoggable(Level.DEBUG));
    }
}

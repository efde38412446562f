package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class HelpTest {
    private static void assertFits(Invocation help, int mostLines) {
        assertEquals(0, help.status());
        assertEquals("", help.err());
        List<String> wide =
                help.out().lines().filter(line -> line.length() > 80).toList();
        assertEquals(List.of(), wide);
        assertTrue(help.out().lines().count() <= mostLines, help.out());
    }

    @ParameterizedTest
    @EnumSource(Commands.class)
    void everyCommandExplainsItselfOnOneScreenButForTheOneWithAllTheMethods(Commands command) {
        Invocation help = Invocation.of(command.word(), "--help");
        assertFits(help, command.word().equals("quantize") ? 110 : 40);
        assertTrue(help.out().startsWith("Usage: halftone " + command.word()), help.out());
    }

    @Test
    void theOverviewFitsOneScreenAndNamesEveryCommand() {
        Invocation help = Invocation.of("--help");
        assertFits(help, 40);
        for (Commands command : Commands.values()) {
            assertTrue(help.out().contains("  " + command.word() + " "), help.out());
        }
    }

    @Test
    void noWordsAtAllShowTheOverview() {
        assertEquals(Invocation.of("--help"), Invocation.of());
    }

    @Test
    void theVersionIsOneLine() {
        Invocation version = Invocation.of("--version");
        assertEquals(0, version.status());
        assertTrue(version.out().matches("halftone \\S+ on Java \\S+\\R"), version.out());
    }
}

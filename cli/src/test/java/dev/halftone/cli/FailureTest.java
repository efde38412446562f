package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.io.ByteArrayOutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.util.Map;
import org.junit.jupiter.api.Test;

class FailureTest {
    private static String print(Failure failure, boolean trace) {
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        failure.print(Invocation.print(err), trace);
        return err.toString(StandardCharsets.UTF_8).replace("\r\n", "\n");
    }

    @Test
    void everyKindHasItsExitStatus() {
        Map<Kind, Integer> statuses =
                Map.of(Kind.USAGE, 2, Kind.INPUT, 3, Kind.RESOURCES, 4, Kind.NUMERICS, 6, Kind.OUTPUT_TAKEN, 9);
        for (Kind kind : Kind.values()) {
            Failure failure = Failure.of(new HalftoneException(kind, "what", null, null));
            assertEquals(statuses.get(kind), failure.status(), kind.name());
        }
    }

    @Test
    void writesThreeLines() {
        Failure failure = Failure.of(new HalftoneException(Kind.INPUT, "no model at 'x'", "found a file", "a folder"));
        assertEquals("error: no model at 'x'\n  found a file\n  try: a folder\n", print(failure, false));
    }

    @Test
    void showsTheTraceOnlyWhenAsked() {
        Failure failure = Failure.of(new HalftoneException(Kind.INPUT, "what", null, null));
        assertFalse(print(failure, false).contains("\tat "));
        assertTrue(print(failure, true).contains("\tat "));
    }

    @Test
    void makesControlCharactersOfAModelVisible() {
        Failure failure = Failure.of(new HalftoneException(Kind.INPUT, "tensor 'a\u001b[31m\nb'", null, null));
        assertEquals("error: tensor 'a\\u001b[31m\\nb'\n", print(failure, false));
    }

    @Test
    void saysWhichFileCannotBeUsed() {
        assertEquals(
                3,
                Failure.of(new UncheckedIOException(new NoSuchFileException("a")))
                        .status());
        assertEquals("no file at 'a'", Failure.of(new NoSuchFileException("a")).what());
        assertEquals(
                "is a folder",
                Failure.of(new FileSystemException("a", null, "is a folder")).detail());
        assertEquals(3, Failure.of(new AccessDeniedException("a")).status());
        assertEquals(
                "no permission for 'a'",
                Failure.of(new AccessDeniedException("a")).what());
    }

    @Test
    void countsMemoryAmongTheResources() {
        Failure failure = Failure.of(new OutOfMemoryError("Java heap space"));
        assertEquals(4, failure.status());
        assertTrue(failure.remedy().contains("HALFTONE_OPTS=-Xmx"), failure.remedy());
    }

    @Test
    void callsEverythingElseAFaultOfItsOwnAndSaysHowToGetTheTrace() {
        Failure failure = Failure.of(new IllegalStateException("broken"));
        assertEquals(1, failure.status());
        assertTrue(failure.what().contains("broken"), failure.what());
        assertTrue(failure.remedy().contains("-v"), failure.remedy());
    }
}

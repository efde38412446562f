package dev.halftone.cli;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.util.Locale;

/// How a fault ends a command: exit status, kind, and up to three lines.
///
/// @param status exit status
/// @param kind   word for scripts: `usage`, `input`, `resources`, `numerics`, `output-taken`, `internal`
/// @param what   fault and place
/// @param detail found and expected, or null
/// @param remedy what to do, or null
/// @param cause  for the trace under `-v`
record Failure(int status, String kind, String what, String detail, String remedy, Throwable cause) {
    static final int INTERNAL = 1;
    static final int USAGE = 2;
    static final int INTERRUPTED = 130;

    private static int status(Kind kind) {
        return switch (kind) {
            case USAGE -> USAGE;
            case INPUT -> 3;
            case RESOURCES -> 4;
            case NUMERICS -> 6;
            case OUTPUT_TAKEN -> 9;
        };
    }

    static Failure of(Throwable fault) {
        return switch (fault) {
            case HalftoneException e -> of(e.kind(), e.getMessage(), e.detail(), e.remedy(), e);
            case UncheckedIOException e -> of(e.getCause());
            case IOException e -> of(e);
            case OutOfMemoryError e -> {
                String limit = Figures.bytes(Runtime.getRuntime().maxMemory());
                yield of(
                        Kind.RESOURCES,
                        "out of memory: " + e.getMessage(),
                        "the JVM's heap may grow to " + limit + " here",
                        "HALFTONE_OPTS=-Xmx<size> for a larger heap, or shorter and fewer windows",
                        e);
            }
            default ->
                new Failure(
                        INTERNAL,
                        "internal",
                        "internal fault: " + fault,
                        null,
                        "the same command with -v, and report the trace it prints",
                        fault);
        };
    }

    private static Failure of(Kind kind, String what, String detail, String remedy, Throwable cause) {
        String word = kind.name().toLowerCase(Locale.ROOT).replace('_', '-');
        return new Failure(status(kind), word, what, detail, remedy, cause);
    }

    private static Failure of(IOException e) {
        return switch (e) {
            case NoSuchFileException missing ->
                of(Kind.INPUT, "no file at '" + missing.getFile() + "'", null, "check the path", e);
            case AccessDeniedException denied ->
                of(Kind.INPUT, "no permission for '" + denied.getFile() + "'", null, "check owner and rights", e);
            case FileSystemException file ->
                of(Kind.INPUT, "cannot use '" + file.getFile() + "'", file.getReason(), "check the path", e);
            default -> of(Kind.INPUT, "reading or writing failed: " + e.getMessage(), null, "check the disk", e);
        };
    }

    /// Writes the lines, with everything a terminal might obey made visible.
    void print(PrintStream err, boolean trace) {
        err.println("error: " + Printable.line(what));
        if (detail != null) {
            err.println("  " + Printable.line(detail));
        }
        if (remedy != null) {
            err.println("  try: " + Printable.line(remedy));
        }
        if (trace && cause != null) {
            cause.printStackTrace(err);
        }
        err.flush();
    }
}

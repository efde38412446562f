package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import dev.halftone.core.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/// What a signal leaves of a run: its finished blocks, and nothing where the output is to be.
@DisabledOnOs(value = OS.WINDOWS, disabledReason = "signals are sent with kill")
class SignalTest {
    private static final String MODEL =
            Shared.root().resolve("models/tiny-storyteller").toString();

    @TempDir
    Path folder;

    private Launched quantizing() throws IOException {
        return Launched.start(
                "quantize", MODEL, folder.resolve("out").toString(), "--calibration-length", "512", "--threads", "1");
    }

    private void assertTheSameCommandGoesOn() throws Exception {
        try (var left = Files.list(folder)) {
            assertEquals(List.of(folder.resolve(".out.partial")), left.toList());
        }
        try (Launched run = quantizing()) {
            assertEquals(0, run.await(), run.err());
            assertTrue(run.err().contains("going on with an interrupted run: "), run.err());
            assertFalse(run.out().contains("    0  q_proj "), run.out());
            assertTrue(run.out().contains("28 of 28 linears restore"), run.out());
        }
        try (var left = Files.list(folder)) {
            assertEquals(List.of(folder.resolve("out")), left.toList());
        }
    }

    private static void assertSaysHowToGoOn(Launched run) {
        assertTrue(run.err().contains("stopped; nothing was published; "), run.err());
        assertTrue(run.err().stripTrailing().endsWith(".out.partial': the same command goes on from there"), run.err());
    }

    /// A process started in the background of a script is told to ignore SIGINT, and so are its children.
    private static boolean ignoresInterrupts() throws IOException {
        Path status = Path.of("/proc/self/status");
        if (!Files.isReadable(status)) {
            return false;
        }
        long ignored = Files.readAllLines(status).stream()
                .filter(line -> line.startsWith("SigIgn:"))
                .mapToLong(line -> Long.parseUnsignedLong(line.substring(7).strip(), 16))
                .findFirst()
                .orElse(0);
        return (ignored & 1L << 2 - 1) != 0;
    }

    @Test
    void anInterruptedRunPublishesNothingAndEndsWith130() throws Exception {
        if (ignoresInterrupts()) {
            System.out.println("Skipped: the test of SIGINT, which this process was started to ignore");
        }
        assumeFalse(ignoresInterrupts(), "this process ignores SIGINT");
        try (Launched run = quantizing()) {
            run.awaitOut("    1  q_proj ");
            run.signal("INT");
            assertEquals(130, run.await(), run.err());
            assertSaysHowToGoOn(run);
            assertFalse(run.err().contains("error"), run.err());
        }
        assertTheSameCommandGoesOn();
    }

    @Test
    void aTerminatedRunPublishesNothingAndEndsWith143() throws Exception {
        try (Launched run = quantizing()) {
            run.awaitOut("    1  q_proj ");
            run.signal("TERM");
            assertEquals(143, run.await(), run.err());
            assertSaysHowToGoOn(run);
        }
        assertTheSameCommandGoesOn();
    }
}

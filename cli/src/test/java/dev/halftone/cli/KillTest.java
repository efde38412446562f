package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Conversions that are killed as `kill -9` does it, at random moments from the start of the process to its end. How
/// often is told by the property `halftone.kills`, the moments by `halftone.seed`.
class KillTest {
    private static final int KILLS = Integer.getInteger("halftone.kills", 4);
    private static final long SEED = Long.getLong("halftone.seed", System.nanoTime());
    private static final int LIMIT_SECONDS = 60;

    @TempDir
    Path folder;

    private Path target;
    private Path log;
    private int finished;
    private int resumed;

    private Process start(Path output) throws IOException {
        return new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "--add-modules",
                        "jdk.incubator.vector",
                        "--enable-native-access=ALL-UNNAMED",
                        "-XX:+UseSerialGC",
                        "-Xmx512m",
                        "-Dhalftone.home=" + Shared.root(),
                        "-cp",
                        System.getProperty("java.class.path"),
                        Main.class.getName(),
                        "quantize",
                        Shared.root().resolve("models/tiny-storyteller").toString(),
                        output.toString(),
                        "--calibration-windows",
                        "4",
                        "--calibration-length",
                        "64",
                        "--sweeps",
                        "0",
                        "--target",
                        "same-inputs",
                        "--threads",
                        "1",
                        // Without the seconds that measuring for the plan would take.
                        "-q")
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
    }

    private static SortedMap<String, byte[]> contents(Path directory) throws IOException {
        SortedMap<String, byte[]> contents = new TreeMap<>();
        try (Stream<Path> files = Files.list(directory)) {
            for (Path file : files.toList()) {
                contents.put(file.getFileName().toString(), Files.readAllBytes(file));
            }
        }
        return contents;
    }

    /// Whatever stands at the target is a whole model.
    private void assertWhole(SortedMap<String, byte[]> whole) throws IOException {
        SortedMap<String, byte[]> found = contents(target);
        assertEquals(whole.keySet(), found.keySet(), () -> "seed " + SEED);
        for (String file : whole.keySet()) {
            assertArrayEquals(whole.get(file), found.get(file), () -> file + ", seed " + SEED);
        }
        try (Stream<Path> files = Files.walk(target)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
        finished++;
    }

    /// Runs the command until it ends or has run for `nanoseconds`.
    ///
    /// @return whether it was killed
    private boolean run(long nanoseconds) throws IOException, InterruptedException {
        boolean resumes = Files.exists(folder.resolve(".out.partial/progress.json"));
        Process process = start(target);
        try {
            boolean ended = process.waitFor(nanoseconds, TimeUnit.NANOSECONDS);
            if (!ended) {
                process.destroyForcibly();
            }
            assertTrue(process.waitFor(LIMIT_SECONDS, TimeUnit.SECONDS));
            String said = Files.readString(log);
            resumed += resumes ? 1 : 0;
            // A process that ended by itself in the moment of its kill was not killed.
            boolean killed = process.exitValue() == 128 + 9;
            assertTrue(killed || process.exitValue() == 0, () -> "seed " + SEED + ": " + said);
            return killed;
        } finally {
            process.destroyForcibly();
        }
    }

    @Test
    void aRunThatIsKilledWheneverItMayBeEndsInTheSameBytes() throws Exception {
        target = folder.resolve("out");
        log = folder.resolve("log");
        Path uninterrupted = folder.resolve("uninterrupted");
        long begin = System.nanoTime();
        Process first = start(uninterrupted);
        assertTrue(first.waitFor(LIMIT_SECONDS, TimeUnit.SECONDS));
        assertEquals(0, first.exitValue(), Files.readString(log));
        long duration = System.nanoTime() - begin;
        SortedMap<String, byte[]> whole = contents(uninterrupted);

        Random random = new Random(SEED);
        int killed = 0;
        while (killed < KILLS) {
            killed += run((long) (random.nextDouble() * duration)) ? 1 : 0;
            if (Files.exists(target)) {
                assertWhole(whole);
            }
        }
        if (run(TimeUnit.SECONDS.toNanos(LIMIT_SECONDS))) {
            throw new AssertionError("still running after a minute: " + Files.readString(log));
        }
        assertWhole(whole);

        System.out.printf(
                "killed %d times within %.1f s: %d runs found another's progress, %d outputs, all of the same bytes%n",
                killed, duration / 1e9, resumed, finished);
        try (Stream<Path> left = Files.list(folder)) {
            assertEquals(List.of(log, uninterrupted), left.sorted().toList());
        }
    }
}

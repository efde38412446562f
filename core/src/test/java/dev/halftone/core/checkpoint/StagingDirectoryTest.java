package dev.halftone.core.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class StagingDirectoryTest {
    @TempDir
    Path folder;

    @Test
    void clearsWhatADeadRunLeft() throws IOException {
        Path stale = Files.createDirectory(folder.resolve(".out.partial"));
        Files.writeString(stale.resolve(".owner"), "1\n");
        Files.writeString(stale.resolve("model.safetensors"), "half");
        Files.createDirectories(stale.resolve("a/b"));
        try (StagingDirectory staging = StagingDirectory.beside(folder.resolve("out"), Leftovers.REFUSE)) {
            assertEquals(stale.resolve("model"), staging.path());
            assertEquals(Set.of(".owner", "model"), CheckpointWriterTest.names(stale));
            assertEquals(Set.of(), CheckpointWriterTest.names(staging.path()));
            assertEquals(ProcessHandle.current().pid() + "\n", Files.readString(stale.resolve(".owner")));
        }
        assertFalse(Files.exists(stale));
    }

    @Test
    void refusesASecondRunInTheSameProcess() throws IOException {
        Path target = folder.resolve("out");
        try (StagingDirectory first = StagingDirectory.beside(target, Leftovers.REFUSE)) {
            HalftoneException refusal = assertThrows(
                    HalftoneException.class,
                    () -> StagingDirectory.beside(target, Leftovers.REFUSE).close());
            assertEquals(Kind.OUTPUT_TAKEN, refusal.kind());
            assertTrue(Files.exists(first.root().resolve(".owner")));
        }
        StagingDirectory.beside(target, Leftovers.REFUSE).close();
    }

    @Test
    void letsRunsForDifferentTargetsBe() throws IOException {
        try (StagingDirectory first = StagingDirectory.beside(folder.resolve("a"), Leftovers.REFUSE);
                StagingDirectory second = StagingDirectory.beside(folder.resolve("b"), Leftovers.REFUSE)) {
            first.publish();
            second.publish();
        }
        assertEquals(Set.of("a", "b"), CheckpointWriterTest.names(folder));
        assertEquals(Set.of(), CheckpointWriterTest.names(folder.resolve("a")));
    }

    @Test
    void refusesASecondRunWhileTheFirstLivesAndTakesOverOnceItIsKilled() throws Exception {
        Path target = folder.resolve("out");
        Process run = new ProcessBuilder(WriterProcess.command(target.toString(), "wait"))
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        try (BufferedReader output = run.inputReader(StandardCharsets.UTF_8)) {
            assertEquals("written", output.readLine());
            HalftoneException refusal = assertThrows(
                    HalftoneException.class,
                    () -> StagingDirectory.beside(target, Leftovers.REFUSE).close());
            assertEquals("'" + target + "' is being written by another run", refusal.getMessage());
            assertEquals("process " + run.pid(), refusal.detail());
            assertTrue(Files.exists(folder.resolve(".out.partial/model/model.safetensors")));
        } finally {
            run.destroyForcibly().waitFor();
        }
        assertTrue(Files.exists(folder.resolve(".out.partial/model/model.safetensors")));
        try (StagingDirectory second = StagingDirectory.beside(target, Leftovers.REFUSE)) {
            assertEquals(Set.of(), CheckpointWriterTest.names(second.path()));
        }
        assertEquals(Set.of(), CheckpointWriterTest.names(folder));
    }

    @Test
    void publishesNothingWhenTheSystemRefusesAWrite() throws Exception {
        Path bash = Path.of("/bin/bash");
        if (!Files.isExecutable(bash)) {
            System.out.println("Skipped: the test of a refused write, which needs /bin/bash for its ulimit");
            Assumptions.abort("no " + bash);
        }
        Path target = folder.resolve("out");
        assertEquals(List.of("published"), output(WriterProcess.command(target.toString(), "publish")));

        // Blocks of 1 KiB: room for the first tensor, not for the second.
        Path second = folder.resolve("second");
        List<String> limited = new ArrayList<>(List.of(bash.toString(), "-c", "ulimit -f 700; exec \"$@\"", "limited"));
        limited.addAll(WriterProcess.command(second.toString(), "publish"));
        List<String> lines = output(limited);
        assertTrue(
                lines.getFirst().startsWith("RESOURCES: writing '" + second + "' failed at 49 %: "), lines::toString);
        assertEquals("  512.0 KiB of 1.0 MiB written; no partial model was published", lines.get(1));
        assertEquals(Set.of("out"), CheckpointWriterTest.names(folder));
    }

    private static List<String> output(List<String> command) throws IOException, InterruptedException {
        Process run = new ProcessBuilder(command).redirectErrorStream(true).start();
        try (BufferedReader output = run.inputReader(StandardCharsets.UTF_8)) {
            List<String> lines = output.lines().toList();
            assertTrue(run.waitFor(60, TimeUnit.SECONDS));
            return lines;
        } finally {
            run.destroyForcibly();
        }
    }
}

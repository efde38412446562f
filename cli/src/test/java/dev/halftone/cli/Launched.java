package dev.halftone.cli;

import dev.halftone.core.testing.Shared;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/// The real launcher in a process of its own, running the classes under test.
final class Launched implements AutoCloseable {
    private final Process process;
    private final Path out;
    private final Path err;

    private Launched(Process process, Path out, Path err) {
        this.process = process;
        this.out = out;
        this.err = err;
    }

    static Launched start(Path launcher, Path folder, Map<String, String> environment, String... arguments)
            throws IOException {
        List<String> command = new ArrayList<>(List.of("bash", launcher.toString()));
        command.addAll(List.of(arguments));
        Path out = Files.createTempFile("halftone-out", null);
        Path err = Files.createTempFile("halftone-err", null);
        ProcessBuilder builder = new ProcessBuilder(command)
                .directory(folder.toFile())
                .redirectOutput(out.toFile())
                .redirectError(err.toFile());
        builder.environment().put("HALFTONE_CLASS_PATH", System.getProperty("java.class.path"));
        builder.environment().put("HALFTONE_JAVA_HOME", System.getProperty("java.home"));
        builder.environment().putAll(environment);
        return new Launched(builder.start(), out, err);
    }

    static Launched start(String... arguments) throws IOException {
        return start(Shared.root().resolve("halftone"), Shared.root(), Map.of(), arguments);
    }

    String out() {
        return read(out);
    }

    String err() {
        return read(err);
    }

    private static String read(Path file) {
        try {
            return Files.readString(file, StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /// Waits until standard output holds `text`.
    void awaitOut(String text) throws InterruptedException {
        await(text, out);
    }

    /// Waits until standard error holds `text`.
    void awaitErr(String text) throws InterruptedException {
        await(text, err);
    }

    private void await(String text, Path file) throws InterruptedException {
        for (int i = 0; i < 600 && !read(file).contains(text); i++) {
            Thread.sleep(100);
        }
        if (!read(file).contains(text)) {
            throw new AssertionError("no '" + text + "' in: " + out() + err());
        }
    }

    /// Sends a signal such as `INT` to the JVM, which has taken the place of the launcher.
    void signal(String name) throws IOException, InterruptedException {
        new ProcessBuilder("kill", "-" + name, Long.toString(process.pid()))
                .start()
                .waitFor();
    }

    int await() throws InterruptedException {
        if (!process.waitFor(2, TimeUnit.MINUTES)) {
            throw new AssertionError("still running; wrote: " + out() + err());
        }
        return process.exitValue();
    }

    @Override
    public void close() throws IOException {
        process.destroyForcibly();
        Files.delete(out);
        Files.delete(err);
    }
}

package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.spi.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/// The launcher as users meet it: through links, from other folders, under poor locales.
@DisabledOnOs(value = OS.WINDOWS, disabledReason = "the launcher is a script for bash")
class LauncherTest {
    private static final Path LAUNCHER = Shared.root().resolve("halftone");

    @TempDir
    Path folder;

    @Test
    void startsThroughARelativeLinkInAFolderWithABlank() throws Exception {
        Path place = Files.createDirectory(folder.resolve("my tools é"));
        Path link = Files.createSymbolicLink(place.resolve("halftone"), place.relativize(LAUNCHER.toRealPath()));
        Path again = Files.createSymbolicLink(folder.resolve("again"), Path.of("my tools é", "halftone"));
        for (Path launcher : new Path[] {link, again}) {
            try (Launched run = Launched.start(launcher, folder, Map.of(), "--version")) {
                assertEquals(0, run.await(), run.err());
                assertTrue(run.out().startsWith("halftone "), run.out());
            }
        }
        Files.delete(link);
    }

    @Test
    void writesNothingButTheResult() throws Exception {
        String model = Shared.root().resolve("models/tiny-storyteller").toString();
        try (Launched run = Launched.start("inspect", model)) {
            assertEquals(0, run.await());
            assertEquals("", run.err(), "the JVM's notice of the incubating module is filtered");
            assertEquals(Invocation.of("inspect", model).out(), run.out());
        }
    }

    @Test
    void runsAModelWithoutAWordOfTheJvm() throws Exception {
        String model = Shared.root().resolve("models/tiny-storyteller").toString();
        try (Launched run = Launched.start("run", model, "--prompt", "Long ago", "--raw", "--max-tokens", "4")) {
            assertEquals(0, run.await());
            assertEquals("", run.err());
        }
    }

    @Test
    void answersQuestionsLikeTheCommandItself() throws Exception {
        try (Launched run = Launched.start("quantize", "--help")) {
            assertEquals(0, run.await());
            assertEquals("", run.err());
            assertEquals(Invocation.of("quantize", "--help").out(), run.out());
        }
    }

    @Test
    void writesToTheVeryStreamsItWasGiven() throws Exception {
        Path log = folder.resolve("log");
        String script = "{ bash \"$0\" inspect nowhere; echo after >&2; } 2>\"$1\"";
        ProcessBuilder shell = new ProcessBuilder("bash", "-c", script, LAUNCHER.toString(), log.toString());
        shell.environment().put("HALFTONE_CLASS_PATH", System.getProperty("java.class.path"));
        shell.environment().put("HALFTONE_JAVA_HOME", System.getProperty("java.home"));
        assertEquals(0, shell.start().waitFor());
        List<String> lines = Files.readAllLines(log);
        assertTrue(lines.getFirst().startsWith("error: no model at 'nowhere'"), lines.toString());
        assertEquals("after", lines.getLast(), "nobody wrote over anybody");
    }

    @Test
    void passesTheExitStatusOn() throws Exception {
        try (Launched run = Launched.start("--nonsense")) {
            assertEquals(2, run.await());
            assertTrue(run.err().startsWith("error: unknown option '--nonsense'"), run.err());
        }
    }

    @Test
    void keepsLettersUnderALocaleThatHasNone() throws Exception {
        Map<String, String> poor = Map.of("LC_ALL", "C", "LANG", "C");
        try (Launched run = Launched.start(LAUNCHER, folder, poor, "inspect", "modèle")) {
            assertEquals(3, run.await());
            assertTrue(run.err().startsWith("error: no model at 'modèle'"), run.err());
        }
    }

    @Test
    void saysWhatToInstallWithoutARecentJdk() throws Exception {
        Map<String, String> wrong = Map.of("HALFTONE_JAVA_HOME", folder.toString());
        try (Launched run = Launched.start(LAUNCHER, folder, wrong, "--version")) {
            assertEquals(3, run.await());
            assertEquals(2, run.err().lines().count(), run.err());
            assertTrue(run.err().startsWith("error: "), run.err());
        }
    }

    @Test
    void showsWhatTheJvmItselfHasToSay() throws Exception {
        Map<String, String> wrong = Map.of("HALFTONE_OPTS", "-Xmx1g -XX:NoSuchFlag=1");
        try (Launched run = Launched.start(LAUNCHER, folder, wrong, "--version")) {
            assertEquals(1, run.await());
            // It comes through the filter, which may end a moment after the JVM.
            run.awaitErr("NoSuchFlag");
        }
    }

    /// A checkout as it is once it is built, whose command only says what it was asked.
    private Path built(String manifest) throws IOException {
        Path root = folder.resolve("checkout");
        Path classes = Files.createDirectories(root.resolve("cli/target/classes"));
        Files.createDirectories(root.resolve("models/tiny-storyteller"));
        Files.copy(LAUNCHER, root.resolve("halftone"));
        Path source = folder.resolve("Main.java");
        Files.writeString(source, """
            package dev.halftone.cli;
            class Main {
                public static void main(String[] arguments) {
                    System.out.println(String.join(" ", arguments));
                }
            }
            """);
        tool("javac", "-d", classes.toString(), source.toString());
        Path lines = Files.writeString(folder.resolve("manifest"), manifest);
        String jar = root.resolve("cli/target/halftone.jar").toString();
        if (manifest.isEmpty()) {
            tool("jar", "--create", "--file", jar, "-C", classes.toString(), ".");
        } else {
            tool("jar", "--create", "--file", jar, "--manifest", lines.toString());
        }
        return root;
    }

    private static void tool(String name, String... arguments) {
        assertEquals(0, ToolProvider.findFirst(name).orElseThrow().run(System.out, System.err, arguments));
    }

    private static Launched startBuilt(Path root, String options) throws IOException {
        Map<String, String> environment = Map.of("HALFTONE_CLASS_PATH", "", "HALFTONE_OPTS", options);
        return Launched.start(root.resolve("halftone"), root, environment, "inspect", "x");
    }

    @Test
    void keepsLoadedClassesForTheNextStart() throws Exception {
        Path root = built("");
        Path cache = root.resolve("cli/target/halftone.aot");
        try (Launched first = startBuilt(root, "")) {
            assertEquals(0, first.await(), first.err());
            assertEquals("inspect x\n", first.out());
            first.awaitErr("Preparing for quick starts (once) ...");
            assertTrue(Files.size(cache) > 0);
        }
        Path log = folder.resolve("log");
        try (Launched second = startBuilt(root, "-Xlog:class+load:file=" + log)) {
            assertEquals(0, second.await());
            assertEquals("inspect x\n", second.out());
            assertEquals("", second.err());
        }
        String loaded = Files.readString(log);
        assertTrue(loaded.contains("dev.halftone.cli.Main source: shared objects file"), loaded);
        // A heap that the kept classes do not fit: they are loaded again, and nobody needs to know.
        try (Launched other = startBuilt(root, "-Xmx40g")) {
            assertEquals(0, other.await());
            assertEquals("inspect x\n", other.out());
            assertEquals("", other.err());
        }
    }

    @Test
    void startsAsEverWhereClassesCannotBeKept() throws Exception {
        // The JVM keeps none where some come from a folder.
        Path root = built("Class-Path: classes/\n");
        for (int start = 0; start < 2; start++) {
            try (Launched run = startBuilt(root, "")) {
                assertEquals(0, run.await(), run.err());
                assertEquals("inspect x\n", run.out());
                assertEquals(start == 0 ? 1 : 0, run.err().lines().count(), "tried once: " + run.err());
            }
        }
        assertEquals(0, Files.size(root.resolve("cli/target/halftone.aot")));
    }
}

package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import com.palantir.javaformat.java.Main;
import dev.halftone.core.testing.Shared;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/// Every Java file of the repository is as palantir-java-format writes it. With `-Dhalftone.format=apply` the test
/// rewrites those that are not.
class SourcesAreFormattedTest {
    private static final int WIDTH = 120;
    private static final Set<String> NOT_OURS = Set.of("target", "node_modules");

    private static final List<Path> SOURCES = new ArrayList<>();

    @BeforeAll
    static void findSources() throws IOException {
        Files.walkFileTree(Shared.root(), new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult preVisitDirectory(Path folder, BasicFileAttributes attributes) {
                String name = folder.getFileName().toString();
                boolean skipped = NOT_OURS.contains(name) || name.startsWith(".") && !folder.equals(Shared.root());
                return skipped ? FileVisitResult.SKIP_SUBTREE : FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
                if (file.toString().endsWith(".java")) {
                    SOURCES.add(file);
                }
                return FileVisitResult.CONTINUE;
            }
        });
    }

    @Test
    void findsTheSources() {
        assertFalse(SOURCES.isEmpty());
    }

    @Test
    void everySourceIsFormatted() throws Exception {
        boolean apply = "apply".equals(System.getProperty("halftone.format"));
        List<String> arguments = new ArrayList<>(List.of("--palantir", apply ? "--replace" : "--dry-run"));
        SOURCES.forEach(source -> arguments.add(source.toString()));
        StringWriter unformatted = new StringWriter();
        StringWriter faults = new StringWriter();
        new Main(
                        new PrintWriter(unformatted, true),
                        new PrintWriter(faults, true),
                        new ByteArrayInputStream(new byte[0]))
                .format(arguments.toArray(String[]::new));
        assertEquals("", faults.toString());
        assertEquals(
                "",
                unformatted.toString(),
                "some files are not formatted; mend them with: mvn -pl cli -am test"
                        + " -Dtest=SourcesAreFormattedTest -Dsurefire.failIfNoSpecifiedTests=false"
                        + " -Dhalftone.format=apply");
    }

    /// The formatter breaks such lines in the middle of a sentence.
    @Test
    void noCommentIsWiderThanALine() throws IOException {
        List<String> wide = new ArrayList<>();
        for (Path source : SOURCES) {
            int number = 0;
            for (String line : Files.readAllLines(source)) {
                number++;
                if (line.length() > WIDTH && line.contains("//")) {
                    wide.add(Shared.root().relativize(source) + ":" + number);
                }
            }
        }
        assertEquals(List.of(), wide);
    }
}

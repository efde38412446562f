package dev.halftone.core;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/// The rooms of core stand in an order, and none may know the ones below it.
class RoomsTest {
    /// The first is the root package itself.
    private static final List<String> ROOMS =
            List.of("", "tensor", "checkpoint", "weight", "layout", "compute", "model", "quantize", "convert");

    /// A mention of a package of core, in an import or spelled out in the code.
    private static final Pattern MENTION = Pattern.compile("\\bdev\\.halftone\\.core(?:\\.([a-z]+))?\\.[A-Z]");

    private static final Pattern COMMENT = Pattern.compile("^\\s*//");

    @Test
    void noRoomKnowsTheOnesBelowIt() throws IOException {
        List<String> faults = new ArrayList<>();
        List<Path> files = sources();
        for (Path file : files) {
            faults.addAll(faults(room(file), Files.readAllLines(file), file.getFileName()));
        }
        assertEquals(List.of(), faults);
        assertTrue(files.size() > 30, "found only " + files);
    }

    @Test
    void everyPackageIsARoom() throws IOException {
        for (Path file : sources()) {
            assertTrue(ROOMS.contains(room(file)), file + " is in no room of " + ROOMS);
        }
    }

    @Test
    void seesAFault() {
        List<String> lines = List.of(
                "import dev.halftone.core.HalftoneException;",
                "import static dev.halftone.core.model.Llama.HEAD;",
                "import dev.halftone.core.tensor.Tensor;",
                "/// See [dev.halftone.core.quantize.QuantizationRun].",
                "    dev.halftone.core.compute.Backend backend;");
        assertEquals(
                List.of("X: weight knows model", "X: weight knows compute"), faults("weight", lines, Path.of("X")));
        assertEquals(List.of("X:  knows tensor"), faults("", lines.subList(2, 3), Path.of("X")));
        assertEquals(List.of(), faults("model", lines, Path.of("X")));
    }

    private static List<String> faults(String room, List<String> lines, Path file) {
        List<String> faults = new ArrayList<>();
        for (String line : lines) {
            Matcher mention = MENTION.matcher(line);
            while (!COMMENT.matcher(line).find() && mention.find()) {
                String other = mention.group(1) == null ? "" : mention.group(1);
                if (ROOMS.indexOf(other) > ROOMS.indexOf(room)) {
                    faults.add(file + ": " + room + " knows " + other);
                }
            }
        }
        return faults;
    }

    private static Path root() {
        return Shared.root().resolve("core/src/main/java/dev/halftone/core");
    }

    private static List<Path> sources() throws IOException {
        try (Stream<Path> files = Files.walk(root())) {
            return files.filter(file -> file.toString().endsWith(".java")).toList();
        }
    }

    private static String room(Path file) {
        return root().relativize(file.getParent()).toString().replace('\\', '/');
    }
}

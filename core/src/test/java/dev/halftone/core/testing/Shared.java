package dev.halftone.core.testing;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.Assumptions;

/// Material beside the repository (`../shared`): data sets, real checkpoints, outputs of other tools. A checkout
/// without
/// it skips the tests that need it and says so once.
public final class Shared {
    private static final Set<String> MENTIONED = ConcurrentHashMap.newKeySet();

    private Shared() {}

    /// Root of the repository.
    public static Path root() {
        String root = System.getProperty("halftone.root");
        if (root == null) {
            throw new IllegalStateException("system property halftone.root is not set; run the tests through Maven");
        }
        return Path.of(root);
    }

    /// `../shared/name`, or skips the running test.
    public static Path directory(String name) {
        Path path = root().resolveSibling("shared").resolve(name);
        boolean present = Files.exists(path);
        if (!present && MENTIONED.add(name)) {
            System.out.println("Skipped: tests that need ../shared/" + name + ", which is not beside this checkout");
        }
        Assumptions.assumeTrue(present, "no ../shared/" + name);
        return path;
    }
}

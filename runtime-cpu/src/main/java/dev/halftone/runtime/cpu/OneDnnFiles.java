package dev.halftone.runtime.cpu;

import java.io.IOException;
import java.io.InputStream;
import java.net.JarURLConnection;
import java.net.URL;
import java.net.URLConnection;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.HexFormat;
import java.util.Properties;

/// Brings oneDNN's library out of its jar, where no system can load it from, into a folder of the user's cache that is
/// named after version and checksum. Files appear there whole or not at all, so several processes may do it at once.
/// Where that folder cannot be written to, the files go to a new one of this process's own; closing removes them, which
/// a library that is loaded survives.
final class OneDnnFiles implements AutoCloseable {
    /// Folder of the unpacked libraries instead of the one in the user's cache.
    static final String FOLDER_PROPERTY = "halftone.onednn.folder";

    static final String LIBRARY = "libdnnl.so.3";
    static final String THREADS = "libgomp.so.1";

    private static final String PLATFORM = "linux-x86_64";
    private static final String ROOT = "/org/bytedeco/dnnl/" + PLATFORM + "/";
    private static final String FACTS = "/META-INF/maven/org.bytedeco/dnnl/pom.properties";

    private final Path folder;
    private final boolean passing;

    private OneDnnFiles(Path folder, boolean passing) {
        this.folder = folder;
        this.passing = passing;
    }

    /// @throws OneDnnUnavailable if there is none for this platform, its jar is missing, or nothing can be written
    static OneDnnFiles unpacked() throws OneDnnUnavailable {
        requirePlatform(System.getProperty("os.name"), System.getProperty("os.arch"));
        URL library = OneDnnFiles.class.getResource(ROOT + LIBRARY);
        URL threads = OneDnnFiles.class.getResource(ROOT + THREADS);
        if (library == null || threads == null) {
            throw new OneDnnUnavailable("its library is not among the jars (org.bytedeco:dnnl for " + PLATFORM + ")");
        }
        try {
            return unpacked(library, threads, cache());
        } catch (IOException problem) {
            throw new OneDnnUnavailable("its library cannot be unpacked: " + problem, problem);
        }
    }

    private static OneDnnFiles unpacked(URL library, URL threads, Path cache) throws IOException {
        try {
            return fill(library, threads, Files.createDirectories(cache.resolve(name(library))), false);
        } catch (IOException unwritable) {
            // Never a name that others could have taken before us: what lies there is going to be executed.
            Path own = Files.createTempDirectory("halftone-onednn-");
            try {
                return fill(library, threads, own, true);
            } catch (IOException problem) {
                problem.addSuppressed(unwritable);
                new OneDnnFiles(own, true).close();
                throw problem;
            }
        }
    }

    private static OneDnnFiles fill(URL library, URL threads, Path folder, boolean passing) throws IOException {
        unpack(library, folder.resolve(LIBRARY));
        unpack(threads, folder.resolve(THREADS));
        return new OneDnnFiles(folder, passing);
    }

    /// Holds [#LIBRARY] and [#THREADS].
    Path folder() {
        return folder;
    }

    /// Removes what is only for this process.
    @Override
    public void close() {
        if (passing) {
            try {
                Files.deleteIfExists(folder.resolve(LIBRARY));
                Files.deleteIfExists(folder.resolve(THREADS));
                Files.deleteIfExists(folder);
            } catch (IOException leftBehind) {
                System.getLogger(OneDnnFiles.class.getName())
                        .log(System.Logger.Level.WARNING, "left behind: {0} ({1})", folder, leftBehind);
            }
        }
    }

    static void requirePlatform(String system, String architecture) throws OneDnnUnavailable {
        boolean intel = architecture.equals("amd64") || architecture.equals("x86_64");
        if (!system.equals("Linux") || !intel) {
            throw new OneDnnUnavailable(
                    "Halftone brings it for " + PLATFORM + " only, and this is " + system + " " + architecture);
        }
    }

    /// Where this user's programs keep what they can make again.
    private static Path cache() {
        String asked = System.getProperty(FOLDER_PROPERTY);
        if (asked != null) {
            return Path.of(asked);
        }
        String cache = System.getenv("XDG_CACHE_HOME");
        Path parent = cache == null || !Path.of(cache).isAbsolute()
                ? Path.of(System.getProperty("user.home"), ".cache")
                : Path.of(cache);
        return parent.resolve("halftone");
    }

    /// Version and checksum, such as `onednn-3.11-1.5.13-7f3a01c2`.
    private static String name(URL library) throws IOException {
        Properties facts = new Properties();
        try (InputStream in = OneDnnFiles.class.getResourceAsStream(FACTS)) {
            if (in != null) {
                facts.load(in);
            }
        }
        long checksum = size(library);
        if (open(library) instanceof JarURLConnection jar) {
            checksum = jar.getJarEntry().getCrc();
        }
        return "onednn-" + facts.getProperty("version", "unknown") + "-"
                + HexFormat.of().toHexDigits((int) checksum);
    }

    private static URLConnection open(URL url) throws IOException {
        URLConnection connection = url.openConnection();
        // A cached jar would stay open for the life of the process.
        connection.setUseCaches(false);
        return connection;
    }

    private static long size(URL url) throws IOException {
        URLConnection connection = open(url);
        try (InputStream in = connection.getInputStream()) {
            assert in != null;
            return connection.getContentLengthLong();
        }
    }

    /// Writes beside the target and renames. A file of the right length is taken as it stands: its folder carries the
    /// checksum.
    static void unpack(URL source, Path target) throws IOException {
        long size = size(source);
        if (Files.isRegularFile(target) && Files.size(target) == size) {
            return;
        }
        Path staged = Files.createTempFile(target.toAbsolutePath().getParent(), ".unpacking-", ".so");
        try (InputStream in = open(source).getInputStream()) {
            Files.copy(in, staged, StandardCopyOption.REPLACE_EXISTING);
            if (Files.size(staged) != size) {
                throw new IOException("wrote " + Files.size(staged) + " of " + size + " bytes of " + target);
            }
            Files.move(staged, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(staged);
        }
    }
}

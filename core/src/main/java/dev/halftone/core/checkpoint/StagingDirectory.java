package dev.halftone.core.checkpoint;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;

/// The directory `.NAME.partial` beside a target `NAME`: on the same file system, so that one rename publishes it.
///
/// Its file `.owner` holds the process id of the run that writes it and is locked as long as that run lives. The
/// lock, not the id, decides: the system drops it with the process, however that ends, and an id means nothing to
/// another container. A staging directory without a living owner is what a dead run left, and is emptied and taken
/// over; one with a living owner refuses a second run for the same target.
final class StagingDirectory implements AutoCloseable {
    private static final String OWNER = ".owner";

    // Closing any channel to a locked file drops the whole process's lock on it, so a second run in this process must
    // be refused before it opens the file.
    private static final Set<Path> OPEN = ConcurrentHashMap.newKeySet();

    private final Path target;
    private final Path path;
    private final List<Path> createdParents;
    private FileChannel owner;
    private boolean mine;
    private boolean published;

    private StagingDirectory(Path target, Path path, List<Path> createdParents) {
        this.target = target;
        this.path = path;
        this.createdParents = createdParents;
    }

    /// Takes the staging directory of `target`, empty, and creates the directories above it.
    ///
    /// @throws HalftoneException of kind OUTPUT_TAKEN if the target is not empty, or another run is writing it
    static StagingDirectory beside(Path target) throws IOException {
        // A link to an empty directory is followed: the rename has to happen where the directory really is.
        Path real = Files.isDirectory(target)
                ? target.toRealPath()
                : target.toAbsolutePath().normalize();
        if (real.getFileName() == null) {
            throw new HalftoneException(
                    Kind.OUTPUT_TAKEN, "'" + target + "' cannot be an output", null, "name a new directory");
        }
        refuseTaken(real);
        Path path = real.resolveSibling("." + real.getFileName() + ".partial");
        if (!OPEN.add(path)) {
            throw beingWritten(real, ProcessHandle.current().pid() + "");
        }
        StagingDirectory staging = new StagingDirectory(real, path, new ArrayList<>());
        try {
            staging.createParents();
            staging.lock();
            // The run that just held the lock may have published since the first look.
            refuseTaken(real);
            staging.removeContents();
        } catch (IOException | RuntimeException e) {
            try (staging) {
                throw e;
            }
        }
        return staging;
    }

    private static void refuseTaken(Path target) throws IOException {
        if (!Files.exists(target, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        String found = "is not a directory";
        if (Files.isDirectory(target)) {
            try (Stream<Path> files = Files.list(target)) {
                if (files.findAny().isEmpty()) {
                    return;
                }
            }
            found = "is not empty";
        }
        throw new HalftoneException(
                Kind.OUTPUT_TAKEN, "'" + target + "' " + found, null, "name another output, or remove this one");
    }

    private static HalftoneException beingWritten(Path target, String pid) {
        return new HalftoneException(
                Kind.OUTPUT_TAKEN,
                "'" + target + "' is being written by another run",
                "process " + pid,
                "wait for it, or name another output");
    }

    private void createParents() throws IOException {
        for (Path parent = path.getParent(); parent != null && !Files.exists(parent); parent = parent.getParent()) {
            createdParents.add(parent);
        }
        Files.createDirectories(path);
    }

    private void lock() throws IOException {
        Path file = path.resolve(OWNER);
        owner = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        FileLock lock = owner.tryLock();
        if (lock == null) {
            throw beingWritten(target, Files.readString(file).strip());
        }
        mine = true;
        byte[] pid = (ProcessHandle.current().pid() + "\n").getBytes(StandardCharsets.UTF_8);
        owner.truncate(0);
        owner.write(ByteBuffer.wrap(pid), 0);
    }

    Path target() {
        return target;
    }

    /// Where to write.
    Path path() {
        return path;
    }

    /// Moves the directory into the target's place. The files in it must be on disk already.
    void publish() throws IOException {
        force(path);
        Files.delete(path.resolve(OWNER));
        try {
            Files.deleteIfExists(target);
        } catch (DirectoryNotEmptyException e) {
            throw new HalftoneException(
                    Kind.OUTPUT_TAKEN, "'" + target + "' is no longer empty", null, "name another output", e);
        }
        Files.move(path, target, StandardCopyOption.ATOMIC_MOVE);
        published = true;
        force(target.getParent());
    }

    /// Makes the names in a directory last. Only POSIX systems can open one.
    private static void force(Path directory) throws IOException {
        if (directory.getFileSystem().supportedFileAttributeViews().contains("posix")) {
            try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
                channel.force(true);
            }
        }
    }

    private void removeContents() throws IOException {
        List<Path> contents;
        try (Stream<Path> files = Files.walk(path)) {
            contents = files.filter(file -> !file.equals(path) && !file.equals(path.resolve(OWNER)))
                    .sorted(Comparator.reverseOrder())
                    .toList();
        }
        for (Path file : contents) {
            Files.delete(file);
        }
    }

    /// Removes the directory unless it was published, and the directories above that were made for it.
    @Override
    public void close() throws IOException {
        try {
            if (mine && !published) {
                mine = false;
                removeContents();
                Files.deleteIfExists(path.resolve(OWNER));
                Files.deleteIfExists(path);
                removeCreatedParents();
            }
        } finally {
            if (owner != null) {
                owner.close();
            }
            OPEN.remove(path);
        }
    }

    private void removeCreatedParents() throws IOException {
        try {
            for (Path parent : createdParents) {
                Files.deleteIfExists(parent);
            }
        } catch (DirectoryNotEmptyException e) {
            // Somebody else uses the directory by now, and so the ones above it.
            return;
        }
    }
}

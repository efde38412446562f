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

/// The directory `.NAME.partial` beside a target `NAME`: on the same file system, so that one rename publishes what was
/// built in its subdirectory `model`. Beside that lies what a later run needs to go on with it, see [SavedProgress].
///
/// Its file `.owner` holds the process id of the run that writes it and is locked as long as that run lives. The
/// lock, not the id, decides: the system drops it with the process, however that ends, and an id means nothing to
/// another container. A staging directory without a living owner is what a dead run left: with progress, a later run
/// may take that over; without, it is emptied. One with a living owner refuses a second run for the same target.
final class StagingDirectory implements AutoCloseable {
    private static final String OWNER = ".owner";
    private static final String MODEL = "model";

    // Closing any channel to a locked file drops the whole process's lock on it, so a second run in this process must
    // be refused before it opens the file.
    private static final Set<Path> OPEN = ConcurrentHashMap.newKeySet();

    private final Path target;
    private final Path root;
    private final List<Path> createdParents = new ArrayList<>();
    private FileChannel owner;
    private boolean mine;
    private boolean kept;

    private StagingDirectory(Path target, Path root) {
        this.target = target;
        this.root = root;
    }

    /// Takes the staging directory of `target`, and creates the directories above it. It is empty unless it holds
    /// progress that is to be kept.
    ///
    /// @throws HalftoneException of kind OUTPUT_TAKEN if the target is not empty, or another run is writing it, or
    ///     progress is to be refused
    static StagingDirectory beside(Path target, Leftovers leftovers) throws IOException {
        // A link to an empty directory is followed: the rename has to happen where the directory really is.
        Path real = Files.isDirectory(target)
                ? target.toRealPath()
                : target.toAbsolutePath().normalize();
        if (real.getFileName() == null) {
            throw new HalftoneException(
                    Kind.OUTPUT_TAKEN, "'" + target + "' cannot be an output", null, "name a new directory");
        }
        Path root = real.resolveSibling("." + real.getFileName() + ".partial");
        // A run that died between publishing and clearing up left the directory without the model in it.
        if (!Files.isDirectory(root) || Files.exists(root.resolve(MODEL))) {
            refuseTaken(real);
        }
        if (!OPEN.add(root)) {
            throw beingWritten(real, ProcessHandle.current().pid() + "");
        }
        StagingDirectory staging = new StagingDirectory(real, root);
        try {
            staging.createParents();
            staging.lock();
            // The run that just held the lock may have published since the first look.
            refuseTaken(real);
            staging.clear(leftovers);
        } catch (IOException | RuntimeException e) {
            try (staging) {
                throw e;
            }
        }
        return staging;
    }

    static void refuseTaken(Path target) throws IOException {
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
        for (Path parent = root.getParent(); parent != null && !Files.exists(parent); parent = parent.getParent()) {
            createdParents.add(parent);
        }
        Files.createDirectories(root);
    }

    private void clear(Leftovers leftovers) throws IOException {
        boolean progress = SavedProgress.in(root);
        if (progress && leftovers == Leftovers.REFUSE) {
            kept = true;
            throw new HalftoneException(
                    Kind.OUTPUT_TAKEN,
                    "'" + target + "' was begun by another run, which was interrupted",
                    "what it had finished is in '" + root + "'",
                    "the same command as then, to go on; another output; or remove that directory");
        }
        kept = progress && leftovers == Leftovers.KEEP;
        if (!kept) {
            removeContents();
        }
        Files.createDirectories(path());
    }

    private void lock() throws IOException {
        Path file = root.resolve(OWNER);
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

    /// Where the model is written.
    Path path() {
        return root.resolve(MODEL);
    }

    /// The whole, with what is not of the model.
    Path root() {
        return root;
    }

    /// Whether there is progress to go on with, and [#close] leaves everything as it is.
    boolean kept() {
        return kept;
    }

    /// Decides what [#close] does.
    void keep(boolean everything) {
        kept = everything;
    }

    /// Moves the model into the target's place. The files in it must be on disk already.
    void publish() throws IOException {
        force(path());
        try {
            Files.deleteIfExists(target);
        } catch (DirectoryNotEmptyException e) {
            throw new HalftoneException(
                    Kind.OUTPUT_TAKEN, "'" + target + "' is no longer empty", null, "name another output", e);
        }
        Files.move(path(), target, StandardCopyOption.ATOMIC_MOVE);
        // The directories above are in use from here on.
        createdParents.clear();
        kept = false;
        force(target.getParent());
    }

    /// Makes the names in a directory last. Only POSIX systems can open one.
    static void force(Path directory) throws IOException {
        if (directory.getFileSystem().supportedFileAttributeViews().contains("posix")) {
            try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
                channel.force(true);
            }
        }
    }

    /// Removes all files beside the model but those of these names.
    void removeAllBut(Set<String> names) throws IOException {
        try (Stream<Path> files = Files.list(root)) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                String name = file.getFileName().toString();
                if (!name.equals(OWNER) && !names.contains(name)) {
                    Files.delete(file);
                }
            }
        }
    }

    /// Progress goes first: what is left of a removal that is interrupted must not look like some.
    private void removeContents() throws IOException {
        SavedProgress.remove(root);
        List<Path> contents;
        try (Stream<Path> files = Files.walk(root)) {
            contents = files.filter(file -> !file.equals(root) && !file.equals(root.resolve(OWNER)))
                    .sorted(Comparator.reverseOrder())
                    .toList();
        }
        for (Path file : contents) {
            Files.delete(file);
        }
    }

    /// Removes the directory, unless it is kept, and the directories above that were made for it.
    @Override
    public void close() throws IOException {
        try {
            if (mine && !kept) {
                mine = false;
                removeContents();
                Files.deleteIfExists(root.resolve(OWNER));
                Files.deleteIfExists(root);
                removeCreatedParents();
            }
        } finally {
            if (owner != null) {
                owner.close();
            }
            OPEN.remove(root);
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

package dev.halftone.core.checkpoint;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;

/// A disk that loses, when its power is cut, all that was not forced to it.
public final class ForgetfulDisk implements Disk {
    // By what the file system knows a file by, under whatever name.
    private final Map<Object, byte[]> forced = new HashMap<>();
    private final Set<Path> directories = new HashSet<>();

    @Override
    public long free(Path directory) {
        return Long.MAX_VALUE;
    }

    @Override
    public FileChannel open(Path file, StandardOpenOption... options) throws IOException {
        boolean existed = Files.exists(file);
        FileChannel real = FileChannel.open(file, options);
        directories.add(file.getParent());
        // What a run before this one left had its own power cut.
        forced.put(key(file), existed ? Files.readAllBytes(file) : new byte[0]);
        return new WatchedChannel(real, () -> forced.put(key(file), Files.readAllBytes(file)));
    }

    private static Object key(Path file) throws IOException {
        return Files.readAttributes(file, BasicFileAttributes.class).fileKey();
    }

    /// Puts every file back to what it was when it was last forced. Renaming and removing files is taken as lasting.
    public void cutPower() throws IOException {
        for (Path directory : directories) {
            if (Files.isDirectory(directory)) {
                try (Stream<Path> files = Files.list(directory)) {
                    for (Path file : files.filter(Files::isRegularFile).toList()) {
                        byte[] lasting = forced.get(key(file));
                        if (lasting != null) {
                            Files.write(file, lasting);
                        }
                    }
                }
            }
        }
    }
}

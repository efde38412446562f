package dev.halftone.core.checkpoint;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.Map;

/// A disk that loses, when its power is cut, all that was not forced to it.
public final class ForgetfulDisk implements Disk {
    private final Map<Path, byte[]> forced = new HashMap<>();

    @Override
    public long free(Path directory) {
        return Long.MAX_VALUE;
    }

    @Override
    public FileChannel open(Path file, StandardOpenOption... options) throws IOException {
        boolean existed = Files.exists(file);
        FileChannel real = FileChannel.open(file, options);
        // What a run before this one left had its own power cut.
        forced.put(file, existed ? Files.readAllBytes(file) : new byte[0]);
        return new WatchedChannel(real, () -> forced.put(file, Files.readAllBytes(file)));
    }

    /// Puts every file back to what it was when it was last forced. Files that were renamed or removed since are left.
    public void cutPower() throws IOException {
        for (Map.Entry<Path, byte[]> file : forced.entrySet()) {
            if (Files.exists(file.getKey())) {
                Files.write(file.getKey(), file.getValue());
            }
        }
    }
}

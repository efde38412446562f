package dev.halftone.core.checkpoint;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/// What a [CheckpointWriter] asks of the file system; tests put one in its place that fills up.
public interface Disk {
    /// The file system itself.
    Disk SYSTEM = new Disk() {
        @Override
        public long free(Path directory) throws IOException {
            return Files.getFileStore(directory).getUsableSpace();
        }

        @Override
        public FileChannel open(Path file, StandardOpenOption... options) throws IOException {
            return FileChannel.open(file, options);
        }
    };

    /// Bytes left below `directory`.
    long free(Path directory) throws IOException;

    /// Opens a file to be written.
    FileChannel open(Path file, StandardOpenOption... options) throws IOException;
}

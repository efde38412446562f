package dev.halftone.core.checkpoint;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/// A disk that takes so many bytes and then, like a real one, the rest of what fits and an error. It claims to have
/// more room than it has.
public final class FullDisk implements Disk {
    private final long claimed;
    private long room;

    public FullDisk(long room) {
        this(room, Long.MAX_VALUE);
    }

    private FullDisk(long room, long claimed) {
        this.room = room;
        this.claimed = claimed;
    }

    /// A disk that says how much is free.
    static FullDisk claiming(long free) {
        return new FullDisk(Long.MAX_VALUE, free);
    }

    /// Bytes that it still takes.
    public long room() {
        return room;
    }

    @Override
    public long free(Path directory) {
        return claimed;
    }

    @Override
    public FileChannel open(Path file, StandardOpenOption... options) throws IOException {
        return new Channel(FileChannel.open(file, options));
    }

    private final class Channel extends WatchedChannel {
        Channel(FileChannel real) {
            super(real, () -> {});
        }

        @Override
        public int write(ByteBuffer source, long position) throws IOException {
            if (room == 0 && source.hasRemaining()) {
                throw new IOException("No space left on device");
            }
            int length = (int) Math.min(room, source.remaining());
            int written = super.write(source.slice(source.position(), length), position);
            source.position(source.position() + written);
            room -= written;
            return written;
        }
    }
}

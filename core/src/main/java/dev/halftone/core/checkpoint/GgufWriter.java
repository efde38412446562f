package dev.halftone.core.checkpoint;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/// Writes one GGUF file, version 3, that appears whole or not at all: its header is known before any data, the
/// data come tensor by tensor in any order and row by row within each, and the file gets its name when all is on
/// disk. For one thread.
///
/// A write that the system refuses ends in a [HalftoneException] of [Kind#RESOURCES] that tells how far it got.
public final class GgufWriter implements AutoCloseable {
    private static final int VERSION = 3;
    private static final int ALIGNMENT = GgufParser.USUAL_ALIGNMENT;
    /// What readers reserve for a name, less its terminating zero.
    private static final int LONGEST_NAME = 63;

    private static final Set<Path> OPEN = ConcurrentHashMap.newKeySet();

    private final Path target;
    private final Path partial;
    private final FileChannel channel;
    private final Map<String, Place> places = new HashMap<>();
    private final long plannedBytes;
    private long writtenBytes;
    private boolean published;

    private static final class Place {
        private final long end;
        private long next;

        Place(long begin, long bytes) {
            this.next = begin;
            this.end = Math.addExact(begin, bytes);
        }
    }

    private GgufWriter(Path target, Path partial, FileChannel channel, long plannedBytes) {
        this.target = target;
        this.partial = partial;
        this.channel = channel;
        this.plannedBytes = plannedBytes;
    }

    /// Plans the file and starts it beside `target`, which must not exist.
    ///
    /// @param specs in the order in which their data shall lie
    /// @throws HalftoneException        if the target is taken ([Kind#OUTPUT_TAKEN]) or the disk too small
    ///     ([Kind#RESOURCES])
    /// @throws IllegalArgumentException if a name appears twice or is too long for readers
    public static GgufWriter create(Path target, Map<String, GgufValue> metadata, Collection<GgufSpec> specs)
            throws IOException {
        Map<String, GgufSpec> byName = new HashMap<>();
        for (GgufSpec spec : specs) {
            int length = spec.name().getBytes(StandardCharsets.UTF_8).length;
            if (byName.put(spec.name(), spec) != null || length > LONGEST_NAME) {
                throw new IllegalArgumentException(
                        "tensor " + Quoted.of(spec.name()) + " is planned twice, or longer than " + LONGEST_NAME);
            }
        }
        Path real = target.toAbsolutePath().normalize();
        if (real.getFileName() == null || Files.exists(real, LinkOption.NOFOLLOW_LINKS)) {
            throw new HalftoneException(
                    Kind.OUTPUT_TAKEN, "'" + target + "' exists", null, "name another output, or remove this one");
        }
        byte[] header = header(metadata, List.copyOf(specs));
        long planned = header.length;
        for (GgufSpec spec : specs) {
            planned = Math.addExact(planned, GgufParser.align(spec.bytes(), ALIGNMENT));
        }
        return start(real, header, specs, planned);
    }

    private static GgufWriter start(Path target, byte[] header, Collection<GgufSpec> specs, long planned)
            throws IOException {
        Path parent = target.getParent();
        Files.createDirectories(parent);
        long free = Files.getFileStore(parent).getUsableSpace();
        if (free < planned) {
            throw new HalftoneException(
                    Kind.RESOURCES,
                    "not enough disk for '" + target + "'",
                    "needs " + Bytes.text(planned) + ", " + Bytes.text(free) + " free on the disk of '" + parent + "'",
                    "free " + Bytes.text(planned - free) + " there, or write to another disk");
        }
        Path partial = target.resolveSibling("." + target.getFileName() + ".partial");
        FileChannel channel = lock(target, partial);
        GgufWriter writer = new GgufWriter(target, partial, channel, planned);
        try {
            long begin = header.length;
            for (GgufSpec spec : specs) {
                writer.places.put(spec.name(), new Place(begin, spec.bytes()));
                begin += GgufParser.align(spec.bytes(), ALIGNMENT);
            }
            // What a dead run left; and the gaps between tensors read as zeros once the length is set.
            channel.truncate(0);
            writer.writeFully(MemorySegment.ofArray(header), 0);
            if (planned > header.length) {
                writer.writeFully(MemorySegment.ofArray(new byte[1]), planned - 1);
            }
        } catch (IOException | RuntimeException e) {
            try (writer) {
                throw e;
            }
        }
        return writer;
    }

    /// The lock, not the file, says that a run is at work: the system drops it with the process, however that
    /// ends.
    private static FileChannel lock(Path target, Path partial) throws IOException {
        // Closing any channel to a locked file drops the whole process's lock on it, so a second run in this process
        // must be refused before it opens the file.
        if (!OPEN.add(partial)) {
            throw taken(target);
        }
        FileChannel channel = null;
        boolean mine = false;
        try {
            channel = FileChannel.open(partial, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            mine = channel.tryLock() != null;
        } finally {
            if (!mine) {
                OPEN.remove(partial);
                if (channel != null) {
                    channel.close();
                }
            }
        }
        if (!mine) {
            throw taken(target);
        }
        return channel;
    }

    private static HalftoneException taken(Path target) {
        return new HalftoneException(
                Kind.OUTPUT_TAKEN,
                "'" + target + "' is being written by another run",
                null,
                "wait for it, or name another output");
    }

    private static byte[] header(Map<String, GgufValue> metadata, List<GgufSpec> specs) {
        Header header = new Header();
        header.number(GgufParser.MAGIC);
        header.number(VERSION);
        header.longNumber(specs.size());
        header.longNumber(metadata.size());
        metadata.forEach((key, value) -> {
            header.text(key);
            header.number(value.type().id());
            header.value(value);
        });
        long begin = 0;
        for (GgufSpec spec : specs) {
            header.text(spec.name());
            header.number(spec.shape().rank());
            for (long size : spec.shape().sizes().reversed()) {
                header.longNumber(size);
            }
            header.number(spec.type().id());
            header.longNumber(begin);
            begin = Math.addExact(begin, GgufParser.align(spec.bytes(), ALIGNMENT));
        }
        return header.padded();
    }

    /// The bytes in front of the data.
    private static final class Header {
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        void number(int value) {
            bytes.writeBytes(
                    ByteBuffer.allocate(4).putInt(Integer.reverseBytes(value)).array());
        }

        void longNumber(long value) {
            bytes.writeBytes(
                    ByteBuffer.allocate(8).putLong(Long.reverseBytes(value)).array());
        }

        void text(String value) {
            byte[] utf8 = value.getBytes(StandardCharsets.UTF_8);
            longNumber(utf8.length);
            bytes.writeBytes(utf8);
        }

        void value(GgufValue value) {
            switch (value) {
                case GgufValue.Whole whole -> scalar(whole.type(), whole.value());
                case GgufValue.Real real ->
                    scalar(
                            real.type(),
                            real.type() == GgufValueType.F32
                                    ? Float.floatToRawIntBits((float) real.value())
                                    : Double.doubleToRawLongBits(real.value()));
                case GgufValue.Flag flag -> bytes.write(flag.value() ? 1 : 0);
                case GgufValue.Text text -> text(text.value());
                case GgufValue.Texts texts -> {
                    number(GgufValueType.TEXT.id());
                    longNumber(texts.values().size());
                    texts.values().forEach(this::text);
                }
                case GgufValue.Numbers numbers -> {
                    number(numbers.element().id());
                    longNumber(numbers.count());
                    bytes.writeBytes(numbers.data().toArray(ValueLayout.JAVA_BYTE));
                }
            }
        }

        private void scalar(GgufValueType type, long bits) {
            for (int i = 0; i < type.bytes(); i++) {
                bytes.write((int) (bits >>> 8 * i));
            }
        }

        byte[] padded() {
            bytes.writeBytes(new byte[(int) GgufParser.align(bytes.size(), ALIGNMENT) - bytes.size()]);
            return bytes.toByteArray();
        }
    }

    /// Writes the next bytes of a planned tensor, at the latest its last ones.
    ///
    /// @throws IllegalArgumentException if it is not planned, or has no room for so much
    public void append(String tensor, MemorySegment data) {
        Place place = places.get(tensor);
        if (place == null || data.byteSize() > place.end - place.next) {
            throw new IllegalArgumentException("tensor " + Quoted.of(tensor) + " is not planned, or not so large");
        }
        attempt(() -> writeFully(data, place.next));
        place.next += data.byteSize();
        writtenBytes += data.byteSize();
    }

    private void writeFully(MemorySegment data, long position) throws IOException {
        long at = position;
        // A channel takes at most 2 GiB at once; smaller steps let a full disk be noticed early.
        long step = 64L << 20;
        for (long done = 0; done < data.byteSize(); done += step) {
            ByteBuffer buffer =
                    data.asSlice(done, Math.min(step, data.byteSize() - done)).asByteBuffer();
            while (buffer.hasRemaining()) {
                at += channel.write(buffer, at);
            }
        }
    }

    /// Forces everything to disk and gives the file its name.
    ///
    /// @throws IllegalStateException if a planned tensor was not written to its end
    /// @throws HalftoneException     if something has taken the target meanwhile
    public void publish() throws IOException {
        places.forEach((name, place) -> {
            if (place.next != place.end) {
                throw new IllegalStateException("tensor " + Quoted.of(name) + " lacks " + (place.end - place.next)
                        + " bytes of '" + target + "'");
            }
        });
        attempt(() -> channel.force(true));
        if (Files.exists(target, LinkOption.NOFOLLOW_LINKS)) {
            throw new HalftoneException(
                    Kind.OUTPUT_TAKEN, "'" + target + "' exists by now", null, "name another output");
        }
        Files.move(partial, target, StandardCopyOption.ATOMIC_MOVE);
        published = true;
    }

    private interface Step {
        void run() throws IOException;
    }

    private void attempt(Step step) {
        try {
            step.run();
        } catch (IOException e) {
            throw new HalftoneException(
                    Kind.RESOURCES,
                    "writing '" + target + "' failed at " + 100 * writtenBytes / Math.max(1, plannedBytes) + " %: "
                            + e.getMessage(),
                    Bytes.text(writtenBytes) + " of " + Bytes.text(plannedBytes)
                            + " written; no partial file was published",
                    "free " + Bytes.text(plannedBytes) + " on that disk, or write to another one",
                    e);
        }
    }

    /// Removes what was written, unless it was published.
    @Override
    public void close() {
        try (channel) {
            if (!published) {
                Files.deleteIfExists(partial);
            }
        } catch (IOException e) {
            throw new UncheckedIOException("could not remove '" + partial + "'", e);
        } finally {
            OPEN.remove(partial);
        }
    }
}

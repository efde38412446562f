package dev.halftone.core.checkpoint;

import dev.halftone.core.tensor.Tensor;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/// Writes one safetensors file whose tensors are known beforehand: the header goes first, then each tensor to its
/// place, in whatever order they come to be. A file that was neither finished nor kept is deleted on [#close]. For one
/// thread.
public final class SafetensorsWriter implements AutoCloseable {
    // A channel takes at most 2 GiB at once; smaller steps let a full disk be noticed early.
    private static final long STEP = 64L << 20;

    private final Path file;
    private final FileChannel channel;
    private final long dataBegin;
    private final Map<String, SafetensorsHeader.Entry> missing = new HashMap<>();
    private boolean unforced = true;
    private boolean kept;

    private SafetensorsWriter(Path file, FileChannel channel, SafetensorsHeader header, byte[] encoded) {
        this.file = file;
        this.channel = channel;
        this.dataBegin = encoded.length;
        header.entries().forEach(entry -> missing.put(entry.spec().name(), entry));
    }

    /// Creates `file`, which must not exist, and writes its header.
    ///
    /// @throws IllegalArgumentException if a name appears twice
    public static SafetensorsWriter create(Path file, Collection<TensorSpec> specs, Map<String, String> metadata)
            throws IOException {
        return create(file, specs, metadata, FileChannel::open);
    }

    /// How a file to write is opened.
    interface ChannelOpener {
        FileChannel open(Path file, StandardOpenOption... options) throws IOException;
    }

    static SafetensorsWriter create(
            Path file, Collection<TensorSpec> specs, Map<String, String> metadata, ChannelOpener opener)
            throws IOException {
        SafetensorsHeader header = SafetensorsHeader.plan(specs, metadata);
        byte[] encoded = header.encode();
        FileChannel channel = opener.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        try {
            SafetensorsWriter writer = new SafetensorsWriter(file, channel, header, encoded);
            writer.writeFully(MemorySegment.ofArray(encoded), 0);
            return writer;
        } catch (IOException | RuntimeException e) {
            try (channel) {
                Files.deleteIfExists(file);
            }
            throw e;
        }
    }

    /// Goes on with a file of the same plan that [#keep] left behind. The file is kept.
    ///
    /// @param written names of the tensors whose data are in it; others of the plan are still to come
    /// @return empty if the file is not there or of another plan
    static Optional<SafetensorsWriter> reopen(
            Path file,
            Collection<TensorSpec> specs,
            Map<String, String> metadata,
            Set<String> written,
            ChannelOpener opener)
            throws IOException {
        SafetensorsHeader header = SafetensorsHeader.plan(specs, metadata);
        byte[] encoded = header.encode();
        if (!Files.isRegularFile(file) || !Arrays.equals(beginning(file, encoded.length), encoded)) {
            return Optional.empty();
        }
        SafetensorsWriter writer =
                new SafetensorsWriter(file, opener.open(file, StandardOpenOption.WRITE), header, encoded);
        writer.missing.keySet().removeAll(written);
        writer.kept = true;
        return Optional.of(writer);
    }

    private static byte[] beginning(Path file, int length) throws IOException {
        try (InputStream input = Files.newInputStream(file)) {
            return input.readNBytes(length);
        }
    }

    /// Bytes that a file with these tensors takes, header included.
    ///
    /// @throws IllegalArgumentException if a name appears twice
    public static long fileBytes(Collection<TensorSpec> specs, Map<String, String> metadata) {
        SafetensorsHeader header = SafetensorsHeader.plan(specs, metadata);
        return Math.addExact(header.encode().length, header.dataBytes());
    }

    /// Writes the data of one planned tensor.
    ///
    /// @throws IllegalArgumentException if it was not planned so, or is already written
    public void write(Tensor tensor) throws IOException {
        SafetensorsHeader.Entry entry = missing.get(tensor.name());
        if (entry == null) {
            throw new IllegalArgumentException(
                    "tensor " + Quoted.of(tensor.name()) + " is not planned for '" + file + "', or already written");
        }
        if (!TensorSpec.of(tensor).equals(entry.spec())) {
            throw new IllegalArgumentException("tensor " + Quoted.of(tensor.name()) + " is " + tensor.type() + " "
                    + tensor.shape() + ", planned as " + entry.spec().type() + " "
                    + entry.spec().shape());
        }
        unforced = true;
        writeFully(tensor.data(), dataBegin + entry.begin());
        missing.remove(tensor.name());
    }

    private void writeFully(MemorySegment data, long position) throws IOException {
        for (long done = 0; done < data.byteSize(); done += STEP) {
            ByteBuffer step =
                    data.asSlice(done, Math.min(STEP, data.byteSize() - done)).asByteBuffer();
            long at = position + done;
            while (step.hasRemaining()) {
                at += channel.write(step, at);
            }
        }
    }

    /// Forces everything to disk and closes the file.
    ///
    /// @throws IllegalStateException if a planned tensor was not written
    public void finish() throws IOException {
        if (!missing.isEmpty()) {
            throw new IllegalStateException("'" + file + "' lacks " + missing.size() + " planned tensors, among them "
                    + Quoted.of(missing.keySet().stream().sorted().findFirst().orElseThrow()));
        }
        keep();
        channel.close();
    }

    /// Forces what was written to disk; from now on [#close] leaves the file to [#reopen].
    void keep() throws IOException {
        if (unforced) {
            channel.force(true);
            unforced = false;
        }
        kept = true;
    }

    /// Deletes the file unless it was finished or kept.
    @Override
    public void close() throws IOException {
        channel.close();
        if (!kept) {
            Files.deleteIfExists(file);
        }
    }
}

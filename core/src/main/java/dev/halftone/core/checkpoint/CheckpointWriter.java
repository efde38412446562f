package dev.halftone.core.checkpoint;

import com.fasterxml.jackson.core.util.DefaultIndenter;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.tensor.Tensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/// Writes a model directory that appears whole or not at all: everything is built in a [StagingDirectory] beside the
/// target and renamed at the end. For one thread.
///
/// A write that the system refuses (disk full, quota, file too large) ends in a [HalftoneException] of
/// [Kind#RESOURCES] that tells how far it got.
public final class CheckpointWriter implements AutoCloseable {
    private static final Map<String, String> METADATA = Map.of("format", "pt");
    private static final ObjectMapper JSON = new ObjectMapper();

    private final StagingDirectory staging;
    private final List<List<TensorSpec>> shards;
    private final Map<String, SafetensorsWriter> writerOf = new LinkedHashMap<>();
    private final List<SafetensorsWriter> writers = new ArrayList<>();
    private final SafetensorsWriter.ChannelOpener opener;
    private final long plannedBytes;
    private long writtenBytes;
    private boolean sealed;

    private CheckpointWriter(
            StagingDirectory staging,
            List<List<TensorSpec>> shards,
            long plannedBytes,
            SafetensorsWriter.ChannelOpener opener) {
        this.staging = staging;
        this.shards = shards;
        this.plannedBytes = plannedBytes;
        this.opener = opener;
    }

    /// Plans the files and starts them beside `directory`, which must be absent or empty.
    ///
    /// @param specs             of every tensor, in the order in which they shall fill the files
    /// @param maximumShardBytes of tensor data in one file; a larger tensor gets a file of its own
    /// @throws HalftoneException if the target is taken ([Kind#OUTPUT_TAKEN]) or the disk too small
    ///     ([Kind#RESOURCES])
    public static CheckpointWriter create(Path directory, Collection<TensorSpec> specs, long maximumShardBytes)
            throws IOException {
        return create(
                directory,
                specs,
                maximumShardBytes,
                parent -> Files.getFileStore(parent).getUsableSpace(),
                FileChannel::open);
    }

    /// Bytes that a file system has left.
    interface FreeSpace {
        long below(Path directory) throws IOException;
    }

    static CheckpointWriter create(
            Path directory,
            Collection<TensorSpec> specs,
            long maximumShardBytes,
            FreeSpace freeSpace,
            SafetensorsWriter.ChannelOpener opener)
            throws IOException {
        List<List<TensorSpec>> shards = split(specs, maximumShardBytes);
        long planned = 0;
        for (List<TensorSpec> shard : shards) {
            planned = Math.addExact(planned, SafetensorsWriter.fileBytes(shard, METADATA));
        }
        StagingDirectory staging = StagingDirectory.beside(directory);
        CheckpointWriter writer = new CheckpointWriter(staging, shards, planned, opener);
        try {
            long free = freeSpace.below(staging.path());
            if (free < planned) {
                throw new HalftoneException(
                        Kind.RESOURCES,
                        "not enough disk for '" + directory + "'",
                        "needs " + Bytes.text(planned) + ", " + Bytes.text(free) + " free on the disk of '"
                                + staging.target().getParent() + "'",
                        "free " + Bytes.text(planned - free) + " there, or write to another disk");
            }
            writer.start();
        } catch (IOException | RuntimeException e) {
            try (writer) {
                throw e;
            }
        }
        return writer;
    }

    private static List<List<TensorSpec>> split(Collection<TensorSpec> specs, long maximumShardBytes) {
        if (maximumShardBytes < 1) {
            throw new IllegalArgumentException("a shard of " + maximumShardBytes + " bytes holds nothing");
        }
        List<List<TensorSpec>> shards = new ArrayList<>();
        shards.add(new ArrayList<>());
        long filled = 0;
        for (TensorSpec spec : specs) {
            if (filled > maximumShardBytes - spec.bytes() && !shards.getLast().isEmpty()) {
                shards.add(new ArrayList<>());
                filled = 0;
            }
            shards.getLast().add(spec);
            filled = Math.addExact(filled, spec.bytes());
        }
        return shards;
    }

    private void start() throws IOException {
        for (int i = 0; i < shards.size(); i++) {
            Path file = staging.path().resolve(fileName(i));
            List<TensorSpec> shard = shards.get(i);
            attempt(() -> writers.add(SafetensorsWriter.create(file, shard, METADATA, opener)));
            for (TensorSpec spec : shard) {
                if (writerOf.put(spec.name(), writers.getLast()) != null) {
                    throw new IllegalArgumentException("tensor " + Quoted.of(spec.name()) + " is planned twice");
                }
            }
        }
    }

    private String fileName(int shard) {
        return shards.size() == 1
                ? CheckpointFiles.SINGLE
                : "model-%05d-of-%05d.safetensors".formatted(shard + 1, shards.size());
    }

    /// Writes one planned tensor to its place.
    ///
    /// @throws IllegalArgumentException if it was not planned so, or is already written
    public void write(Tensor tensor) throws IOException {
        SafetensorsWriter writer = writerOf.get(tensor.name());
        if (writer == null) {
            throw new IllegalArgumentException("tensor " + Quoted.of(tensor.name()) + " is not planned");
        }
        attempt(() -> writer.write(tensor));
        writtenBytes += tensor.data().byteSize();
    }

    /// Writes an indented JSON file.
    public void writeJson(String file, JsonNode tree) throws IOException {
        DefaultPrettyPrinter printer = new DefaultPrettyPrinter();
        printer.indentArraysWith(DefaultIndenter.SYSTEM_LINEFEED_INSTANCE.withLinefeed("\n"));
        printer.indentObjectsWith(DefaultIndenter.SYSTEM_LINEFEED_INSTANCE.withLinefeed("\n"));
        writeFile(file, JSON.writer(printer).writeValueAsString(tree) + "\n");
    }

    /// Copies a file under its own name.
    public void copyFile(Path source) throws IOException {
        byte[] contents = Files.readAllBytes(source);
        writeBytes(source.getFileName().toString(), contents);
    }

    private void writeFile(String file, String text) throws IOException {
        writeBytes(file, text.getBytes(StandardCharsets.UTF_8));
    }

    private void writeBytes(String name, byte[] contents) throws IOException {
        Path file = FileNames.inside(staging.path(), name);
        attempt(() -> {
            try (FileChannel channel = opener.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                ByteBuffer buffer = ByteBuffer.wrap(contents);
                while (buffer.hasRemaining()) {
                    int written = channel.write(buffer);
                    assert written >= 0;
                }
                channel.force(true);
            }
        });
    }

    /// Forces all tensors to disk and completes the directory, which can now be opened where it was built, to look at
    /// it before it is published. Other files may still be written, tensors not.
    ///
    /// @return where it was built
    /// @throws IllegalStateException if a planned tensor was not written
    public Path seal() throws IOException {
        if (!sealed) {
            for (SafetensorsWriter writer : writers) {
                attempt(writer::finish);
            }
            if (shards.size() > 1) {
                writeJson(CheckpointFiles.INDEX, index());
            }
            sealed = true;
        }
        return staging.path();
    }

    /// Seals the directory if that was not done, and moves it into its place.
    ///
    /// @throws IllegalStateException if a planned tensor was not written
    /// @throws HalftoneException     if something has taken the target meanwhile
    public void publish() throws IOException {
        seal();
        staging.publish();
    }

    private ObjectNode index() {
        ObjectNode index = JsonNodeFactory.instance.objectNode();
        Map<String, String> files = new TreeMap<>();
        long total = 0;
        for (int i = 0; i < shards.size(); i++) {
            for (TensorSpec spec : shards.get(i)) {
                files.put(spec.name(), fileName(i));
                total = Math.addExact(total, spec.bytes());
            }
        }
        index.putObject("metadata").put("total_size", total);
        ObjectNode map = index.putObject("weight_map");
        files.forEach(map::put);
        return index;
    }

    private interface Step {
        void run() throws IOException;
    }

    /// The system words its refusals in the user's language, so every failed write is reported in the same way
    /// instead of looking for "No space left on device".
    private void attempt(Step step) {
        try {
            step.run();
        } catch (IOException e) {
            long percent = plannedBytes == 0 ? 100 : (long) (100.0 * writtenBytes / plannedBytes);
            throw new HalftoneException(
                    Kind.RESOURCES,
                    "writing '" + staging.target() + "' failed at " + percent + " %: " + e.getMessage(),
                    Bytes.text(writtenBytes) + " of " + Bytes.text(plannedBytes)
                            + " written; no partial model was published",
                    "free " + Bytes.text(plannedBytes) + " on that disk, or write to another one",
                    e);
        }
    }

    /// Removes everything that was written, unless it was published.
    @Override
    public void close() {
        try (staging) {
            closeFrom(0);
        } catch (IOException e) {
            throw new UncheckedIOException("could not remove '" + staging.path() + "'", e);
        }
    }

    /// Closes every writer, even if one of them fails.
    private void closeFrom(int first) throws IOException {
        if (first < writers.size()) {
            try (SafetensorsWriter writer = writers.get(first)) {
                assert writer != null;
                closeFrom(first + 1);
            }
        }
    }
}

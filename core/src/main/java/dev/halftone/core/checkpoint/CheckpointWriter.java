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
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;

/// Writes a model directory that appears whole or not at all: everything is built in a [StagingDirectory] beside the
/// target and renamed at the end. For one thread.
///
/// What is written can be made to last with [#commit]. When the run then ends without publishing, however it ends, the
/// staging directory stays, and a writer opened with [#resumable] for the same target and tensors goes on.
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
    private final SortedSet<String> written = new TreeSet<>();
    private final Disk disk;
    private final long plannedBytes;
    private SavedProgress saved; // null if there is none, or none yet
    private int commits;
    private long writtenBytes;
    private boolean sealed;

    private CheckpointWriter(StagingDirectory staging, List<List<TensorSpec>> shards, long plannedBytes, Disk disk) {
        this.staging = staging;
        this.shards = shards;
        this.plannedBytes = plannedBytes;
        this.disk = disk;
    }

    /// Plans the files and starts them beside `directory`, which must be absent or empty.
    ///
    /// @param specs             of every tensor, in the order in which they shall fill the files
    /// @param maximumShardBytes of tensor data in one file; a larger tensor gets a file of its own
    /// @throws HalftoneException if the target is taken, or an interrupted run for it left progress
    ///     ([Kind#OUTPUT_TAKEN]), or the disk is too small ([Kind#RESOURCES])
    public static CheckpointWriter create(Path directory, Collection<TensorSpec> specs, long maximumShardBytes)
            throws IOException {
        return create(directory, specs, maximumShardBytes, Disk.SYSTEM);
    }

    static CheckpointWriter create(Path directory, Collection<TensorSpec> specs, long maximumShardBytes, Disk disk)
            throws IOException {
        return open(directory, specs, maximumShardBytes, 0, Leftovers.REFUSE, disk);
    }

    /// As [#create], without anything that an interrupted run left.
    public static CheckpointWriter createAfresh(
            Path directory, Collection<TensorSpec> specs, long maximumShardBytes, long progressBytes, Disk disk)
            throws IOException {
        return open(directory, specs, maximumShardBytes, progressBytes, Leftovers.DISCARD, disk);
    }

    /// As [#create], but if an interrupted run left progress for this target, that is [#saved], nothing is touched,
    /// and the caller either closes the writer or calls [#resume] before anything else.
    ///
    /// @param progressBytes that [#commit] will be given at most to put beside the model
    public static CheckpointWriter resumable(
            Path directory, Collection<TensorSpec> specs, long maximumShardBytes, long progressBytes, Disk disk)
            throws IOException {
        return open(directory, specs, maximumShardBytes, progressBytes, Leftovers.KEEP, disk);
    }

    private static CheckpointWriter open(
            Path directory,
            Collection<TensorSpec> specs,
            long maximumShardBytes,
            long progressBytes,
            Leftovers leftovers,
            Disk disk)
            throws IOException {
        List<List<TensorSpec>> shards = split(specs, maximumShardBytes);
        StagingDirectory staging = StagingDirectory.beside(directory, leftovers);
        CheckpointWriter writer = new CheckpointWriter(staging, shards, fileBytes(shards), disk);
        try {
            long needed = Math.addExact(writer.plannedBytes, progressBytes);
            if (staging.kept()) {
                writer.saved = SavedProgress.read(staging.root());
                needed -= writer.bytes(writer.saved);
            }
            writer.requireFree(needed);
            if (writer.saved == null) {
                writer.start();
            }
        } catch (IOException | RuntimeException e) {
            try (writer) {
                throw e;
            }
        }
        return writer;
    }

    /// @throws HalftoneException of kind OUTPUT_TAKEN if nothing can be published at `directory`
    public static void requireUntaken(Path directory) throws IOException {
        StagingDirectory.refuseTaken(directory.toAbsolutePath().normalize());
    }

    /// Bytes of all files that [#create] with these arguments plans, headers included.
    public static long fileBytes(Collection<TensorSpec> specs, long maximumShardBytes) {
        return fileBytes(split(specs, maximumShardBytes));
    }

    private static long fileBytes(List<List<TensorSpec>> shards) {
        long bytes = 0;
        for (List<TensorSpec> shard : shards) {
            bytes = Math.addExact(bytes, SafetensorsWriter.fileBytes(shard, METADATA));
        }
        return bytes;
    }

    /// Bytes that are on the disk already.
    private long bytes(SavedProgress progress) throws IOException {
        long bytes = shards.stream()
                .flatMap(List::stream)
                .filter(spec -> progress.written().contains(spec.name()))
                .mapToLong(TensorSpec::bytes)
                .sum();
        Path tensors = progress.tensors() == null ? null : staging.root().resolve(progress.tensors());
        return tensors != null && Files.exists(tensors) ? bytes + Files.size(tensors) : bytes;
    }

    private void requireFree(long needed) throws IOException {
        long free = disk.free(staging.path());
        if (free < needed) {
            throw new HalftoneException(
                    Kind.RESOURCES,
                    "not enough disk for '" + staging.target() + "'",
                    "needs " + Bytes.text(needed) + ", " + Bytes.text(free) + " free on the disk of '"
                            + staging.target().getParent() + "'",
                    "free " + Bytes.text(needed - free) + " there, or write to another disk");
        }
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
            attempt(() -> add(shard, SafetensorsWriter.create(file, shard, METADATA, disk::open)));
        }
    }

    private void add(List<TensorSpec> shard, SafetensorsWriter writer) {
        writers.add(writer);
        for (TensorSpec spec : shard) {
            if (writerOf.put(spec.name(), writer) != null) {
                throw new IllegalArgumentException("tensor " + Quoted.of(spec.name()) + " is planned twice");
            }
        }
    }

    /// The state that the last [#commit] of an interrupted run was given; empty if there was none.
    public Optional<ObjectNode> saved() {
        return Optional.ofNullable(saved).map(progress -> progress.state().deepCopy());
    }

    /// The tensors that the last [#commit] was given to put beside the model; views that live as long as `arena`.
    public Map<String, Tensor> savedTensors(Arena arena) throws IOException {
        return saved == null || saved.tensors() == null
                ? Map.of()
                : SafetensorsFile.map(staging.root().resolve(saved.tensors()), arena)
                        .tensors();
    }

    /// Goes on with what [#saved] found: the tensors written until then need not be written again, and everything else
    /// is removed.
    ///
    /// @throws HalftoneException if the files are not those of this plan
    public void resume() throws IOException {
        for (int i = 0; i < shards.size(); i++) {
            String file = fileName(i);
            List<TensorSpec> shard = shards.get(i);
            attempt(() -> add(
                    shard,
                    SafetensorsWriter.reopen(staging.path().resolve(file), shard, METADATA, saved.written(), disk::open)
                            .orElseThrow(() -> SavedProgress.damaged(
                                    staging.root(), "'" + file + "' is missing or of another plan"))));
        }
        for (TensorSpec spec : shards.stream().flatMap(List::stream).toList()) {
            if (saved.written().contains(spec.name())) {
                written.add(spec.name());
                writtenBytes += spec.bytes();
            }
        }
        removeAllBut(staging.path(), shardNames());
        staging.removeAllBut(saved.names());
    }

    private Set<String> shardNames() {
        Set<String> names = new HashSet<>();
        for (int i = 0; i < shards.size(); i++) {
            names.add(fileName(i));
        }
        return names;
    }

    private static void removeAllBut(Path directory, Set<String> names) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            for (Path file : files.toList()) {
                if (!names.contains(file.getFileName().toString())) {
                    Files.delete(file);
                }
            }
        }
    }

    /// Fills a file that lies beside the model.
    public interface Filler {
        void fill(SafetensorsWriter file) throws IOException;
    }

    /// Makes all tensors written so far last, with what a later run needs to go on from here; it takes the place of
    /// what the commit before kept. Only now is anything forced to disk.
    ///
    /// @param state  comes back from [#saved]
    /// @param specs  of tensors that come back from [#savedTensors]; may be none
    /// @param filler writes them
    public void commit(ObjectNode state, Collection<TensorSpec> specs, Filler filler) throws IOException {
        attempt(() -> {
            for (SafetensorsWriter writer : writers) {
                writer.keep();
            }
            StagingDirectory.force(staging.path());
            SavedProgress progress = new SavedProgress(written, specs.isEmpty() ? null : unusedName(), state);
            if (!specs.isEmpty()) {
                Path file = staging.root().resolve(progress.tensors());
                try (SafetensorsWriter beside = SafetensorsWriter.create(file, specs, METADATA, disk::open)) {
                    filler.fill(beside);
                    beside.finish();
                }
            }
            progress.write(staging.root(), disk);
            staging.keep(true);
            saved = progress;
            staging.removeAllBut(progress.names());
        });
    }

    private String unusedName() {
        String name;
        do {
            name = "tensors-%05d.safetensors".formatted(++commits);
        } while (Files.exists(staging.root().resolve(name)));
        return name;
    }

    /// Has [#close] remove everything, progress included.
    public void discard() {
        staging.keep(false);
    }

    /// Where a run that ends now leaves its progress; empty if it leaves none.
    public Optional<Path> progress() {
        return staging.kept() ? Optional.of(staging.root()) : Optional.empty();
    }

    /// Names of the tensors that are written.
    public Set<String> written() {
        return Collections.unmodifiableSet(written);
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
        written.add(tensor.name());
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
            try (FileChannel channel = disk.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
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
                            + " written; no partial model was published"
                            + progress()
                                    .map(kept -> ", what was finished is kept")
                                    .orElse(""),
                    progress().isPresent()
                            ? "free some of that disk; the same command goes on then"
                            : "free " + Bytes.text(plannedBytes) + " on that disk, or write to another one",
                    e);
        }
    }

    /// Removes everything that was written, unless it was published or there is progress to keep.
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

package dev.halftone.core.checkpoint;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;

/// A model directory, opened for reading: its configuration and all tensors of all its files. Every header has been
/// checked when [#open] returns, and tensors are views of mapped files that live until [#close]. May be read from
/// many threads.
public final class Checkpoint implements AutoCloseable {
    static final String CONFIG = "config.json";

    private final Path directory;
    private final ObjectNode config;
    private final Arena arena;
    private final SortedMap<String, Tensor> tensors = new TreeMap<>();
    private final Map<String, Path> files = new HashMap<>();

    private Checkpoint(Path directory, ObjectNode config, Arena arena) {
        this.directory = directory;
        this.config = config;
        this.arena = arena;
    }

    /// Opens a directory with `config.json` and weights: the shards that `model.safetensors.index.json` names, else
    /// `model.safetensors`, else every `*.safetensors`.
    ///
    /// @throws HalftoneException if there is no such model, or it is broken
    public static Checkpoint open(Path directory) throws IOException {
        CheckpointFiles found = CheckpointFiles.in(directory);
        ObjectNode config = JsonFiles.read(directory.resolve(CONFIG));
        Arena arena = Arena.ofShared();
        Checkpoint checkpoint = new Checkpoint(directory, config, arena);
        try {
            for (Path file : found.weights()) {
                checkpoint.add(SafetensorsFile.map(file, arena));
            }
            found.requireIndexed(checkpoint.files);
        } catch (IOException | RuntimeException e) {
            checkpoint.close();
            throw e;
        }
        return checkpoint;
    }

    private void add(SafetensorsFile file) {
        for (Tensor tensor : file.tensors().values()) {
            Path other = files.put(tensor.name(), file.file());
            if (other != null) {
                throw new MalformedCheckpointException(
                        file.file(),
                        tensor.name(),
                        "the same tensor is also in '" + other.getFileName() + "'",
                        null,
                        "remove the files that do not belong to this model");
            }
            tensors.put(tensor.name(), tensor);
        }
    }

    public Path directory() {
        return directory;
    }

    /// The tree of `config.json`, as it is. A copy: the caller may change it.
    public ObjectNode config() {
        return config.deepCopy();
    }

    /// The tree of another file of the directory, such as `generation_config.json`; empty if there is none.
    ///
    /// @throws MalformedCheckpointException if it is not a JSON object
    public Optional<ObjectNode> json(String file) throws IOException {
        Path path = FileNames.inside(directory, file);
        return Files.isRegularFile(path) ? Optional.of(JsonFiles.read(path)) : Optional.empty();
    }

    public boolean has(String tensor) {
        return tensors.containsKey(tensor);
    }

    /// @throws MalformedCheckpointException if there is none of this name
    public Tensor tensor(String name) {
        Tensor tensor = tensors.get(name);
        if (tensor == null) {
            throw new MalformedCheckpointException(
                    directory,
                    name,
                    "tensor is missing",
                    "the checkpoint has " + tensors.size() + " tensors"
                            + NearestName.of(name, tensors.keySet())
                                    .map(near -> ", among them " + Quoted.of(near))
                                    .orElse(""),
                    "check that all weight files were downloaded and that config.json is of the same model");
        }
        return tensor;
    }

    /// All tensors by name.
    public SortedMap<String, Tensor> tensors() {
        return Collections.unmodifiableSortedMap(tensors);
    }

    /// The file that holds a tensor.
    ///
    /// @throws MalformedCheckpointException if there is none of this name
    public Path file(String tensor) {
        return files.get(tensor(tensor).name());
    }

    /// The weight files, sorted by name.
    public List<Path> files() {
        return files.values().stream().distinct().sorted().toList();
    }

    /// Looks for NaN and infinity in a floating-point tensor.
    ///
    /// @throws MalformedCheckpointException with the first index at fault and their number
    public void requireFinite(String tensor) {
        FiniteCheck.require(file(tensor), tensor(tensor));
    }

    /// Tells the system that the tensors whose names begin so are not needed for now: pages of their files that
    /// were read count no longer as memory of this process. They may be read again at any time.
    public void release(String prefix) {
        for (Tensor tensor : tensors.tailMap(prefix).values()) {
            if (!tensor.name().startsWith(prefix)) {
                return;
            }
            if (tensor.data().isMapped() && tensor.data().byteSize() > 0) {
                tensor.data().unload();
            }
        }
    }

    /// Unmaps the files; the tensors end here.
    @Override
    public void close() {
        if (arena.scope().isAlive()) {
            arena.close();
        }
    }
}

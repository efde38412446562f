package dev.halftone.core.model;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.SafetensorsFile;
import dev.halftone.core.tensor.Tensor;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Map;

/// A tiny random model of a family, with what transformers computes for it, unpacked from the test resources: these
/// may lie in a jar, and a checkpoint is mapped from a directory.
public final class GoldenFamily implements AutoCloseable {
    /// The families that have golden files.
    public static final List<String> NAMES = List.of(
            "llama2",
            "llama3",
            "llama31",
            "llama-linear",
            "llama-dynamic",
            "llama-headdim",
            "tinyllama",
            "smollm2",
            "mistral",
            "qwen2",
            "qwen3");

    private static final List<String> FILES = List.of(
            "config.json",
            "config-rope-parameters.json",
            "generation_config.json",
            "model.safetensors",
            "model.safetensors.index.json",
            "model-00001-of-00003.safetensors",
            "model-00002-of-00003.safetensors",
            "model-00003-of-00003.safetensors");

    private final Path directory;
    private final Arena arena = Arena.ofShared();
    private final Map<String, Tensor> expected;

    private GoldenFamily(Path directory, Path expectedFile) throws IOException {
        this.directory = directory;
        this.expected = SafetensorsFile.map(expectedFile, arena).tensors();
    }

    /// Unpacks `name` below `parent`.
    public static GoldenFamily open(String name, Path parent) throws IOException {
        Path directory = Files.createDirectories(parent.resolve(name));
        for (String file : FILES) {
            copy(name, file, directory.resolve(file));
        }
        Path expected = parent.resolve(name + "-expected.safetensors");
        copy(name, "expected.safetensors", expected);
        return new GoldenFamily(directory, expected);
    }

    private static void copy(String name, String file, Path target) throws IOException {
        try (InputStream in = GoldenFamily.class.getResourceAsStream("/golden/families/" + name + "/" + file)) {
            if (in != null) {
                Files.copy(in, target, StandardCopyOption.REPLACE_EXISTING);
            }
        }
    }

    public Path directory() {
        return directory;
    }

    public Checkpoint checkpoint() throws IOException {
        return Checkpoint.open(directory);
    }

    public ObjectNode json(String file) throws IOException {
        return (ObjectNode) new ObjectMapper().readTree(directory.resolve(file).toFile());
    }

    /// An expected tensor of floats.
    public float[] floats(String name) {
        return tensor(name).toFloats();
    }

    /// An expected tensor of integers.
    public int[] ints(String name) {
        return tensor(name).toInts();
    }

    private Tensor tensor(String name) {
        Tensor tensor = expected.get(name);
        if (tensor == null) {
            throw new IllegalArgumentException("no golden tensor " + name + ", only " + expected.keySet());
        }
        return tensor;
    }

    @Override
    public void close() {
        arena.close();
    }
}

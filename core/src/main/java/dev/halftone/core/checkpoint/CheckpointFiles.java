package dev.halftone.core.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;

/// Which files of a directory hold the weights.
///
/// @param directory of the model
/// @param weights   safetensors files, sorted
/// @param placed    file name of each tensor that an index names; empty without an index
record CheckpointFiles(Path directory, List<Path> weights, SortedMap<String, String> placed) {
    static final String SINGLE = "model.safetensors";
    static final String INDEX = "model.safetensors.index.json";

    private static final String SUFFIX = ".safetensors";
    private static final List<String> PICKLES = List.of(".bin", ".pt", ".pth", ".ckpt", ".pkl");

    /// @throws HalftoneException if `directory` is not a model
    static CheckpointFiles in(Path directory) throws IOException {
        if (!Files.isDirectory(directory)) {
            throw noModel(directory);
        }
        List<String> names;
        try (Stream<Path> files = Files.list(directory)) {
            names = files.filter(Files::isRegularFile)
                    .map(file -> file.getFileName().toString())
                    .sorted()
                    .toList();
        }
        List<String> weights =
                names.stream().filter(name -> name.endsWith(SUFFIX)).toList();
        if (!names.contains(Checkpoint.CONFIG)) {
            throw new MalformedCheckpointException(
                    directory,
                    null,
                    "has " + weights.size() + " " + SUFFIX + " and no config.json",
                    null,
                    "copy config.json from the original model");
        }
        if (names.contains(INDEX)) {
            return indexed(directory, weights);
        }
        if (weights.isEmpty()) {
            throw noWeights(directory, names);
        }
        List<String> chosen = weights.contains(SINGLE) ? List.of(SINGLE) : weights;
        return new CheckpointFiles(
                directory, chosen.stream().map(directory::resolve).toList(), new TreeMap<>());
    }

    private static HalftoneException noModel(Path directory) throws IOException {
        if (Files.exists(directory)) {
            Path parent = directory.toAbsolutePath().getParent();
            return new HalftoneException(
                    Kind.INPUT,
                    "'" + directory + "' is a file",
                    "a model is a directory with config.json and weights",
                    "give its directory: '" + parent + "'");
        }
        String remedy = "check the path";
        Path parent = directory.toAbsolutePath().normalize().getParent();
        if (parent != null && Files.isDirectory(parent) && directory.getFileName() != null) {
            try (Stream<Path> siblings = Files.list(parent)) {
                List<String> names = siblings.filter(Files::isDirectory)
                        .map(sibling -> sibling.getFileName().toString())
                        .sorted()
                        .toList();
                remedy = NearestName.of(directory.getFileName().toString(), names)
                        .map(near -> "did you mean '" + directory.resolveSibling(near) + "'?")
                        .orElse(remedy);
            }
        }
        return new HalftoneException(Kind.INPUT, "no model at '" + directory + "'", "no such directory", remedy);
    }

    private static MalformedCheckpointException noWeights(Path directory, List<String> names) {
        List<String> pickles = names.stream()
                .filter(name -> PICKLES.stream().anyMatch(name::endsWith))
                .toList();
        if (pickles.isEmpty()) {
            return new MalformedCheckpointException(
                    directory,
                    null,
                    "has no " + SUFFIX + " file",
                    "found " + (names.size() > 8 ? names.size() + " other files" : names),
                    "download the weights in safetensors format");
        }
        return new MalformedCheckpointException(
                directory,
                null,
                "has its weights only as pickle: " + pickles,
                "pickle files can run code when they are opened, so they are not read",
                "download the safetensors version of the model, or convert it in Python with safetensors.torch");
    }

    private static CheckpointFiles indexed(Path directory, List<String> present) throws IOException {
        Path index = directory.resolve(INDEX);
        JsonNode map = JsonFiles.read(index).path("weight_map");
        if (!map.isObject() || map.isEmpty()) {
            throw new MalformedCheckpointException(
                    index,
                    null,
                    "has no weight_map",
                    "expected an object from tensor names to file names",
                    "copy the index from the original model");
        }
        SortedMap<String, String> placed = new TreeMap<>();
        for (Map.Entry<String, JsonNode> entry : map.properties()) {
            String shard = entry.getValue().isTextual() ? entry.getValue().textValue() : "";
            if (!FileNames.isPlain(shard) || !shard.endsWith(SUFFIX)) {
                throw new MalformedCheckpointException(
                        index,
                        entry.getKey(),
                        "weight_map does not name a " + SUFFIX + " file of this directory",
                        "found " + (shard.isEmpty() ? entry.getValue().getNodeType() : Quoted.of(shard)),
                        "copy the index from the original model");
            }
            placed.put(entry.getKey(), shard);
        }
        SortedSet<String> shards = new TreeSet<>(placed.values());
        List<String> missing =
                shards.stream().filter(shard -> !present.contains(shard)).toList();
        if (!missing.isEmpty()) {
            List<String> unnamed =
                    present.stream().filter(file -> !shards.contains(file)).toList();
            throw new MalformedCheckpointException(
                    index,
                    null,
                    "names " + missing.size() + " of " + shards.size() + " files that are not there",
                    "missing " + missing + (unnamed.isEmpty() ? "" : "; present but not named " + unnamed),
                    "download the missing files");
        }
        return new CheckpointFiles(
                directory, shards.stream().map(directory::resolve).toList(), placed);
    }

    /// Compares what the index promised with what the files hold.
    ///
    /// @param found file of each tensor
    /// @throws MalformedCheckpointException if a tensor is not in the file that the index names
    void requireIndexed(Map<String, Path> found) {
        placed.forEach((tensor, shard) -> {
            Path file = found.get(tensor);
            if (file == null || !file.getFileName().toString().equals(shard)) {
                throw new MalformedCheckpointException(
                        directory.resolve(shard),
                        tensor,
                        "tensor is not in the file that " + INDEX + " names",
                        file == null ? "no file has it" : "found in '" + file.getFileName() + "'",
                        "download index and weights again, of the same version");
            }
        });
    }
}

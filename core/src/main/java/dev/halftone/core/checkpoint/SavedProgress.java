package dev.halftone.core.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Collections;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeSet;

/// The file `progress.json` of a staging directory. It is renamed into place after everything that it names has been
/// forced to disk, so that it is always true, whenever the machine stops.
///
/// @param written names of the tensors that are in the model's files
/// @param tensors name of a safetensors file beside this one that holds what the caller wants back, or null
/// @param state   what else the caller wants back
record SavedProgress(SortedSet<String> written, String tensors, ObjectNode state) {
    private static final String FILE = "progress.json";
    private static final String NEXT = "progress.json.next";
    private static final ObjectMapper JSON = new ObjectMapper();

    SavedProgress {
        written = Collections.unmodifiableSortedSet(new TreeSet<>(written));
    }

    static boolean in(Path root) {
        return Files.exists(root.resolve(FILE));
    }

    static void remove(Path root) throws IOException {
        Files.deleteIfExists(root.resolve(FILE));
    }

    /// @throws HalftoneException if it is not what [#write] writes
    static SavedProgress read(Path root) throws IOException {
        ObjectNode tree;
        try {
            tree = JsonFiles.read(root.resolve(FILE));
        } catch (MalformedCheckpointException e) {
            throw damaged(root, e.getMessage());
        }
        JsonNode tensors = tree.path("tensors");
        boolean named = tensors.isTextual() && FileNames.isPlain(tensors.textValue());
        if (!(tree.get("state") instanceof ObjectNode state) || !(tensors.isNull() || named)) {
            throw damaged(root, FILE + " is incomplete");
        }
        SortedSet<String> written = new TreeSet<>();
        tree.path("written").forEach(name -> written.add(name.asText()));
        return new SavedProgress(written, named ? tensors.textValue() : null, state);
    }

    /// Replaces the file at once and for good.
    void write(Path root, Disk disk) throws IOException {
        ObjectNode tree = JSON.createObjectNode();
        tree.putPOJO("written", written);
        tree.put("tensors", tensors);
        tree.set("state", state);
        Path next = root.resolve(NEXT);
        try (FileChannel channel = disk.open(
                next, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            ByteBuffer bytes = ByteBuffer.wrap(JSON.writeValueAsBytes(tree));
            while (bytes.hasRemaining()) {
                int count = channel.write(bytes);
                assert count >= 0;
            }
            channel.force(true);
        }
        Files.move(next, root.resolve(FILE), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        StagingDirectory.force(root);
    }

    /// Names in the staging directory that mean something to a later run.
    Set<String> names() {
        return tensors == null ? Set.of(FILE) : Set.of(FILE, tensors);
    }

    static HalftoneException damaged(Path root, String problem) {
        return new HalftoneException(
                Kind.INPUT,
                "cannot go on with what an interrupted run left in '" + root + "'",
                problem,
                "start over with --fresh, or remove that directory");
    }
}

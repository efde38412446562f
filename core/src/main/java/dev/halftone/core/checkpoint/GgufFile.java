package dev.halftone.core.checkpoint;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SequencedMap;

/// One [GGUF](https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) file, version 2 or 3, mapped read-only: a
/// whole model with its settings and its tokenizer.
public final class GgufFile {
    private final Path file;
    private final int version;
    private final GgufMetadata metadata;
    private final SequencedMap<String, GgufTensor> tensors;

    private GgufFile(Path file, int version, GgufMetadata metadata, SequencedMap<String, GgufTensor> tensors) {
        this.file = file;
        this.version = version;
        this.metadata = metadata;
        this.tensors = tensors;
    }

    /// Maps `file` and checks everything in front of its data. The tensors are views that live as long as `arena`.
    ///
    /// @throws MalformedCheckpointException if the file is not a sound GGUF file
    public static GgufFile map(Path file, Arena arena) throws IOException {
        if (!Files.isRegularFile(file)) {
            String found = Files.exists(file) ? "is no regular file" : "does not exist";
            throw new MalformedCheckpointException(file, null, found, null, "check the path");
        }
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            return of(file, channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena));
        }
    }

    /// Reads `contents`, the bytes of `file`.
    static GgufFile of(Path file, MemorySegment contents) {
        GgufParser parser = new GgufParser(file, contents);
        Map<String, GgufValue> values = parser.parse();
        SequencedMap<String, GgufTensor> tensors = new LinkedHashMap<>();
        for (GgufParser.Entry entry : parser.entries()) {
            GgufSpec spec = entry.spec();
            // In bounds: the parser has made the entries tile the bytes behind the header.
            MemorySegment data = contents.asSlice(entry.begin(), spec.bytes());
            tensors.put(spec.name(), new GgufTensor(spec.name(), spec.type(), spec.shape(), data));
        }
        return new GgufFile(
                file, parser.version(), new GgufMetadata(file, values), Collections.unmodifiableSequencedMap(tensors));
    }

    public Path file() {
        return file;
    }

    /// Of the container, 2 or 3.
    public int version() {
        return version;
    }

    public GgufMetadata metadata() {
        return metadata;
    }

    /// By name, in the order of the data.
    public SequencedMap<String, GgufTensor> tensors() {
        return tensors;
    }

    /// @throws MalformedCheckpointException if there is none of this name
    public GgufTensor tensor(String name) {
        GgufTensor tensor = tensors.get(name);
        if (tensor == null) {
            throw new MalformedCheckpointException(
                    file,
                    name,
                    "tensor is missing",
                    "the file has " + tensors.size() + " tensors"
                            + NearestName.of(name, tensors.keySet())
                                    .map(near -> ", among them " + Quoted.of(near))
                                    .orElse(""),
                    "download the file again, or another file of the same model");
        }
        return tensor;
    }
}

package dev.halftone.core.checkpoint;

import dev.halftone.core.tensor.LittleEndian;
import dev.halftone.core.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/// One safetensors file, mapped read-only: nothing is copied, and no size is too large.
public final class SafetensorsFile {
    private static final String AGAIN = "download the file again";
    private static final int SNIFFED = 64;

    private final Path file;
    private final Map<String, String> metadata;
    private final Map<String, Tensor> tensors;

    private SafetensorsFile(Path file, Map<String, String> metadata, Map<String, Tensor> tensors) {
        this.file = file;
        this.metadata = metadata;
        this.tensors = tensors;
    }

    /// Maps `file` and checks its whole header. The tensors are views that live as long as `arena`.
    ///
    /// @throws MalformedCheckpointException if the file is not a sound safetensors file
    public static SafetensorsFile map(Path file, Arena arena) throws IOException {
        if (!Files.isRegularFile(file)) {
            String found = Files.exists(file) ? "is no regular file" : "does not exist";
            throw new MalformedCheckpointException(file, null, found, null, "check the path");
        }
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            return of(file, channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena));
        }
    }

    /// Reads `contents`, the bytes of `file`.
    static SafetensorsFile of(Path file, MemorySegment contents) {
        refuseImpostor(file, contents);
        long size = contents.byteSize();
        if (size < SafetensorsHeader.LENGTH_BYTES) {
            throw new MalformedCheckpointException(
                    file, null, size == 0 ? "file is empty" : "file is too short", size + " bytes", AGAIN);
        }
        long length = contents.get(LittleEndian.LONG, 0);
        if (length < 0 || length > SafetensorsHeader.LARGEST) {
            throw new MalformedCheckpointException(
                    file,
                    null,
                    "not a safetensors file",
                    "header length is " + Long.toUnsignedString(length) + ", the format allows "
                            + SafetensorsHeader.LARGEST,
                    AGAIN);
        }
        long begin = SafetensorsHeader.LENGTH_BYTES + length;
        if (begin > size) {
            throw new MalformedCheckpointException(
                    file,
                    null,
                    "file is cut short within its header",
                    "header takes " + begin + " bytes, file has " + size,
                    AGAIN);
        }
        byte[] json = contents.asSlice(SafetensorsHeader.LENGTH_BYTES, length).toArray(ValueLayout.JAVA_BYTE);
        SafetensorsHeader header = SafetensorsHeaderParser.parse(file, json, size - begin);
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        for (SafetensorsHeader.Entry entry : header.entries()) {
            TensorSpec spec = entry.spec();
            // In bounds: the parser has made the entries tile the bytes after the header.
            MemorySegment data = contents.asSlice(begin + entry.begin(), spec.bytes());
            tensors.put(spec.name(), new Tensor(spec.name(), spec.type(), spec.shape(), data));
        }
        return new SafetensorsFile(file, header.metadata(), Collections.unmodifiableMap(tensors));
    }

    /// What a failed download leaves under the name of a weight file.
    static void refuseImpostor(Path file, MemorySegment contents) {
        byte[] first =
                contents.asSlice(0, Math.min(SNIFFED, contents.byteSize())).toArray(ValueLayout.JAVA_BYTE);
        String text = new String(first, StandardCharsets.ISO_8859_1).strip().toLowerCase(Locale.ROOT);
        String size = contents.byteSize() + "-byte ";
        if (text.startsWith("version https://git-lfs")) {
            throw new MalformedCheckpointException(
                    file, null, "is a " + size + "Git LFS pointer, not the weights", null, "run: git lfs pull");
        }
        if (text.startsWith("<!doctype") || text.startsWith("<html") || text.startsWith("<?xml")) {
            throw new MalformedCheckpointException(
                    file,
                    null,
                    "is a " + size + "web page, not the weights",
                    "the download was answered with a page, perhaps a login",
                    "open the address in a browser, accept what it asks, and download the file again");
        }
    }

    public Path file() {
        return file;
    }

    /// By name, in the order of the data.
    public Map<String, Tensor> tensors() {
        return tensors;
    }

    /// The header's free texts, commonly `format` = `pt`.
    public Map<String, String> metadata() {
        return metadata;
    }
}

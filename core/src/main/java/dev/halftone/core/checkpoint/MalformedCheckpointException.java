package dev.halftone.core.checkpoint;

import dev.halftone.core.HalftoneException;
import java.nio.file.Path;

/// A checkpoint that cannot be used: names the file, the tensor where there is one, what was expected and found.
public final class MalformedCheckpointException extends HalftoneException {
    private static final long serialVersionUID = 1L;

    private final transient Path file;
    private final String tensor;

    /// @param tensor  null when the fault is the file's
    /// @param problem what is wrong, to be read after the place
    /// @param detail  found and expected; may be null
    /// @param remedy  what to do; may be null
    public MalformedCheckpointException(Path file, String tensor, String problem, String detail, String remedy) {
        super(
                Kind.INPUT,
                "'" + file + "'" + (tensor == null ? "" : ", tensor " + Quoted.of(tensor)) + ": " + problem,
                detail,
                remedy);
        this.file = file;
        this.tensor = tensor;
    }

    /// The file at fault, or the directory.
    public Path file() {
        return file;
    }

    /// The tensor at fault, or null.
    public String tensor() {
        return tensor;
    }
}

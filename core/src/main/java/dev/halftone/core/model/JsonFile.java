package dev.halftone.core.model;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/// Reads the small JSON files of a model directory.
final class JsonFile {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private JsonFile() {}

    /// The object in `file`, or an empty one if there is no such file.
    static ObjectNode readIfPresent(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            return MAPPER.createObjectNode();
        }
        JsonNode tree;
        try {
            tree = MAPPER.readTree(file.toFile());
        } catch (JsonProcessingException e) {
            throw broken(file, e.getOriginalMessage(), e);
        }
        if (tree instanceof ObjectNode object) {
            return object;
        }
        throw broken(file, "found " + tree.getNodeType() + ", expected an object", null);
    }

    private static HalftoneException broken(Path file, String detail, Throwable cause) {
        return new HalftoneException(
                Kind.INPUT,
                "'" + file + "' is not a JSON object",
                detail,
                "copy " + file.getFileName() + " again from where the model came from",
                cause);
    }
}

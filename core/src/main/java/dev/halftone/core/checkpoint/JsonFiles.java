package dev.halftone.core.checkpoint;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/// The JSON objects beside the weights.
final class JsonFiles {
    private static final long LARGEST = SafetensorsHeader.LARGEST;

    private static final JsonMapper MAPPER = JsonMapper.builder(JsonFactory.builder()
                    .streamReadConstraints(StreamReadConstraints.builder()
                            .maxNestingDepth(64)
                            .maxNumberLength(100)
                            .maxStringLength(8 << 20)
                            .build())
                    // Of two equal keys in an index or a config, nobody can say which one was meant.
                    .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
                    // Python writes Infinity and NaN into configs.
                    .enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
                    .build())
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();

    private JsonFiles() {}

    /// @throws MalformedCheckpointException if `file` is not one JSON object
    static ObjectNode read(Path file) throws IOException {
        long size = Files.size(file);
        if (size > LARGEST) {
            throw new MalformedCheckpointException(
                    file, null, "file is too large", size + " bytes, at most " + LARGEST + " are read", null);
        }
        JsonNode tree;
        try {
            tree = MAPPER.readTree(Files.readAllBytes(file));
        } catch (JsonProcessingException e) {
            throw new MalformedCheckpointException(
                    file,
                    null,
                    "not valid JSON",
                    e.getOriginalMessage() + place(e),
                    "mend the file, or copy it from the original model");
        }
        if (tree instanceof ObjectNode object) {
            return object;
        }
        throw new MalformedCheckpointException(
                file, null, "not a JSON object", "found " + tree.getNodeType(), "copy it from the original model");
    }

    /// " (line 3, column 7)", or nothing.
    static String place(JsonProcessingException fault) {
        JsonLocation location = fault.getLocation();
        return location == null ? "" : " (line " + location.getLineNr() + ", column " + location.getColumnNr() + ")";
    }
}

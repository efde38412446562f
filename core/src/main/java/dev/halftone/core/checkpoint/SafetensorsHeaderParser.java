package dev.halftone.core.checkpoint;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import dev.halftone.core.checkpoint.SafetensorsHeader.Entry;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Reads one header and believes nothing of it: each number is checked where it is read, and the places of all
/// tensors together must tile the data exactly. Whatever passes needs no further check.
final class SafetensorsHeaderParser {
    private static final int MOST_TENSORS = 1_000_000;
    private static final int HIGHEST_RANK = 8;
    private static final String DAMAGED = "download the file again, or save it again with the tool that made it";

    // Nesting of a valid header is three; only fields unknown to the format may go deeper.
    private static final JsonFactory JSON = JsonFactory.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(64)
                    .maxNumberLength(100)
                    .maxStringLength(8 << 20)
                    .build())
            .build();

    private final Path file;
    private final long dataBytes;
    private final Map<String, String> metadata = new LinkedHashMap<>();
    private final List<Claim> claims = new ArrayList<>();

    /// What the header says of a tensor; `end` is not yet known to fit the file.
    private record Claim(TensorSpec spec, long begin, long end) {}

    private SafetensorsHeaderParser(Path file, long dataBytes) {
        this.file = file;
        this.dataBytes = dataBytes;
    }

    /// @param json      the header without its length
    /// @param dataBytes bytes of the file after the header
    /// @throws MalformedCheckpointException if anything is wrong
    static SafetensorsHeader parse(Path file, byte[] json, long dataBytes) {
        SafetensorsHeaderParser header = new SafetensorsHeaderParser(file, dataBytes);
        try (JsonParser parser = JSON.createParser(header.decode(json))) {
            header.readObject(parser);
        } catch (JsonProcessingException e) {
            throw header.fault("header is not valid JSON", e.getOriginalMessage() + JsonFiles.place(e));
        } catch (IOException e) {
            throw new UncheckedIOException("reading from memory failed", e);
        }
        return header.layOut();
    }

    private String decode(byte[] json) {
        if (json.length == 0 || json[0] != '{') {
            throw fault(
                    "header does not start with '{'",
                    json.length == 0 ? "it is empty" : "found byte 0x%02x".formatted(json[0]));
        }
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(json))
                    .toString();
        } catch (CharacterCodingException e) {
            throw fault("header is not UTF-8", e.getMessage());
        }
    }

    private void readObject(JsonParser parser) throws IOException {
        parser.nextToken();
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String name = parser.currentName();
            parser.nextToken();
            if (name.equals(SafetensorsHeader.METADATA)) {
                readMetadata(parser);
            } else {
                readTensor(name, parser);
            }
            if (claims.size() > MOST_TENSORS) {
                throw fault("header names too many tensors", "more than " + MOST_TENSORS);
            }
        }
        if (parser.nextToken() != null) {
            throw fault("header goes on after its object", "expected only spaces, found " + parser.currentToken());
        }
    }

    private void readMetadata(JsonParser parser) throws IOException {
        if (!parser.hasToken(JsonToken.START_OBJECT)) {
            throw fault("__metadata__ is not an object", "found " + parser.currentToken());
        }
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String key = parser.currentName();
            if (parser.nextToken() != JsonToken.VALUE_STRING) {
                throw fault(
                        "__metadata__ holds something other than texts",
                        "found " + parser.currentToken() + " at " + Quoted.of(key));
            }
            metadata.put(key, parser.getText());
        }
    }

    private void readTensor(String name, JsonParser parser) throws IOException {
        if (!parser.hasToken(JsonToken.START_OBJECT)) {
            throw fault(name, "header entry is not an object", "found " + parser.currentToken());
        }
        DType type = null;
        List<Long> shape = null;
        List<Long> offsets = null;
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String field = parser.currentName();
            parser.nextToken();
            switch (field) {
                case "dtype" -> type = type(name, parser);
                case "shape" -> shape = numbers(name, field, parser, HIGHEST_RANK);
                case "data_offsets" -> offsets = numbers(name, field, parser, 2);
                default -> parser.skipChildren();
            }
        }
        if (type == null || shape == null || offsets == null) {
            String missing = type == null ? "dtype" : shape == null ? "shape" : "data_offsets";
            throw fault(name, "header entry has no " + missing, "expected dtype, shape and data_offsets");
        }
        if (offsets.size() != 2) {
            throw fault(name, "data_offsets has " + offsets.size() + " numbers", "expected begin and end");
        }
        claims.add(claim(new TensorSpec(name, type, new Shape(shape)), offsets.get(0), offsets.get(1)));
    }

    private DType type(String name, JsonParser parser) throws IOException {
        if (!parser.hasToken(JsonToken.VALUE_STRING)) {
            throw fault(name, "dtype is not a text", "found " + parser.currentToken());
        }
        String text = parser.getText();
        for (DType type : DType.values()) {
            if (type.name().equals(text)) {
                return type;
            }
        }
        throw new MalformedCheckpointException(
                file,
                name,
                "unknown dtype " + Quoted.of(text),
                "expected one of " + Arrays.toString(DType.values()),
                "convert the checkpoint to one of these types");
    }

    private List<Long> numbers(String name, String field, JsonParser parser, int most) throws IOException {
        if (!parser.hasToken(JsonToken.START_ARRAY)) {
            throw fault(name, field + " is not an array", "found " + parser.currentToken());
        }
        List<Long> numbers = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
            if (numbers.size() == most) {
                throw fault(name, field + " has too many numbers", "expected at most " + most);
            }
            numbers.add(number(name, field, parser));
        }
        return numbers;
    }

    private long number(String name, String field, JsonParser parser) throws IOException {
        if (!parser.hasToken(JsonToken.VALUE_NUMBER_INT)) {
            throw fault(name, field + " holds something other than whole numbers", "found " + parser.currentToken());
        }
        if (parser.getNumberType() == JsonParser.NumberType.BIG_INTEGER) {
            throw fault(name, field + " holds a number beyond 63 bits", "found " + parser.getText());
        }
        long number = parser.getLongValue();
        if (number < 0) {
            throw fault(name, field + " holds a negative number", "found " + number);
        }
        return number;
    }

    private Claim claim(TensorSpec spec, long begin, long end) {
        if (begin > end) {
            throw fault(spec.name(), "data_offsets run backwards", "found [" + begin + ", " + end + "]");
        }
        long bytes;
        try {
            bytes = spec.bytes();
        } catch (ArithmeticException e) {
            throw fault(spec.name(), "shape overflows", spec.type() + " " + spec.shape() + " exceeds 63 bits");
        }
        if (end - begin != bytes) {
            throw fault(
                    spec.name(),
                    "data_offsets do not fit the shape",
                    spec.type() + " " + spec.shape() + " takes " + bytes + " bytes, data_offsets span "
                            + (end - begin));
        }
        return new Claim(spec, begin, end);
    }

    private SafetensorsHeader layOut() {
        // Ties are empty tensors, which may share their place.
        claims.sort(Comparator.comparingLong(Claim::begin).thenComparingLong(Claim::end));
        List<Entry> entries = new ArrayList<>(claims.size());
        long covered = 0;
        for (Claim claim : claims) {
            String name = claim.spec().name();
            if (claim.begin() < covered) {
                String before = entries.getLast().spec().name();
                throw fault(
                        name,
                        "data overlap those of tensor " + Quoted.of(before),
                        "begins at byte " + claim.begin() + ", the other ends at " + covered);
            }
            if (claim.begin() > covered) {
                throw fault(
                        name,
                        "a hole lies before the data",
                        "begins at byte " + claim.begin() + ", the data before end at " + covered);
            }
            entries.add(new Entry(claim.spec(), claim.begin()));
            covered = claim.end();
        }
        if (covered > dataBytes) {
            throw new MalformedCheckpointException(
                    file,
                    null,
                    "file is cut short",
                    "header declares %d bytes of data, file has %d (%d %%)"
                            .formatted(covered, dataBytes, (long) (100.0 * dataBytes / covered)),
                    "download the file again");
        }
        if (covered < dataBytes) {
            throw fault(
                    "file goes on after its last tensor",
                    "header declares " + covered + " bytes of data, file has " + dataBytes);
        }
        return new SafetensorsHeader(metadata, entries);
    }

    private MalformedCheckpointException fault(String problem, String detail) {
        return fault(null, problem, detail);
    }

    private MalformedCheckpointException fault(String tensor, String problem, String detail) {
        return new MalformedCheckpointException(file, tensor, problem, detail, DAMAGED);
    }
}

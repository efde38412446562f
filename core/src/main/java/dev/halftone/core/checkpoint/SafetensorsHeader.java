package dev.halftone.core.checkpoint;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// What stands before the data of a [safetensors](https://huggingface.co/docs/safetensors/index) file: eight bytes
/// with the length of a JSON object, and that object, which gives every tensor's type, shape and place.
///
/// @param metadata free texts of the file
/// @param entries  in the order of the data, without hole or overlap
record SafetensorsHeader(Map<String, String> metadata, List<Entry> entries) {
    /// The format's own limit, 100 MB.
    static final int LARGEST = 100_000_000;

    static final int LENGTH_BYTES = 8;
    static final String METADATA = "__metadata__";

    private static final int ALIGNMENT = 8;

    /// @param begin first byte of the tensor, counted from the end of the header
    record Entry(TensorSpec spec, long begin) {
        long end() {
            return Math.addExact(begin, spec.bytes());
        }
    }

    SafetensorsHeader {
        metadata = Collections.unmodifiableMap(new LinkedHashMap<>(metadata));
        entries = List.copyOf(entries);
    }

    /// Places tensors one after another: wider types first, so that each starts at a multiple of its element, then by
    /// name, so that the same model gives the same bytes.
    ///
    /// @throws IllegalArgumentException if a name appears twice
    static SafetensorsHeader plan(Collection<TensorSpec> specs, Map<String, String> metadata) {
        List<TensorSpec> sorted = new ArrayList<>(specs);
        sorted.sort(Comparator.comparingInt((TensorSpec spec) -> -spec.type().bytes())
                .thenComparing(TensorSpec::type)
                .thenComparing(TensorSpec::name));
        Set<String> names = new HashSet<>();
        List<Entry> entries = new ArrayList<>();
        long begin = 0;
        for (TensorSpec spec : sorted) {
            if (!names.add(spec.name()) || spec.name().equals(METADATA)) {
                throw new IllegalArgumentException(
                        "tensor " + Quoted.of(spec.name()) + " is planned twice or reserved");
            }
            Entry entry = new Entry(spec, begin);
            entries.add(entry);
            begin = entry.end();
        }
        return new SafetensorsHeader(metadata, entries);
    }

    long dataBytes() {
        return entries.isEmpty() ? 0 : entries.getLast().end();
    }

    /// The length and the object, padded with spaces so that the data start at a multiple of eight bytes.
    byte[] encode() {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.writeBytes(new byte[LENGTH_BYTES]);
        try (JsonGenerator json = new JsonFactory().createGenerator(bytes)) {
            json.writeStartObject();
            if (!metadata.isEmpty()) {
                json.writeObjectFieldStart(METADATA);
                for (Map.Entry<String, String> text : metadata.entrySet()) {
                    json.writeStringField(text.getKey(), text.getValue());
                }
                json.writeEndObject();
            }
            for (Entry entry : entries) {
                json.writeObjectFieldStart(entry.spec().name());
                json.writeStringField("dtype", entry.spec().type().name());
                json.writeArrayFieldStart("shape");
                for (long size : entry.spec().shape().sizes()) {
                    json.writeNumber(size);
                }
                json.writeEndArray();
                json.writeArrayFieldStart("data_offsets");
                json.writeNumber(entry.begin());
                json.writeNumber(entry.end());
                json.writeEndArray();
                json.writeEndObject();
            }
            json.writeEndObject();
        } catch (IOException e) {
            throw new UncheckedIOException("writing to memory failed", e);
        }
        int unpadded = bytes.size();
        byte[] header = Arrays.copyOf(bytes.toByteArray(), Math.ceilDiv(unpadded, ALIGNMENT) * ALIGNMENT);
        Arrays.fill(header, unpadded, header.length, (byte) ' ');
        int length = header.length - LENGTH_BYTES;
        if (length > LARGEST) {
            throw new IllegalArgumentException(
                    "header of " + length + " bytes for " + entries.size() + " tensors exceeds " + LARGEST);
        }
        for (int i = 0; i < LENGTH_BYTES; i++) {
            header[i] = (byte) ((long) length >>> 8 * i);
        }
        return header;
    }
}

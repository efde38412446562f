package dev.halftone.core.checkpoint;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/// Safetensors files written by hand, byte by byte.
final class RawFile {
    private RawFile() {}

    /// The length of `header`, `header`, and `dataBytes` bytes counting up from 0.
    static byte[] of(String header, int dataBytes) {
        return of(header.getBytes(StandardCharsets.UTF_8), dataBytes);
    }

    static byte[] of(byte[] header, int dataBytes) {
        ByteBuffer file = ByteBuffer.allocate(8 + header.length + dataBytes).order(ByteOrder.LITTLE_ENDIAN);
        file.putLong(header.length).put(header);
        for (int i = 0; i < dataBytes; i++) {
            file.put((byte) i);
        }
        return file.array();
    }

    /// Reads `contents` as if they were the file `test.safetensors`.
    static SafetensorsFile read(byte[] contents) {
        return SafetensorsFile.of(Path.of("test.safetensors"), MemorySegment.ofArray(contents));
    }

    /// A file that holds one tensor of two floats.
    static void writeValid(Path file, String tensor) throws IOException {
        Files.write(file, of("{\"" + tensor + "\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8));
    }
}

package dev.halftone.core.checkpoint;

import java.io.ByteArrayOutputStream;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/// GGUF files written by hand, field by field, with whatever lies one likes.
final class RawGguf {
    static final int U32 = 4;
    static final int TEXT = 8;
    static final int ARRAY = 9;

    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

    /// A file of version 3.
    static RawGguf of(long tensors, long keys) {
        return of(3, tensors, keys);
    }

    static RawGguf of(int version, long tensors, long keys) {
        return new RawGguf()
                .raw("GGUF".getBytes(StandardCharsets.US_ASCII))
                .number(version)
                .longNumber(tensors)
                .longNumber(keys);
    }

    RawGguf raw(byte... some) {
        bytes.writeBytes(some);
        return this;
    }

    RawGguf number(int value) {
        return raw(ByteBuffer.allocate(4)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(value)
                .array());
    }

    RawGguf longNumber(long value) {
        return raw(ByteBuffer.allocate(8)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(value)
                .array());
    }

    RawGguf text(String value) {
        byte[] utf8 = value.getBytes(StandardCharsets.UTF_8);
        return longNumber(utf8.length).raw(utf8);
    }

    /// What stands in front of a value.
    RawGguf key(String name, int type) {
        return text(name).number(type);
    }

    /// @param sizes innermost first, as files have them
    RawGguf tensor(String name, int type, long place, long... sizes) {
        text(name).number(sizes.length);
        for (long size : sizes) {
            longNumber(size);
        }
        return number(type).longNumber(place);
    }

    /// Zeros up to the data, then `dataBytes` bytes counting up from 0.
    byte[] data(int dataBytes) {
        raw(new byte[-bytes.size() & 31]);
        for (int i = 0; i < dataBytes; i++) {
            bytes.write(i);
        }
        return bytes.toByteArray();
    }

    byte[] end() {
        return bytes.toByteArray();
    }

    /// Reads `contents` as if they were the file `test.gguf`.
    static GgufFile read(byte[] contents) {
        return GgufFile.of(Path.of("test.gguf"), MemorySegment.ofArray(contents));
    }

    /// A sound file with a value of every type and three tensors.
    static byte[] sound(int version) {
        return of(version, 3, 15)
                .key("u8", 0)
                .raw((byte) 0xFF)
                .key("i8", 1)
                .raw((byte) 0xFF)
                .key("u16", 2)
                .raw((byte) 0xFE, (byte) 0xFF)
                .key("i16", 3)
                .raw((byte) 0xFE, (byte) 0xFF)
                .key("u32", U32)
                .number(7)
                .key("i32", 5)
                .number(-7)
                .key("f32", 6)
                .number(Float.floatToRawIntBits(1e-5f))
                .key("yes", 7)
                .raw((byte) 1)
                .key("text", TEXT)
                .text("größe")
                .key("texts", ARRAY)
                .number(TEXT)
                .longNumber(3)
                .text("a")
                .text("")
                .text("Ġb")
                .key("wholes", ARRAY)
                .number(5)
                .longNumber(2)
                .number(-1)
                .number(3)
                .key("reals", ARRAY)
                .number(6)
                .longNumber(1)
                .number(Float.floatToRawIntBits(0.5f))
                .key("u64", 10)
                .longNumber(-1)
                .key("i64", 11)
                .longNumber(Long.MIN_VALUE)
                .key("f64", 12)
                .longNumber(Double.doubleToRawLongBits(2.5))
                .tensor("second", 2, 32, 32, 2)
                .tensor("first", 0, 0, 3, 2)
                .tensor("third", 30, 96, 5)
                .data(96 + 10);
    }
}

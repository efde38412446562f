package dev.halftone.core.quantize;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/// SHA-256 without the exception that never comes.
final class Sha256 {
    private static final int STEP = 1 << 16;

    private final MessageDigest digest;

    Sha256() {
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java platform has SHA-256", e);
        }
    }

    Sha256 add(byte[] bytes) {
        digest.update(bytes);
        return this;
    }

    /// In UTF-8, with its length before it, so that two texts in a row are not one.
    Sha256 add(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        digest.update(ByteBuffer.allocate(Integer.BYTES).putInt(bytes.length).flip());
        return add(bytes);
    }

    Sha256 add(int[] numbers) {
        ByteBuffer bytes = ByteBuffer.allocate(Integer.BYTES * numbers.length);
        bytes.asIntBuffer().put(numbers);
        return add(bytes.array());
    }

    Sha256 add(MemorySegment data) {
        byte[] step = new byte[(int) Math.min(STEP, data.byteSize())];
        for (long done = 0; done < data.byteSize(); done += step.length) {
            int count = (int) Math.min(step.length, data.byteSize() - done);
            MemorySegment.copy(data, ValueLayout.JAVA_BYTE, done, step, 0, count);
            digest.update(step, 0, count);
        }
        return this;
    }

    byte[] bytes() {
        return digest.digest();
    }

    /// In hexadecimal.
    String text() {
        return HexFormat.of().formatHex(bytes());
    }
}

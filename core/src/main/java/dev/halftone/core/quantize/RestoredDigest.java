package dev.halftone.core.quantize;

import dev.halftone.core.weight.Weight;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/// A fingerprint of the numbers that a weight restores to.
final class RestoredDigest {
    private RestoredDigest() {}

    /// SHA-256 over the rows as little-endian float32.
    static byte[] of(Weight weight) {
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java platform has SHA-256", e);
        }
        float[] row = new float[weight.inputs()];
        ByteBuffer bytes = ByteBuffer.allocate(4 * row.length).order(ByteOrder.LITTLE_ENDIAN);
        for (int output = 0; output < weight.outputs(); output++) {
            weight.restoreRow(output, row, 0);
            bytes.asFloatBuffer().put(row);
            digest.update(bytes.array());
        }
        return digest.digest();
    }
}

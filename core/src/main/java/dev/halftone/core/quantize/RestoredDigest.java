package dev.halftone.core.quantize;

import dev.halftone.core.weight.Weight;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/// A fingerprint of the numbers that a weight restores to.
final class RestoredDigest {
    private RestoredDigest() {}

    /// SHA-256 over the rows as little-endian float32.
    static byte[] of(Weight weight) {
        Sha256 digest = new Sha256();
        float[] row = new float[weight.inputs()];
        ByteBuffer bytes = ByteBuffer.allocate(4 * row.length).order(ByteOrder.LITTLE_ENDIAN);
        for (int output = 0; output < weight.outputs(); output++) {
            weight.restoreRow(output, row, 0);
            bytes.asFloatBuffer().put(row);
            digest.add(bytes.array());
        }
        return digest.bytes();
    }
}

package dev.halftone.core.quantize;

import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.Weight;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/// A fingerprint of the numbers that a weight restores to, and of how its inputs are rounded.
final class RestoredDigest {
    private RestoredDigest() {}

    /// SHA-256 over the rows as little-endian float32, and kind and scale of the inputs if they are rounded.
    static byte[] of(Weight weight) {
        Sha256 digest = new Sha256();
        float[] row = new float[weight.inputs()];
        ByteBuffer bytes = ByteBuffer.allocate(4 * row.length).order(ByteOrder.LITTLE_ENDIAN);
        for (int output = 0; output < weight.outputs(); output++) {
            weight.restoreRow(output, row, 0);
            bytes.asFloatBuffer().put(row);
            digest.add(bytes.array());
        }
        if (weight instanceof QuantizedWeight codes && codes.activations().kind() != ActivationScheme.Kind.NONE) {
            digest.add(codes.activations().toString().getBytes(StandardCharsets.UTF_8));
        }
        return digest.bytes();
    }
}

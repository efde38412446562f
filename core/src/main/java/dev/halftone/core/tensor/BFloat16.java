package dev.halftone.core.tensor;

/// The upper half of a float32: one sign bit, eight of exponent, seven of fraction.
public final class BFloat16 {
    private BFloat16() {}

    /// Exact: every bfloat16 is a float.
    public static float toFloat(short bits) {
        return Float.intBitsToFloat(bits << 16);
    }

    /// Nearest bfloat16, ties to even; NaN stays NaN.
    public static short fromFloat(float value) {
        int bits = Float.floatToRawIntBits(value);
        if (Float.isNaN(value)) {
            // Keep a fraction bit set: the plain rounding below could carry a NaN into infinity.
            return (short) (bits >>> 16 | 0x40);
        }
        return (short) (bits + 0x7FFF + (bits >>> 16 & 1) >>> 16);
    }
}

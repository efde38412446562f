package dev.halftone.runtime.cpu;

/// How the inputs of one group become whole numbers `x / unit`, and what these stand for. The unit is the power of two
/// that brings the largest below `2²³`, less what rounding digits to the nearest may carry over.
final class Digits {
    /// Bits of a float's fraction.
    private static final int FRACTION = 23;

    private static final int BIAS = 127;

    /// Bits of infinity.
    private static final int INFINITY = 0x7F80_0000;

    /// Added to the bits of the largest input, so that a last digit of more than 127 takes a larger unit: numbers from
    /// 127/64 times a power of two on.
    private static final int CARRY = 0x0002_0000;

    /// Units have to have an inverse: what is smaller than this power of two is cut as if it were as large.
    private static final int LEAST = -100;

    private Digits() {}

    /// The exponent of the power of two at, or below, the largest input.
    private static int exponent(int largest) {
        return Math.max(LEAST, (largest + CARRY >>> FRACTION) - BIAS);
    }

    private static float power(int exponent) {
        return Float.intBitsToFloat(exponent + BIAS << FRACTION);
    }

    /// What inputs are multiplied by: `1 / unit`.
    ///
    /// @param largest bits of the largest magnitude
    static float inverse(int largest) {
        return largest >= INFINITY ? 0 : power(FRACTION - 1 - exponent(largest));
    }

    /// What each digit counts for, divided by the span of the codes, the lowest first; not a number where an input was
    /// none or infinite.
    static void constants(int largest, float span, long destination) {
        for (int digit = 0; digit < DigitCode.DIGITS; digit++) {
            float value =
                    largest >= INFINITY ? Float.NaN : power(exponent(largest) - FRACTION + 1) * (1 << 8 * digit) / span;
            Memory.putFloat(destination + (long) digit * Float.BYTES, value);
        }
    }

    /// Completes [#constants] by the sum of the inputs.
    ///
    /// @param sum of the whole numbers
    static void total(double sum, float span, long destination) {
        float unit = Memory.getFloat(destination) * span;
        Memory.putFloat(destination + (long) DigitCode.DIGITS * Float.BYTES, (float) (sum * unit));
    }
}

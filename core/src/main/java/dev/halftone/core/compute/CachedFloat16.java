package dev.halftone.core.compute;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;

/// Keys and values as a cache of float16 holds them: rounded to the nearest float16, and to zero below 2⁻¹⁴, where
/// float16 loses its leading bit. Kernels then need not know subnormal numbers, infinities and NaN.
public final class CachedFloat16 {
    private static final int EXPONENT = 0x7C00;

    private CachedFloat16() {}

    /// The bits of `value`.
    ///
    /// @throws HalftoneException of kind NUMERICS if it is NaN or beyond float16
    public static short bits(float value) {
        short bits = Float.floatToFloat16(value);
        int exponent = bits & EXPONENT;
        if (exponent == EXPONENT) {
            throw new HalftoneException(
                    Kind.NUMERICS,
                    "a key or value does not fit into a cache of float16",
                    "found " + value + ", which is not between -65504 and 65504",
                    "a cache of float32");
        }
        return exponent == 0 ? 0 : bits;
    }

    /// `value` as it comes back.
    ///
    /// @throws HalftoneException like [#bits]
    public static float round(float value) {
        return Float.float16ToFloat(bits(value));
    }
}

package dev.halftone.core.weight;

/// The equally spaced values `scale * (code - zero)` that a group of weights is rounded to, after the GPTQ family's
/// min-max rule: zero always lies in the range, a symmetric grid spans `[-m, m]` in `2^bits - 1` steps, and a group of
/// zeros gets the range `[-1, 1]`.
///
/// @param scale   already rounded to the scheme's storage type, positive and finite; of symmetric grids rounded down
/// @param zero    code of the value 0
/// @param maximum largest code
public record AffineGrid(float scale, int zero, int maximum) {
    /// Grid over `[low, high]`, the smallest and largest weight of the group.
    ///
    /// @throws ArithmeticException if the range is not finite
    public static AffineGrid ofRange(float low, float high, QuantizationScheme scheme) {
        float lo = Math.min(low, 0f);
        float hi = Math.max(high, 0f);
        if (!Float.isFinite(lo) || !Float.isFinite(hi)) {
            throw new ArithmeticException("range of a group is not finite: " + low + " to " + high);
        }
        if (scheme.symmetric()) {
            hi = Math.max(-lo, hi);
            lo = -hi;
        }
        if (lo == 0f && hi == 0f) {
            lo = -1f;
            hi = 1f;
        }
        int maximum = scheme.maximum();
        float step = (hi - lo) / maximum;
        if (scheme.symmetric()) {
            // The largest weight lies halfway between two codes. A scale rounded up would send it to the inner one on
            // either side, and so shrink the largest weights of all such groups.
            float below = storable(scheme.scaleType().roundDown(step), scheme);
            return new AffineGrid(below, maximum + 1 >> 1, maximum);
        }
        float scale = storable(step, scheme);
        int zero = Math.clamp((int) Math.rint(-lo / scale), scheme.lowestZero(), maximum);
        return new AffineGrid(scale, zero, maximum);
    }

    /// `scale` as the file will hold it, kept inside the positive finite values of that type: a scale of zero would
    /// restore nothing, and infinity restores NaN.
    public static float storable(float scale, QuantizationScheme scheme) {
        float rounded = scheme.scaleType().round(scale);
        return switch (scheme.scaleType()) {
            // Below its normal range float16 keeps few bits; 2^-24 is the smallest it can hold.
            case F16 -> Math.clamp(rounded, 0x1p-24f, 65504f);
            case BF16, F32, F64, I64, I32, I16, I8, U8, BOOL -> Math.max(rounded, Float.MIN_NORMAL);
        };
    }

    /// Nearest code, ties to even, saturated.
    public int code(float value) {
        return Math.clamp((int) Math.rint(value / scale) + zero, 0, maximum);
    }

    /// The value that `code` stands for; exact in float32 for scales stored in float16 or bfloat16.
    public float restore(int code) {
        return scale * (code - zero);
    }
}

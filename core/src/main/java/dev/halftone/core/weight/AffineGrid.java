package dev.halftone.core.weight;

/// The equally spaced values `scale * (code - zero)` that a group of weights is rounded to, after the GPTQ family's
/// min-max rule: zero always lies in the range, a symmetric grid spans `[-m, m]` in `2^bits - 1` steps, and a group of
/// zeros gets the range `[-1, 1]`.
///
/// A symmetric grid has one code more on one side of zero than on the other. Which side that is, the sign of its scale
/// tells: a negative one turns the grid round.
///
/// @param scale   already rounded to the scheme's storage type, finite and not zero; negative only in symmetric grids
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

    /// The symmetric grid on which `extreme`, the weight farthest from zero, is the code that has no
    /// counterpart on the other side. Its steps are finer than those of [#ofRange], by a sixteenth at 4 bits
    /// and by an eighth at 3; what lies as far on the other side is clipped.
    ///
    /// @throws ArithmeticException if `extreme` is not finite
    public static AffineGrid ofExtreme(float extreme, QuantizationScheme scheme) {
        if (!Float.isFinite(extreme)) {
            throw new ArithmeticException("range of a group is not finite: " + extreme);
        }
        int maximum = scheme.maximum();
        int middle = maximum + 1 >> 1;
        return new AffineGrid(storable(-extreme / middle, scheme), middle, maximum);
    }

    /// `scale` as the file will hold it, its magnitude kept inside the positive finite values of that type: a scale of
    /// zero would restore nothing, and infinity restores NaN.
    public static float storable(float scale, QuantizationScheme scheme) {
        float rounded = scheme.scaleType().round(Math.abs(scale));
        float magnitude = switch (scheme.scaleType()) {
            // Below its normal range float16 keeps few bits; 2^-24 is the smallest it can hold.
            case F16 -> Math.clamp(rounded, 0x1p-24f, 65504f);
            case BF16, F32, F64, I64, I32, I16, I8, U8, BOOL -> Math.max(rounded, Float.MIN_NORMAL);
        };
        return Math.copySign(magnitude, scale);
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

package dev.halftone.core.weight;

/// How a checkpoint wants the inputs of a linear rounded before they meet its codes: to signed 8-bit integers,
/// `x ≈ scale * clamp(round(x / scale), -128, 127)`, ties to even. A fact of the file, carried beside the codes and
/// followed by every backend that a weight is bound to. Scale and codes are what the methods here find, in float32: a
/// backend that finds them otherwise finds the same, so that all multiply the same integers.
///
/// @param scale of [Kind#PER_TENSOR], found in calibration, positive and finite; otherwise 0
public record ActivationScheme(Kind kind, float scale) {
    /// Half the distance between the outermost codes: a range of `[-m, m]` is cut into 255 steps, as the
    /// compressed-tensors library cuts it. Its largest number then errs by half a step, like any other.
    private static final float HALF_SPAN = 127.5f;

    /// Added to a number of magnitude below `2^22` and subtracted again, it leaves the nearest integer, ties to even:
    /// at this size floats are integers.
    private static final float INTEGERS = 0x1.8p23f;

    /// Where a scale comes from.
    public enum Kind {
        /// Inputs stay in floating point.
        NONE,
        /// Each row of the input has its own, taken from its largest magnitude at run time.
        PER_TOKEN,
        /// One for all inputs, stored with the weight.
        PER_TENSOR
    }

    public static final ActivationScheme NONE = new ActivationScheme(Kind.NONE, 0);
    public static final ActivationScheme PER_TOKEN = new ActivationScheme(Kind.PER_TOKEN, 0);

    public ActivationScheme {
        boolean fits = switch (kind) {
            case NONE, PER_TOKEN -> scale == 0;
            case PER_TENSOR -> scale > 0 && Float.isFinite(scale);
        };
        if (!fits) {
            throw new IllegalArgumentException(kind + " inputs cannot have a scale of " + scale);
        }
    }

    /// One scale for all inputs.
    ///
    /// @throws IllegalArgumentException if it is not positive and finite
    public static ActivationScheme perTensor(float scale) {
        return new ActivationScheme(Kind.PER_TENSOR, scale);
    }

    /// The scale whose codes reach from `-largest` to `largest`; for zero one that is merely valid.
    ///
    /// @param largest not negative
    public static float scaleOfRange(float largest) {
        return Math.max(largest / HALF_SPAN, Float.MIN_NORMAL);
    }

    /// The scale of one row of inputs, `row[offset .. offset + count)`.
    ///
    /// @return NaN if a number of the row is not finite, so that it shows in all that the row is multiplied by
    public float scaleOf(float[] row, int offset, int count) {
        float largest = 0;
        for (int i = offset; i < offset + count; i++) {
            largest = Math.max(largest, Math.abs(row[i]));
        }
        return scaleOf(largest);
    }

    /// The scale of a row of inputs of which `largest` is the largest magnitude.
    ///
    /// @return NaN if that is not finite
    public float scaleOf(float largest) {
        if (!Float.isFinite(largest)) {
            return Float.NaN;
        }
        return switch (kind) {
            case NONE -> throw new IllegalStateException("inputs stay in floating point");
            case PER_TOKEN -> scaleOfRange(largest);
            case PER_TENSOR -> scale;
        };
    }

    /// Writes the codes of `row[offset .. offset + count)`, whole numbers from -128 to 127, to the front of `codes`;
    /// NaN for all if that is the scale.
    ///
    /// @param codes may be `row` itself
    public static void round(float[] row, int offset, int count, float scale, float[] codes) {
        for (int i = 0; i < count; i++) {
            float clamped = Math.min(Math.max(row[offset + i] / scale, -128f), 127f);
            codes[i] = clamped + INTEGERS - INTEGERS;
        }
    }
}

package dev.halftone.core.weight;

/// How a checkpoint wants the inputs of a linear rounded before they meet its codes: to signed 8-bit integers,
/// `x ≈ scale * clamp(round(x / scale), -128, 127)`. A fact of the file, carried beside the codes; a backend that
/// multiplies float inputs does not follow it.
///
/// @param scale of [Kind#PER_TENSOR], found in calibration, positive and finite; otherwise 0
public record ActivationScheme(Kind kind, float scale) {
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
}

package dev.halftone.core.quantize;

import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.ActivationScheme.Kind;

/// How a recipe has the inputs of every linear rounded.
///
/// @param kind  where the scales come from
/// @param range how the one scale of [Kind#PER_TENSOR] is found in calibration; null for the other kinds
public record InputRounding(ActivationScheme.Kind kind, InputRange range) {
    public static final InputRounding NONE = new InputRounding(Kind.NONE, null);
    public static final InputRounding PER_TOKEN = new InputRounding(Kind.PER_TOKEN, null);

    public InputRounding {
        if ((kind == Kind.PER_TENSOR) != (range != null)) {
            throw new IllegalArgumentException(kind + " inputs with a range of " + range);
        }
    }

    /// One scale for all inputs of a site.
    public static InputRounding perTensor(InputRange range) {
        return new InputRounding(Kind.PER_TENSOR, range);
    }

    /// Whether the model must be run over a text to know the scales.
    public boolean needsCalibration() {
        return range != null;
    }
}

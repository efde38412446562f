package dev.halftone.core.quantize;

/// Distance of a restored weight `Q` from the original `W`.
///
/// @param measure  what is squared and summed
/// @param sum      the error of all rows
/// @param relative the error as a share of the size of the original: of `tr(W·H·Wᵀ)` or of `‖W‖²`
/// @param rounding the same share for plain rounding with the same scheme, so that `relative / rounding` tells what the
///                 method gained
/// @param rows     rows from which the two shares were taken; evenly spread, and all of them unless there are many
public record QuantizationError(Measure measure, double sum, double relative, double rounding, int rows) {
    /// What an error counts.
    public enum Measure {
        /// `tr((W-Q)·H·(W-Q)ᵀ)` with `H` the mean of `x·xᵀ`: squared error of the outputs, summed over outputs and
        /// averaged over tokens.
        OUTPUTS,
        /// `‖W-Q‖²`: squared error of the weights themselves, for methods that see no inputs.
        WEIGHTS
    }
}

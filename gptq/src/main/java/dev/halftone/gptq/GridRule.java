package dev.halftone.gptq;

/// How the solver chooses the grid of a group when it reaches it.
public enum GridRule {
    /// From the smallest and the largest live weight.
    RANGE,
    /// Among shrunken and widened ranges, the one whose rounding costs least at the outputs, see [GridSearch]. The
    /// grids
    /// that [ColumnOrder#ACTIVATION] fixes beforehand are chosen by range all the same: the columns of a group are
    /// then not rounded one after another.
    OUTPUT_ERROR
}

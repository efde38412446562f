package dev.halftone.gptq;

/// In which order the solver rounds the columns of a weight. None of them reorders the file: column `i` always belongs
/// to group `i / groupSize`.
public enum ColumnOrder {
    /// As they stand.
    NATURAL,
    /// Columns by falling second moment ("act-order"), with the grid of every group fixed beforehand from the original
    /// weight ("static groups").
    ACTIVATION,
    /// Groups by their largest second moment and the columns inside each by falling second moment ("group-aware
    /// reordering"); the grid of a group is read when its first column is reached, as in [#NATURAL].
    GROUP_AWARE
}

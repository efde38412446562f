package dev.halftone.runtime.cpu;

/// The right-hand side of a matrix product, handed out strip by strip in the order `[k][lanes]`.
interface Panels {
    /// Writes rows `[first, first + count)` of a strip, zero beyond the last column.
    void fill(int strip, int first, int count, long destination);
}

package dev.halftone.runtime.cpu;

/// A few rows of inputs in the form that some kernels multiply, and these kernels. What is prepared serves every weight
/// that shares the preparation of the first.
interface PreparedRows {
    /// Rows that [#multiply] writes for so many of inputs.
    int written(int rows);

    /// Whether what is prepared for one weight serves the other.
    boolean isShared(PackedWeight one, PackedWeight other);

    /// @param weights that will be multiplied; the first one's order of columns and groups holds for all
    void prepare(PackedWeight[] weights, int count, CpuMatrix x);

    /// Writes strips `[from, to)` of the products of all rows, whole strips.
    ///
    /// @param y    first output of the first row
    /// @param yRow bytes from one row to the next
    void multiply(int worker, PackedWeight weight, int from, int to, long y, long yRow);
}

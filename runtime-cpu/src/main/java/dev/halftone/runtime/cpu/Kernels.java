package dev.halftone.runtime.cpu;

/// The innermost loops, over absolute addresses; strides are in bytes. A *strip* is [#lanes] neighbouring columns of a
/// right-hand side, stored `[k][lanes]`, so that no kernel ever sums across the lanes of a vector. Nothing is checked
/// here but by `assert` and the checked mode of [Memory].
///
/// Every element of a result is computed by the same sequence of operations wherever its strip or tile lies, so results
/// do not depend on how the work was split.
interface Kernels {
    /// Rows of a register tile.
    int TILE_ROWS = 4;

    /// Strips of a register tile.
    int TILE_STRIPS = 4;

    /// Rows of a block of [#multiplyRows].
    int ROWS = 4;

    /// Chains of [#multiplyAdd]: enough to hide the latency.
    int MULTIPLY_ADDS = 8;

    String name();

    int lanes();

    /// `c[i][v] += alpha * sum over k of a[i][k] * b[v][k]` for four rows and four strips.
    ///
    /// @param rows  valid rows of `a`, 1 to 4; the last one stands for the missing ones
    /// @param aRow  from one row of `a` to the next
    /// @param aStep from one `k` to the next in `a`
    /// @param bStrip from one strip of `b` to the next
    /// @param bStep from one `k` to the next in `b`
    void tile(
            long a,
            long aRow,
            long aStep,
            int rows,
            long b,
            long bStrip,
            long bStep,
            int depth,
            long c,
            long cRow,
            float alpha);

    /// The same for one strip.
    void narrowTile(
            long a, long aRow, long aStep, int rows, long b, long bStep, int depth, long c, long cRow, float alpha);

    /// Strips `[from, to)` of `y = W·x + bias` for one prepared row `x`. It lies on the heap, because a float of an
    /// array costs the compiler a tenth of what a float of a segment costs, and these kernels are near its limits.
    ///
    /// @param x    `[paddedInputs]`, in the weight's own order of columns
    /// @param sums `[groups]`, the sum of `x` over each group
    /// @param y    first output; whole strips are written
    void multiplyRow(PackedWeight weight, float[] x, float[] sums, int from, int to, long y);

    /// The same for blocks of [#ROWS] prepared rows. A row's result is, bit for bit, the one that [#multiplyRow] gives
    /// it.
    ///
    /// @param x     `[blocks][paddedInputs][ROWS]`
    /// @param sums  `[blocks][groups][ROWS]`
    /// @param yRow  from one row of `y` to the next
    void multiplyRows(PackedWeight weight, float[] x, float[] sums, int blocks, int from, int to, long y, long yRow);

    /// Restores words `[first, first + count)` of a strip to float, `[k][lanes]`.
    void restore(PackedWeight weight, int strip, int first, int count, long destination);

    /// Copies `count` vectors, `rowBytes` apart, to a strip, where they lie side by side.
    void copyStrip(long from, long rowBytes, int count, long destination);

    /// `destination = x / sqrt(mean(x²) + epsilon) * weight`.
    ///
    /// @param scratch room for one vector
    void normalize(long x, long weight, float epsilon, int count, long destination, long scratch);

    /// Turns the pair (`x[i]`, `x[i + half]`) by the angle with `cosines[i]` and `sines[i]`.
    void rotate(long x, int half, long cosines, long sines);

    /// `destination = gate / (1 + exp(-gate)) * up`.
    void gate(long gate, long up, long destination, int count);

    /// `sum += x`.
    void add(long x, long sum, int count);

    /// `destination = x * factor`.
    void scale(long x, float factor, long destination, int count);

    /// `x = exp(x - max(x))` in place.
    ///
    /// @param scratch room for one vector
    /// @return the sum of the results
    float exponentials(long x, int count, long scratch);

    /// Reads `vectors` vectors and does no more with them than it takes to be believed.
    ///
    /// @param scratch room for one vector
    /// @return their sum
    float read(long from, int vectors, long scratch);

    /// [#MULTIPLY_ADDS] times as many independent multiply-adds of vectors as `steps`, on registers alone.
    ///
    /// @param scratch room for one vector
    /// @return `MULTIPLY_ADDS * steps * lanes`, while a float counts that far
    float multiplyAdd(int steps, long scratch);
}

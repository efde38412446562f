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

    /// Most terms of one [#integerTile].
    int INTEGER_DEPTH = 256;

    /// Chains of [#multiplyAdd]: enough to hide the latency.
    int MULTIPLY_ADDS = 8;

    String name();

    int lanes();

    /// `c[i][v] += alpha * sum over k of a[i][k] * b[v][k]` for four rows and four strips.
    ///
    /// @param a      rows of floats, side by side
    /// @param aRow   from one row of `a` to the next
    /// @param rows   valid rows of `a`, 1 to 4; the last one stands for the missing ones
    /// @param bStrip from one strip of `b` to the next
    void tile(long a, long aRow, int rows, long b, long bStrip, int depth, long c, long cRow, float alpha);

    /// [#tile] with both sides packed, `a[k][TILE_ROWS]` and `b[k][TILE_STRIPS][lanes]`: one address and constant steps
    /// for each leave the compiler fewer instructions beside the multiply-adds.
    void packedTile(long a, long b, int depth, long c, long cRow, float alpha);

    /// [#tile] for one strip.
    void narrowTile(long a, long aRow, int rows, long b, int depth, long c, long cRow, float alpha);

    /// `c[i][v] += sum over k of a[k][i] * b[v][k]` for four rows of `c` and four strips.
    ///
    /// @param a four neighbouring columns of a strip
    void columnTile(long a, long b, long bStrip, int depth, long c, long cRow);

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

    /// Strips `[from, to)` of the sums of a weight's codes, less its zero, times the whole numbers of one prepared row,
    /// exact in 32 bits. For the weights of [WeightPacker] whose inputs are rounded.
    ///
    /// @param x     `[paddedInputs]`, whole numbers from -128 to 127
    /// @param total the sum of `x`
    /// @param sums  first output, an integer; whole strips are written
    void sumRow(PackedWeight weight, float[] x, int total, int from, int to, long sums);

    /// The same for four prepared rows at a time.
    ///
    /// @param x       `[paddedInputs][4]`, from index `first` on
    /// @param sumsRow from one row of `sums` to the next
    void sumFourRows(PackedWeight weight, float[] x, int first, int from, int to, long sums, long sumsRow);

    /// `(code - zero) / 256` of words `[first, first + count)` of a strip, `[k][lanes]`.
    void centre(PackedWeight weight, int strip, int first, int count, long destination);

    /// `c[i][v] += sum over k of a[i][k] * 256 * b[v][k]` in integers, for four rows and four strips.
    ///
    /// @param a      whole numbers from -128 to 127, side by side
    /// @param rows   valid rows of `a`, 1 to 4; the last one stands for the missing ones
    /// @param b      from [#centre], a strip after [#tile]'s fashion
    /// @param depth  at most [#INTEGER_DEPTH]
    /// @param c      integers
    void integerTile(long a, long aRow, int rows, long b, long bStrip, int depth, long c, long cRow);

    /// The same for one strip.
    void narrowIntegerTile(long a, long aRow, int rows, long b, int depth, long c, long cRow);

    /// `destination = sums * (factors / 256) * scale + bias`, the sums being integers.
    void scaleSums(long sums, float scale, long factors, long bias, int count, long destination);

    /// Copies `count` vectors, `rowBytes` apart, to a strip, where they lie side by side.
    void copyStrip(long from, long rowBytes, int count, long destination);

    /// Widens `words` vectors of words that lie side by side, each of two vectors of float16 as in [CpuKvCache], to
    /// twice as many vectors of floats. None is subnormal, infinite or NaN.
    void widen(long from, int words, long destination);

    /// Copies `count` vectors that lie side by side to places `step` apart: the reverse of [#copyStrip].
    void spread(long from, int count, long destination, long step);

    /// `sum += x`, of 32-bit integers.
    void addIntegers(long x, long sum, int count);

    /// Codes of 8 bits less 128, as bytes, from words `[first, first + count)` of a strip; the vectors of words are
    /// written `step` apart.
    void bytes(PackedWeight weight, int strip, int first, int count, long destination, long step);

    /// Rounds `count` vectors of floats at `low`, and as many at `high`, to bfloat16, like
    /// [dev.halftone.core.tensor.BFloat16]. Each two become one vector of words, `low` in the lower halves.
    ///
    /// @param step            from one vector of floats to the next
    /// @param destinationStep from one vector of words to the next
    void roundPairs(long low, long high, long step, int count, long destination, long destinationStep);

    /// `destination = x / sqrt(mean(x²) + epsilon) * weight`.
    ///
    /// @param scratch room for one vector
    void normalize(long x, long weight, float epsilon, int count, long destination, long scratch);

    /// Turns the pair (`x[i]`, `x[i + half]`) by the angle with `cosines[i]` and `sines[i]`.
    void rotate(long x, int half, long cosines, long sines);

    /// `destination = gate / (1 + exp(-gate)) * up`.
    ///
    /// @param scratch room for `count` floats and one vector
    void gate(long gate, long up, long destination, int count, long scratch);

    /// `sum += x`.
    void add(long x, long sum, int count);

    /// `destination = x * factor`.
    void scale(long x, float factor, long destination, int count);

    /// `max(x)`, of at least one number.
    float maximum(long x, int count);

    /// `x = exp(x - maximum)` in place; where that is below the normal numbers, something as small.
    ///
    /// @param maximum of `x`
    /// @param scratch room for one vector
    /// @return the sum of the results
    float exponentials(long x, int count, float maximum, long scratch);

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

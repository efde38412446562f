package dev.halftone.core.compute;

import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.Weight;
import java.util.Optional;

/// The arithmetic that the decoder graph and the quantizers are written over. All matrices passed to one call come from
/// the same backend; a destination never overlaps an input unless the verb says "in place". Calls come from one thread
/// at a time; the backend spreads them over its own pool.
public interface Backend extends AutoCloseable {
    /// What runs, for logs and reports: kernels, width, threads.
    String description();

    /// What the rounding of results depends on: two backends that answer the same compute the same numbers, bit for
    /// bit. So it names kernels and vector width, but no number of threads where results do not depend on it.
    default String arithmetic() {
        return description();
    }

    /// Zeroed memory that the caller closes.
    Matrix allocate(int rows, int columns);

    /// An empty cache for `layers` layers and `slots` sequences of up to `capacity` tokens.
    ///
    /// @param numbers what keys and values are rounded to: [DType#F32], which rounds nothing, or [DType#F16]; see
    ///                [CachedFloat16]
    KvCache allocateCache(int layers, int slots, int capacity, AttentionShape shape, DType numbers);

    /// Repacks `weight` for this backend's kernels. A weight whose [ActivationScheme] says so rounds every row of its
    /// inputs on the way in; the integers are summed exactly, in 32 bits, and scaled at the end.
    /// Nothing of `weight` is kept.
    ///
    /// @param bias `[outputs]`, or null for none
    Linear bind(Weight weight, float[] bias);

    /// Multiplies every row of `x` by several linears of this backend: `results[i] = linears[i](x)`. What reads
    /// the same input is best read in one go.
    default void multiplyAll(Linear[] linears, Matrix x, Matrix[] results) {
        for (int i = 0; i < linears.length; i++) {
            linears[i].multiply(x, results[i]);
        }
    }

    /// Fills `destination` with the packed row-major numbers at `source[offset ...]`.
    void copyIn(float[] source, int offset, Matrix destination);

    /// The reverse of [#copyIn].
    void copyOut(Matrix source, float[] destination, int offset);

    void copy(Matrix source, Matrix destination);

    /// `destination[i] = x[indices[i]]` for whole rows.
    void gatherRows(Matrix x, int[] indices, Matrix destination);

    /// Root-mean-square norm over every run of `weight.columns()` columns of `x`:
    /// `x / sqrt(mean(x²) + epsilon) * weight`. With a weight as wide as `x` this is the norm of a block; with one
    /// head's width it normalises each head. In place if `x == destination`.
    void rmsNorm(Matrix x, Matrix weight, float epsilon, Matrix destination);

    /// Rotary embedding, in place, of every head of `x` `[n, heads * headSize]`: element `i` and `i + headSize/2` of a
    /// head turn by the angle whose cosine and sine stand in column `i` of the token's row.
    ///
    /// @param cosines `[n, headSize / 2]`
    /// @param sines   `[n, headSize / 2]`
    void rope(Matrix x, int headSize, Matrix cosines, Matrix sines);

    /// Stores the batch's keys and values in `cache`, then attends causally: a token at position `p` of its sequence
    /// sees the keys at positions `max(0, p - window + 1) .. p` of its slot.
    ///
    /// @param queries     `[batch.rows, heads * headSize]`
    /// @param keys        `[batch.rows, kvHeads * headSize]`
    /// @param values      like `keys`
    /// @param destination like `queries`
    void attention(
            Matrix queries,
            Matrix keys,
            Matrix values,
            AttentionShape shape,
            Batch batch,
            KvCache cache,
            int layer,
            Matrix destination);

    /// `destination = silu(gate) * up`, where `silu(x) = x / (1 + exp(-x))`. In place if `destination` is either input.
    void gatedActivation(Matrix gate, Matrix up, Matrix destination);

    /// `sum += x`, in place.
    void add(Matrix x, Matrix sum);

    /// `gram += xᵀ·x` for `x` `[n, d]` and `gram` `[d, d]`; both triangles are kept.
    void addGram(Matrix x, Matrix gram);

    /// `sum += aᵀ·b` for `a` `[n, p]`, `b` `[n, q]` and `sum` `[p, q]`.
    void addTransposedProduct(Matrix a, Matrix b, Matrix sum);

    /// `c -= a·b`.
    void subtractProduct(Matrix a, Matrix b, Matrix c);

    /// Replaces the symmetric positive definite `a` by `U`, the upper triangular matrix with positive diagonal for
    /// which `inverse(a) = Uᵀ·U`; the strict lower triangle becomes zero. GPTQ walks along the rows of this matrix.
    ///
    /// @throws NotPositiveDefiniteException leaving `a` undefined
    void invertToUpperFactor(Matrix a) throws NotPositiveDefiniteException;

    /// Runs `task` over `[0, count)` on this backend's host threads, split into contiguous ranges, and waits.
    void forRanges(int count, RangeTask task);

    /// The machine's limits as this backend's threads meet them; empty if it cannot tell. The caller closes it.
    ///
    /// @param bytes to read at a time: as many as what is to be compared reads, for caches to take an equal part
    default Optional<MachineProbe> probe(long bytes) {
        return Optional.empty();
    }

    /// Ends the pool. Matrices, linears and caches are closed by whoever asked for them, before.
    @Override
    void close();
}

package dev.halftone.core.compute;

/// A weight bound to a backend, repacked for its kernels: `y = x · Wᵀ + b`, with `x` rounded first if the weight asks
/// for it.
public interface Linear extends AutoCloseable {
    int inputs();

    int outputs();

    /// Multiplies every row of `x` `[n, inputs]` into the same row of `y` `[n, outputs]`, overwriting it.
    void multiply(Matrix x, Matrix y);

    /// Copies rows `indices[0 .. destination.rows())` of the weight itself, restored to float, into `destination`
    /// `[n, inputs]`: the look-up of an embedding table.
    void gather(int[] indices, Matrix destination);

    /// Bytes that the bound form occupies.
    long bytes();

    @Override
    void close();
}

package dev.halftone.core.compute;

/// Keys and values of past tokens, for several sequences ("slots") and all layers, in the form its backend likes best.
public interface KvCache extends AutoCloseable {
    int slots();

    /// Tokens that a slot can hold.
    int capacity();

    long bytes();

    @Override
    void close();
}

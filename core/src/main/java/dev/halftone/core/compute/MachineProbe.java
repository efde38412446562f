package dev.halftone.core.compute;

/// What a machine gives a backend's threads when they only read, or only multiply and add: the limits that figures of
/// speed are held against. Ask beside what is measured, because a shared machine gives more at one moment than at
/// another.
public interface MachineProbe extends AutoCloseable {
    /// Bytes per second of reading a block of memory once, in order.
    double readingSpeed();

    /// Float32 operations per second, two for each multiply-add, with all operands in registers.
    double multiplyAddSpeed();

    /// Frees the block.
    @Override
    void close();
}

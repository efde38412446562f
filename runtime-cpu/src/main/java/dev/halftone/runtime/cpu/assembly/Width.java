package dev.halftone.runtime.cpu.assembly;

/// How much of a vector register an instruction uses. The order is that of their encoding.
public enum Width {
    BITS_128,
    BITS_256,
    BITS_512;

    public int bytes() {
        return 16 << ordinal();
    }
}

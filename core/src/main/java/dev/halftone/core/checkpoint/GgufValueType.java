package dev.halftone.core.checkpoint;

import java.util.Optional;

/// Types of the values in a GGUF file's metadata; the ordinal is the number that files hold.
public enum GgufValueType {
    U8(1),
    I8(1),
    U16(2),
    I16(2),
    U32(4),
    I32(4),
    F32(4),
    BOOL(1),
    TEXT(0),
    ARRAY(0),
    U64(8),
    I64(8),
    F64(8);

    private final int bytes;

    GgufValueType(int bytes) {
        this.bytes = bytes;
    }

    /// The type that files number `id`; empty if there is none.
    static Optional<GgufValueType> of(int id) {
        return id >= 0 && id < values().length ? Optional.of(values()[id]) : Optional.empty();
    }

    /// As files number it.
    int id() {
        return ordinal();
    }

    /// Bytes of one value; 0 where the value itself says how long it is.
    int bytes() {
        return bytes;
    }

    /// True for whole numbers.
    boolean isWhole() {
        return switch (this) {
            case U8, I8, U16, I16, U32, I32, U64, I64 -> true;
            case F32, F64, BOOL, TEXT, ARRAY -> false;
        };
    }

    /// True for numbers with a fraction.
    boolean isReal() {
        return this == F32 || this == F64;
    }
}

package dev.halftone.runtime.cpu.assembly;

import java.util.Objects;

/// A place in memory: `base + index * scale + displacement`.
///
/// @param index null for none
/// @param scale 1, 2, 4 or 8
public record Address(Register base, Register index, int scale, int displacement) {
    public Address {
        Objects.requireNonNull(base);
        // The number of RSP among indices means that there is none.
        if (index == Register.RSP) {
            throw new IllegalArgumentException("RSP cannot be an index");
        }
        if (Integer.bitCount(scale) != 1 || scale < 1 || scale > 8) {
            throw new IllegalArgumentException("a scale is 1, 2, 4 or 8, found " + scale);
        }
    }

    public static Address at(Register base) {
        return new Address(base, null, 1, 0);
    }

    public static Address at(Register base, int displacement) {
        return new Address(base, null, 1, displacement);
    }

    public static Address at(Register base, Register index, int scale) {
        return new Address(base, index, scale, 0);
    }
}

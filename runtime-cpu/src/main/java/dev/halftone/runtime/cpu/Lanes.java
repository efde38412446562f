package dev.halftone.runtime.cpu;

import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/// The one vector width of this process. The species must be constants for the compiler, so the width is read from the
/// system property `halftone.cpu.vector-bits` once, and a process has but one.
///
/// Kernels call the loads and stores of the Vector API directly, never through a helper of ours: those are inlined
/// without condition, ours only while the compiler finds it worth the while, which it decides anew in every process,
/// and a vector that crosses a call becomes an object. Only [#at], which passes an address, stands between.
///
/// For the same reason a sum that a loop carries is the argument of its operation, `x.add(sum)`, and not the receiver:
/// at the head of the loop the compiler knows no more of it than that it is a vector. Which of their classes `add`
/// belongs to it then takes from a profile, and a profile that is not there yet makes it a call.
final class Lanes {
    static final VectorSpecies<Float> FLOATS = VectorSpecies.of(float.class, shape());
    static final VectorSpecies<Integer> INTS = VectorSpecies.of(int.class, FLOATS.vectorShape());
    static final int COUNT = FLOATS.length();

    /// Bytes of one vector.
    static final int BYTES = FLOATS.vectorByteSize();

    static final ByteOrder ORDER = ByteOrder.nativeOrder();

    private Lanes() {}

    private static VectorShape shape() {
        String bits = VectorWidth.requested();
        return bits == null
                ? FloatVector.SPECIES_PREFERRED.vectorShape()
                : VectorShape.forBitSize(Integer.parseInt(bits));
    }

    /// The widest vectors that this processor computes with.
    static int preferredBits() {
        return FloatVector.SPECIES_PREFERRED.vectorBitSize();
    }

    /// `address`, where a vector is about to be read or written.
    static long at(long address) {
        if (Memory.CHECKED) {
            Memory.check(address, BYTES);
        }
        return address;
    }

    /// Sum over the lanes of a vector in memory, in a fixed order: a lanewise reduction may change its order from one
    /// compilation to the next.
    static float sum(long vector) {
        float sum = 0;
        for (int i = 0; i < COUNT; i++) {
            sum += Memory.getFloat(vector + (long) i * Float.BYTES);
        }
        return sum;
    }
}

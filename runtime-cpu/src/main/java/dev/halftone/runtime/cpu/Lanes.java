package dev.halftone.runtime.cpu;

import dev.halftone.core.tensor.AllMemory;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/// The one vector width of this process and its loads and stores. The species must be constants for the compiler, so
/// the width is read from the system property `halftone.cpu.vector-bits` once, and a process has but one.
final class Lanes {
    static final VectorSpecies<Float> FLOATS = VectorSpecies.of(float.class, shape());
    static final VectorSpecies<Integer> INTS = VectorSpecies.of(int.class, FLOATS.vectorShape());
    static final int COUNT = FLOATS.length();

    /// Bytes of one vector.
    static final int BYTES = FLOATS.vectorByteSize();

    private static final ByteOrder ORDER = ByteOrder.nativeOrder();

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

    static FloatVector load(long address) {
        if (Memory.CHECKED) {
            Memory.check(address, BYTES);
        }
        return FloatVector.fromMemorySegment(FLOATS, AllMemory.SEGMENT, address, ORDER);
    }

    static IntVector loadInts(long address) {
        if (Memory.CHECKED) {
            Memory.check(address, BYTES);
        }
        return IntVector.fromMemorySegment(INTS, AllMemory.SEGMENT, address, ORDER);
    }

    /// The float at `address` in every lane.
    static FloatVector spread(long address) {
        return FloatVector.broadcast(FLOATS, Memory.getFloat(address));
    }

    static void store(FloatVector vector, long address) {
        if (Memory.CHECKED) {
            Memory.check(address, BYTES);
        }
        vector.intoMemorySegment(AllMemory.SEGMENT, address, ORDER);
    }

    /// Sum over the lanes in a fixed order, through memory: a lanewise reduction may change its order from one
    /// compilation to the next.
    static float sum(FloatVector vector, long scratch) {
        store(vector, scratch);
        float sum = 0;
        for (int i = 0; i < COUNT; i++) {
            sum += Memory.getFloat(scratch + (long) i * Float.BYTES);
        }
        return sum;
    }
}

package dev.halftone.runtime.cpu;

import static dev.halftone.core.tensor.AllMemory.ALL;
import static dev.halftone.runtime.cpu.Lanes.BYTES;
import static dev.halftone.runtime.cpu.Lanes.FLOATS;
import static dev.halftone.runtime.cpu.Lanes.INTS;
import static dev.halftone.runtime.cpu.Lanes.ORDER;
import static dev.halftone.runtime.cpu.Lanes.at;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;
import static jdk.incubator.vector.IntVector.fromMemorySegment;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/// Brings restored weights and activations into the order that oneDNN multiplies. No lane ever moves: which two inputs
/// share a word is ours to choose, as long as both sides choose alike.
final class PairKernel {
    private PairKernel() {}

    /// See [Kernels#widen]. A float16 whose exponent is taken for a float's is 2¹¹² times too small.
    static void widen(long from, int words, long destination) {
        IntVector sign = IntVector.broadcast(INTS, 0x80000000);
        IntVector magnitude = IntVector.broadcast(INTS, 0x7FFF0000);
        for (int i = 0; i < words; i++) {
            IntVector high = fromMemorySegment(INTS, ALL, at(from + (long) i * BYTES), ORDER);
            IntVector low = high.lanewise(VectorOperators.LSHL, 16);
            long to = destination + (long) i * (2 * BYTES);
            low.and(magnitude)
                    .lanewise(VectorOperators.LSHR, 3)
                    .reinterpretAsFloats()
                    .mul(0x1p112f)
                    .reinterpretAsInts()
                    .or(low.and(sign))
                    .intoMemorySegment(ALL, at(to), ORDER);
            high.and(magnitude)
                    .lanewise(VectorOperators.LSHR, 3)
                    .reinterpretAsFloats()
                    .mul(0x1p112f)
                    .reinterpretAsInts()
                    .or(high.and(sign))
                    .intoMemorySegment(ALL, at(to + BYTES), ORDER);
        }
    }

    /// See [Kernels#spread].
    static void spread(long from, int count, long destination, long step) {
        for (int i = 0; i < count; i++) {
            FloatVector row = fromMemorySegment(FLOATS, ALL, at(from + (long) i * BYTES), ORDER);
            row.intoMemorySegment(ALL, at(destination + i * step), ORDER);
        }
    }

    /// See [Kernels#addIntegers].
    static void addIntegers(long x, long sum, int count) {
        int whole = count - count % Lanes.COUNT;
        for (int i = 0; i < whole; i += Lanes.COUNT) {
            long offset = (long) i * Integer.BYTES;
            fromMemorySegment(INTS, ALL, at(sum + offset), ORDER)
                    .add(fromMemorySegment(INTS, ALL, at(x + offset), ORDER))
                    .intoMemorySegment(ALL, at(sum + offset), ORDER);
        }
        for (int i = whole; i < count; i++) {
            long offset = (long) i * Integer.BYTES;
            Memory.putInt(sum + offset, Memory.getInt(sum + offset) + Memory.getInt(x + offset));
        }
    }

    /// See [Kernels#bytes]. Turning the highest bit over takes 128 from a byte.
    static void bytes(PackedWeight weight, int strip, int first, int count, long destination, long step) {
        IntVector highest = IntVector.broadcast(INTS, 0x80808080);
        int shift = weight.form.shift();
        long words = weight.words(strip) + (long) first * BYTES;
        for (int i = 0; i < count; i++) {
            IntVector codes = fromMemorySegment(INTS, ALL, at(words + (long) i * BYTES), ORDER);
            codes.lanewise(VectorOperators.ROR, shift)
                    .lanewise(VectorOperators.XOR, highest)
                    .intoMemorySegment(ALL, at(destination + i * step), ORDER);
        }
    }

    /// See [Kernels#roundPairs]. Adding just under half of the last place that stays, and that place itself, rounds to
    /// the nearest, ties to even; it could carry a NaN into infinity, so NaN are cut off instead, and kept quiet.
    static void roundPairs(long low, long high, long step, int count, long destination, long destinationStep) {
        IntVector half = IntVector.broadcast(INTS, 0x7FFF);
        IntVector one = IntVector.broadcast(INTS, 1);
        IntVector upperHalf = IntVector.broadcast(INTS, 0xFFFF0000);
        IntVector quiet = IntVector.broadcast(INTS, 0x00400000);
        for (int i = 0; i < count; i++) {
            IntVector a = fromMemorySegment(INTS, ALL, at(low + i * step), ORDER);
            IntVector b = fromMemorySegment(INTS, ALL, at(high + i * step), ORDER);
            FloatVector x = a.reinterpretAsFloats();
            FloatVector y = b.reinterpretAsFloats();
            IntVector lower = a.add(half)
                    .add(a.lanewise(VectorOperators.LSHR, 16).and(one))
                    .blend(a.or(quiet), x.compare(VectorOperators.NE, x).cast(INTS));
            IntVector upper = b.add(half)
                    .add(b.lanewise(VectorOperators.LSHR, 16).and(one))
                    .blend(b.or(quiet), y.compare(VectorOperators.NE, y).cast(INTS));
            upper.and(upperHalf)
                    .or(lower.lanewise(VectorOperators.LSHR, 16))
                    .intoMemorySegment(ALL, at(destination + i * destinationStep), ORDER);
        }
    }
}

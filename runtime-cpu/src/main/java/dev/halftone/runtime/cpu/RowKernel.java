package dev.halftone.runtime.cpu;

import static dev.halftone.core.tensor.AllMemory.ALL;
import static dev.halftone.runtime.cpu.Lanes.COUNT;
import static dev.halftone.runtime.cpu.Lanes.FLOATS;
import static dev.halftone.runtime.cpu.Lanes.ORDER;
import static dev.halftone.runtime.cpu.Lanes.at;
import static dev.halftone.runtime.cpu.Memory.getFloat;
import static jdk.incubator.vector.FloatVector.broadcast;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;

/// Verbs over one row: vectors first, then the tail one by one.
final class RowKernel {
    static final int GATE_POWER = -8;
    static final float GATE_SCALE = 0x1p-8f;
    // Here g / (1 + exp(-g)) is below the normal numbers already.
    static final float LOWEST_GATE = -93;

    private RowKernel() {}

    private static long place(long address, int index) {
        return address + (long) index * Float.BYTES;
    }

    static void normalize(long x, long weight, float epsilon, int count, long destination, long scratch) {
        int whole = count - count % COUNT;
        FloatVector squares = FloatVector.zero(FLOATS);
        for (int i = 0; i < whole; i += COUNT) {
            FloatVector v = fromMemorySegment(FLOATS, ALL, at(place(x, i)), ORDER);
            squares = v.fma(v, squares);
        }
        squares.intoMemorySegment(ALL, at(scratch), ORDER);
        float inverse = inverse(x, whole, count, Lanes.sum(scratch), epsilon);
        FloatVector factor = broadcast(FLOATS, inverse);
        for (int i = 0; i < whole; i += COUNT) {
            fromMemorySegment(FLOATS, ALL, at(place(x, i)), ORDER)
                    .mul(factor)
                    .mul(fromMemorySegment(FLOATS, ALL, at(place(weight, i)), ORDER))
                    .intoMemorySegment(ALL, at(place(destination, i)), ORDER);
        }
        scaleTail(x, weight, inverse, whole, count, destination);
    }

    /// What a row is multiplied by to be normal.
    ///
    /// @param sum of the first `whole` squares
    static float inverse(long x, int whole, int count, double sum, float epsilon) {
        double all = sum;
        for (int i = whole; i < count; i++) {
            double v = getFloat(place(x, i));
            all += v * v;
        }
        return (float) (1 / Math.sqrt(all / count + epsilon));
    }

    /// The numbers of a row from `whole` on, normalized.
    static void scaleTail(long x, long weight, float inverse, int whole, int count, long destination) {
        for (int i = whole; i < count; i++) {
            Memory.putFloat(place(destination, i), getFloat(place(x, i)) * inverse * getFloat(place(weight, i)));
        }
    }

    static void rotate(long x, int half, long cosines, long sines) {
        int whole = half - half % COUNT;
        for (int i = 0; i < whole; i += COUNT) {
            FloatVector a = fromMemorySegment(FLOATS, ALL, at(place(x, i)), ORDER);
            FloatVector b = fromMemorySegment(FLOATS, ALL, at(place(x, i + half)), ORDER);
            FloatVector cosine = fromMemorySegment(FLOATS, ALL, at(place(cosines, i)), ORDER);
            FloatVector sine = fromMemorySegment(FLOATS, ALL, at(place(sines, i)), ORDER);
            a.mul(cosine).sub(b.mul(sine)).intoMemorySegment(ALL, at(place(x, i)), ORDER);
            b.mul(cosine).add(a.mul(sine)).intoMemorySegment(ALL, at(place(x, i + half)), ORDER);
        }
        for (int i = whole; i < half; i++) {
            float a = getFloat(place(x, i));
            float b = getFloat(place(x, i + half));
            float cosine = getFloat(place(cosines, i));
            float sine = getFloat(place(sines, i));
            Memory.putFloat(place(x, i), a * cosine - b * sine);
            Memory.putFloat(place(x, i + half), b * cosine + a * sine);
        }
    }

    static void gate(long gate, long up, long destination, int count, long scratch) {
        int whole = count - count % COUNT;
        // g / (1 + exp(-g)), above and below times a power of two, so that the exponential does not overflow before
        // the result is below the normal numbers.
        Exponential.of(gate, -1, 0, GATE_POWER, scratch, whole, place(scratch, whole));
        for (int i = 0; i < whole; i += COUNT) {
            FloatVector denominator =
                    fromMemorySegment(FLOATS, ALL, at(place(scratch, i)), ORDER).add(GATE_SCALE);
            fromMemorySegment(FLOATS, ALL, at(place(gate, i)), ORDER)
                    .max(LOWEST_GATE)
                    .mul(GATE_SCALE)
                    .div(denominator)
                    .mul(fromMemorySegment(FLOATS, ALL, at(place(up, i)), ORDER))
                    .intoMemorySegment(ALL, at(place(destination, i)), ORDER);
        }
        for (int i = whole; i < count; i++) {
            float g = getFloat(place(gate, i));
            Memory.putFloat(place(destination, i), (float) (g / (1 + Math.exp(-g))) * getFloat(place(up, i)));
        }
    }

    static void add(long x, long sum, int count) {
        int whole = count - count % COUNT;
        for (int i = 0; i < whole; i += COUNT) {
            fromMemorySegment(FLOATS, ALL, at(place(sum, i)), ORDER)
                    .add(fromMemorySegment(FLOATS, ALL, at(place(x, i)), ORDER))
                    .intoMemorySegment(ALL, at(place(sum, i)), ORDER);
        }
        for (int i = whole; i < count; i++) {
            Memory.putFloat(place(sum, i), getFloat(place(sum, i)) + getFloat(place(x, i)));
        }
    }

    static void scale(long x, float factor, long destination, int count) {
        int whole = count - count % COUNT;
        for (int i = 0; i < whole; i += COUNT) {
            fromMemorySegment(FLOATS, ALL, at(place(x, i)), ORDER)
                    .mul(factor)
                    .intoMemorySegment(ALL, at(place(destination, i)), ORDER);
        }
        for (int i = whole; i < count; i++) {
            Memory.putFloat(place(destination, i), getFloat(place(x, i)) * factor);
        }
    }

    static float maximum(long x, int count) {
        int whole = count - count % COUNT;
        float maximum = Float.NEGATIVE_INFINITY;
        if (whole > 0) {
            FloatVector first = fromMemorySegment(FLOATS, ALL, at(x), ORDER);
            // Four chains, for one waits for each of its steps.
            FloatVector max0 = first;
            FloatVector max1 = first;
            FloatVector max2 = first;
            FloatVector max3 = first;
            int i = 0;
            for (; i + 4 * COUNT <= whole; i += 4 * COUNT) {
                max0 = fromMemorySegment(FLOATS, ALL, at(place(x, i)), ORDER).max(max0);
                max1 = fromMemorySegment(FLOATS, ALL, at(place(x, i + COUNT)), ORDER)
                        .max(max1);
                max2 = fromMemorySegment(FLOATS, ALL, at(place(x, i + 2 * COUNT)), ORDER)
                        .max(max2);
                max3 = fromMemorySegment(FLOATS, ALL, at(place(x, i + 3 * COUNT)), ORDER)
                        .max(max3);
            }
            for (; i < whole; i += COUNT) {
                max0 = fromMemorySegment(FLOATS, ALL, at(place(x, i)), ORDER).max(max0);
            }
            // Once more the first, whose class the compiler knows; see Lanes.
            maximum = first.max(max0).max(max1).max(max2).max(max3).reduceLanes(VectorOperators.MAX);
        }
        for (int i = whole; i < count; i++) {
            maximum = Math.max(maximum, getFloat(place(x, i)));
        }
        return maximum;
    }

    static float exponentials(long x, int count, float maximum, long scratch) {
        int whole = count - count % COUNT;
        float sum = Exponential.of(x, 1, maximum, 0, x, whole, scratch);
        return exponentialTail(x, whole, count, maximum, sum);
    }

    /// The exponentials from `whole` on, added to `sum`.
    static float exponentialTail(long x, int whole, int count, float maximum, float sum) {
        for (int i = whole; i < count; i++) {
            float e = (float) Math.exp(getFloat(place(x, i)) - maximum);
            Memory.putFloat(place(x, i), e);
            sum += e;
        }
        return sum;
    }
}

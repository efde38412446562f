package dev.halftone.runtime.cpu;

import static dev.halftone.core.tensor.AllMemory.ALL;
import static dev.halftone.runtime.cpu.Lanes.COUNT;
import static dev.halftone.runtime.cpu.Lanes.FLOATS;
import static dev.halftone.runtime.cpu.Lanes.ORDER;
import static dev.halftone.runtime.cpu.Lanes.at;
import static jdk.incubator.vector.FloatVector.broadcast;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/// Exponentials of a row, within 2 ulp: `exp(x) = 2ⁿ · exp(r)` with `|r| <= ln(2) / 2`, and a Taylor polynomial for
/// `exp(r)`, to whose exponent n is added.
final class Exponential {
    static final float LOG2_E = 1.44269504f;
    private static final double LN2 = Math.log(2);
    // ln 2 in two parts; the first has few enough bits that n times it is exact.
    static final float LN2_HIGH = 0.693359375f;
    static final float LN2_LOW = -2.12194440e-4f;
    // Adding and subtracting 1.5 · 2²³ rounds to the nearest integer.
    private static final float ROUND = 0x1.8p23f;
    // Between these, powers of two times polynomials are normal numbers.
    private static final float LOWEST = -87;
    private static final float HIGHEST = 88;

    private Exponential() {}

    /// What numbers are brought up to first, for results of `2^power · exp`.
    static float lowest(int power) {
        return (float) (LOWEST - power * LN2);
    }

    /// What they are brought down to.
    static float highest(int power) {
        return (float) (HIGHEST - power * LN2);
    }

    /// What is added to round to the nearest integer, and to that the power.
    static float round(int power) {
        return ROUND + power;
    }

    /// Of the polynomial, the highest power first. The loop has them in its text, as constants for the compiler.
    static float[] coefficients() {
        return new float[] {1f / 5040, 1f / 720, 1f / 120, 1f / 24, 1f / 6, 0.5f, 1f, 1f};
    }

    /// `destination = 2^power · exp(factor · x - shift)`, brought into the range from `exp(-87)` to `exp(88)`. All in
    /// one loop, for a helper's vectors would be objects wherever the compiler does not inline it.
    ///
    /// @param count   of floats, in whole vectors
    /// @param scratch room for one vector
    /// @return the sum of the results
    static float of(long x, float factor, float shift, int power, long destination, int count, long scratch) {
        float lowest = lowest(power);
        float highest = highest(power);
        float round = round(power);
        FloatVector sums = FloatVector.zero(FLOATS);
        for (int i = 0; i < count; i += COUNT) {
            long offset = (long) i * Float.BYTES;
            FloatVector v = fromMemorySegment(FLOATS, ALL, at(x + offset), ORDER)
                    .fma(broadcast(FLOATS, factor), broadcast(FLOATS, -shift))
                    .max(lowest)
                    .min(highest);
            FloatVector rounded = v.fma(broadcast(FLOATS, LOG2_E), broadcast(FLOATS, round));
            FloatVector n = rounded.sub(round);
            FloatVector r = n.fma(broadcast(FLOATS, -LN2_HIGH), v);
            r = n.fma(broadcast(FLOATS, -LN2_LOW), r);
            FloatVector p = broadcast(FLOATS, 1f / 5040);
            p = p.fma(r, broadcast(FLOATS, 1f / 720));
            p = p.fma(r, broadcast(FLOATS, 1f / 120));
            p = p.fma(r, broadcast(FLOATS, 1f / 24));
            p = p.fma(r, broadcast(FLOATS, 1f / 6));
            p = p.fma(r, broadcast(FLOATS, 0.5f));
            p = p.fma(r, broadcast(FLOATS, 1f));
            p = p.fma(r, broadcast(FLOATS, 1f));
            // The low bits of `rounded` are n + power; its own exponent is shifted out.
            IntVector steps = rounded.reinterpretAsInts().lanewise(VectorOperators.LSHL, 23);
            FloatVector e = p.reinterpretAsInts().add(steps).reinterpretAsFloats();
            e.intoMemorySegment(ALL, at(destination + offset), ORDER);
            sums = e.add(sums);
        }
        sums.intoMemorySegment(ALL, at(scratch), ORDER);
        return Lanes.sum(scratch);
    }
}

package dev.halftone.runtime.cpu;

import static dev.halftone.runtime.cpu.Lanes.FLOATS;
import static dev.halftone.runtime.cpu.Lanes.INTS;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/// `exp` of every lane, within 2 ulp: `exp(x) = 2ⁿ · exp(r)` with `|r| <= ln(2) / 2`, a Taylor polynomial for `exp(r)`,
/// and the power of two in two halves, so that results reach into the denormal numbers and overflow to infinity.
final class Exponential {
    private static final float LOG2_E = 1.44269504f;
    // ln 2 in two parts; the first has few enough bits that n times it is exact.
    private static final float LN2_HIGH = 0.693359375f;
    private static final float LN2_LOW = -2.12194440e-4f;
    // Adding and subtracting 1.5 · 2²³ rounds to the nearest integer.
    private static final float ROUND = 0x1.8p23f;
    private static final float LOWEST = -104f;
    private static final float HIGHEST = 89f;

    private Exponential() {}

    static FloatVector of(FloatVector x) {
        FloatVector clamped = x.max(LOWEST).min(HIGHEST);
        FloatVector shifted = clamped.fma(FloatVector.broadcast(FLOATS, LOG2_E), FloatVector.broadcast(FLOATS, ROUND));
        FloatVector n = shifted.sub(ROUND);
        FloatVector r = n.fma(FloatVector.broadcast(FLOATS, -LN2_HIGH), clamped);
        r = n.fma(FloatVector.broadcast(FLOATS, -LN2_LOW), r);
        FloatVector p = FloatVector.broadcast(FLOATS, 1f / 5040);
        p = p.fma(r, FloatVector.broadcast(FLOATS, 1f / 720));
        p = p.fma(r, FloatVector.broadcast(FLOATS, 1f / 120));
        p = p.fma(r, FloatVector.broadcast(FLOATS, 1f / 24));
        p = p.fma(r, FloatVector.broadcast(FLOATS, 1f / 6));
        p = p.fma(r, FloatVector.broadcast(FLOATS, 0.5f));
        p = p.fma(r, FloatVector.broadcast(FLOATS, 1f));
        p = p.fma(r, FloatVector.broadcast(FLOATS, 1f));
        // The low bits of `shifted` are n; its exponent part falls away with the subtraction.
        IntVector exponent = shifted.reinterpretAsInts().sub(Float.floatToRawIntBits(ROUND));
        IntVector half = exponent.lanewise(VectorOperators.ASHR, 1);
        return p.mul(powerOfTwo(half)).mul(powerOfTwo(exponent.sub(half)));
    }

    private static FloatVector powerOfTwo(IntVector n) {
        return n.add(IntVector.broadcast(INTS, 127))
                .lanewise(VectorOperators.LSHL, 23)
                .reinterpretAsFloats();
    }
}

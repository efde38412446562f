package dev.halftone.runtime.cpu;

import static dev.halftone.core.tensor.AllMemory.ALL;
import static dev.halftone.runtime.cpu.Lanes.BYTES;
import static dev.halftone.runtime.cpu.Lanes.FLOATS;
import static dev.halftone.runtime.cpu.Lanes.INTS;
import static dev.halftone.runtime.cpu.Lanes.ORDER;
import static dev.halftone.runtime.cpu.Lanes.at;
import static dev.halftone.runtime.cpu.Memory.getFloat;
import static jdk.incubator.vector.FloatVector.broadcast;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;
import static jdk.incubator.vector.IntVector.fromMemorySegment;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/// Products with pairs of bfloat16: the float of each is its half of the word in the upper half of a word, exactly.
final class BFloat16Kernel {
    private static final int HIGH_HALF = 0xFFFF0000;

    private BFloat16Kernel() {}

    /// Four strips of [Kernels#multiplyRow].
    static void multiplyRow(PackedWeight weight, long x, int strip0, int strip1, int strip2, int strip3, long y) {
        int words = weight.wordsPerStrip();
        long p0 = weight.words(strip0);
        long p1 = weight.words(strip1);
        long p2 = weight.words(strip2);
        long p3 = weight.words(strip3);
        FloatVector y0 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip0)), ORDER);
        FloatVector y1 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip1)), ORDER);
        FloatVector y2 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip2)), ORDER);
        FloatVector y3 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip3)), ORDER);
        FloatVector odd0 = FloatVector.zero(FLOATS);
        FloatVector odd1 = FloatVector.zero(FLOATS);
        FloatVector odd2 = FloatVector.zero(FLOATS);
        FloatVector odd3 = FloatVector.zero(FLOATS);
        for (int k = 0; k < words; k++) {
            long word = (long) k * BYTES;
            FloatVector xLow = broadcast(FLOATS, getFloat(x + 8L * k));
            FloatVector xHigh = broadcast(FLOATS, getFloat(x + 8L * k + Float.BYTES));
            IntVector w0 = fromMemorySegment(INTS, ALL, at(p0 + word), ORDER);
            y0 = w0.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(xLow, y0);
            odd0 = w0.and(HIGH_HALF).reinterpretAsFloats().fma(xHigh, odd0);
            IntVector w1 = fromMemorySegment(INTS, ALL, at(p1 + word), ORDER);
            y1 = w1.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(xLow, y1);
            odd1 = w1.and(HIGH_HALF).reinterpretAsFloats().fma(xHigh, odd1);
            IntVector w2 = fromMemorySegment(INTS, ALL, at(p2 + word), ORDER);
            y2 = w2.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(xLow, y2);
            odd2 = w2.and(HIGH_HALF).reinterpretAsFloats().fma(xHigh, odd2);
            IntVector w3 = fromMemorySegment(INTS, ALL, at(p3 + word), ORDER);
            y3 = w3.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(xLow, y3);
            odd3 = w3.and(HIGH_HALF).reinterpretAsFloats().fma(xHigh, odd3);
        }
        y0.add(odd0).intoMemorySegment(ALL, at(y + (long) strip0 * BYTES), ORDER);
        y1.add(odd1).intoMemorySegment(ALL, at(y + (long) strip1 * BYTES), ORDER);
        y2.add(odd2).intoMemorySegment(ALL, at(y + (long) strip2 * BYTES), ORDER);
        y3.add(odd3).intoMemorySegment(ALL, at(y + (long) strip3 * BYTES), ORDER);
    }

    /// Two strips of [Kernels#multiplyFourRows].
    static void multiplyFourRows(PackedWeight weight, long x, long xRow, int strip0, int strip1, long y, long yRow) {
        int words = weight.wordsPerStrip();
        long p0 = weight.words(strip0);
        long p1 = weight.words(strip1);
        FloatVector y00 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip0)), ORDER);
        FloatVector y10 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip0)), ORDER);
        FloatVector y20 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip0)), ORDER);
        FloatVector y30 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip0)), ORDER);
        FloatVector y01 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip1)), ORDER);
        FloatVector y11 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip1)), ORDER);
        FloatVector y21 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip1)), ORDER);
        FloatVector y31 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip1)), ORDER);
        for (int k = 0; k < words; k++) {
            long word = (long) k * BYTES;
            long at = x + 8L * k;
            IntVector w0 = fromMemorySegment(INTS, ALL, at(p0 + word), ORDER);
            FloatVector low0 = w0.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
            FloatVector high0 = w0.and(HIGH_HALF).reinterpretAsFloats();
            IntVector w1 = fromMemorySegment(INTS, ALL, at(p1 + word), ORDER);
            FloatVector low1 = w1.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
            FloatVector high1 = w1.and(HIGH_HALF).reinterpretAsFloats();
            FloatVector lowX0 = broadcast(FLOATS, getFloat(at));
            y00 = low0.fma(lowX0, y00);
            y01 = low1.fma(lowX0, y01);
            FloatVector lowX1 = broadcast(FLOATS, getFloat(at + xRow));
            y10 = low0.fma(lowX1, y10);
            y11 = low1.fma(lowX1, y11);
            FloatVector lowX2 = broadcast(FLOATS, getFloat(at + 2 * xRow));
            y20 = low0.fma(lowX2, y20);
            y21 = low1.fma(lowX2, y21);
            FloatVector lowX3 = broadcast(FLOATS, getFloat(at + 3 * xRow));
            y30 = low0.fma(lowX3, y30);
            y31 = low1.fma(lowX3, y31);
            FloatVector highX0 = broadcast(FLOATS, getFloat(at + Float.BYTES));
            y00 = high0.fma(highX0, y00);
            y01 = high1.fma(highX0, y01);
            FloatVector highX1 = broadcast(FLOATS, getFloat(at + xRow + Float.BYTES));
            y10 = high0.fma(highX1, y10);
            y11 = high1.fma(highX1, y11);
            FloatVector highX2 = broadcast(FLOATS, getFloat(at + 2 * xRow + Float.BYTES));
            y20 = high0.fma(highX2, y20);
            y21 = high1.fma(highX2, y21);
            FloatVector highX3 = broadcast(FLOATS, getFloat(at + 3 * xRow + Float.BYTES));
            y30 = high0.fma(highX3, y30);
            y31 = high1.fma(highX3, y31);
        }
        y00.intoMemorySegment(ALL, at(y + (long) strip0 * BYTES), ORDER);
        y10.intoMemorySegment(ALL, at(y + yRow + (long) strip0 * BYTES), ORDER);
        y20.intoMemorySegment(ALL, at(y + 2 * yRow + (long) strip0 * BYTES), ORDER);
        y30.intoMemorySegment(ALL, at(y + 3 * yRow + (long) strip0 * BYTES), ORDER);
        y01.intoMemorySegment(ALL, at(y + (long) strip1 * BYTES), ORDER);
        y11.intoMemorySegment(ALL, at(y + yRow + (long) strip1 * BYTES), ORDER);
        y21.intoMemorySegment(ALL, at(y + 2 * yRow + (long) strip1 * BYTES), ORDER);
        y31.intoMemorySegment(ALL, at(y + 3 * yRow + (long) strip1 * BYTES), ORDER);
    }

    /// See [Kernels#restore].
    static void restore(PackedWeight weight, int strip, int first, int count, long destination) {
        long from = weight.words(strip) + (long) first * BYTES;
        long to = destination;
        for (int k = 0; k < count; k++) {
            IntVector w = fromMemorySegment(INTS, ALL, at(from + (long) k * BYTES), ORDER);
            w.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().intoMemorySegment(ALL, at(to), ORDER);
            w.and(HIGH_HALF).reinterpretAsFloats().intoMemorySegment(ALL, at(to + BYTES), ORDER);
            to += 2L * BYTES;
        }
    }
}

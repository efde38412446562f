package dev.halftone.runtime.cpu;

import static dev.halftone.core.tensor.AllMemory.ALL;
import static dev.halftone.runtime.cpu.Lanes.BYTES;
import static dev.halftone.runtime.cpu.Lanes.FLOATS;
import static dev.halftone.runtime.cpu.Lanes.INTS;
import static dev.halftone.runtime.cpu.Lanes.ORDER;
import static dev.halftone.runtime.cpu.Lanes.at;
import static jdk.incubator.vector.FloatVector.broadcast;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;
import static jdk.incubator.vector.IntVector.fromMemorySegment;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/// Products with pairs of bfloat16, each widened exactly: it is the upper half of its float.
final class BFloat16Kernel {
    private static final int HIGH_HALF = 0xFFFF0000;

    private BFloat16Kernel() {}

    /// Four strips of [Kernels#multiplyRow].
    static void multiplyRow(PackedWeight weight, float[] x, int strip0, int strip1, int strip2, int strip3, long y) {
        int words = weight.wordsPerStrip();
        long p0 = weight.words(strip0);
        long p1 = weight.words(strip1);
        long p2 = weight.words(strip2);
        long p3 = weight.words(strip3);
        FloatVector y0 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip0)), ORDER);
        FloatVector y1 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip1)), ORDER);
        FloatVector y2 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip2)), ORDER);
        FloatVector y3 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip3)), ORDER);
        for (int k = 0; k < words; k++) {
            long word = (long) k * BYTES;
            FloatVector xLow = broadcast(FLOATS, x[2 * k]);
            FloatVector xHigh = broadcast(FLOATS, x[2 * k + 1]);
            IntVector w0 = fromMemorySegment(INTS, ALL, at(p0 + word), ORDER);
            y0 = w0.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(xLow, y0);
            y0 = w0.and(HIGH_HALF).reinterpretAsFloats().fma(xHigh, y0);
            IntVector w1 = fromMemorySegment(INTS, ALL, at(p1 + word), ORDER);
            y1 = w1.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(xLow, y1);
            y1 = w1.and(HIGH_HALF).reinterpretAsFloats().fma(xHigh, y1);
            IntVector w2 = fromMemorySegment(INTS, ALL, at(p2 + word), ORDER);
            y2 = w2.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(xLow, y2);
            y2 = w2.and(HIGH_HALF).reinterpretAsFloats().fma(xHigh, y2);
            IntVector w3 = fromMemorySegment(INTS, ALL, at(p3 + word), ORDER);
            y3 = w3.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(xLow, y3);
            y3 = w3.and(HIGH_HALF).reinterpretAsFloats().fma(xHigh, y3);
        }
        y0.intoMemorySegment(ALL, at(y + (long) strip0 * BYTES), ORDER);
        y1.intoMemorySegment(ALL, at(y + (long) strip1 * BYTES), ORDER);
        y2.intoMemorySegment(ALL, at(y + (long) strip2 * BYTES), ORDER);
        y3.intoMemorySegment(ALL, at(y + (long) strip3 * BYTES), ORDER);
    }

    /// Two strips of one block of [Kernels#multiplyRows].
    static void multiplyFourRows(PackedWeight weight, float[] x, int block, int strip0, int strip1, long y, long yRow) {
        int words = weight.wordsPerStrip();
        long p0 = weight.words(strip0);
        long p1 = weight.words(strip1);
        FloatVector y00 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip0)), ORDER);
        FloatVector y01 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip1)), ORDER);
        FloatVector y10 = y00;
        FloatVector y11 = y01;
        FloatVector y20 = y00;
        FloatVector y21 = y01;
        FloatVector y30 = y00;
        FloatVector y31 = y01;
        int column = 4 * block * weight.paddedInputs();
        for (int k = 0; k < words; k++) {
            long word = (long) k * BYTES;
            IntVector w0 = fromMemorySegment(INTS, ALL, at(p0 + word), ORDER);
            FloatVector low0 = w0.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
            FloatVector high0 = w0.and(HIGH_HALF).reinterpretAsFloats();
            IntVector w1 = fromMemorySegment(INTS, ALL, at(p1 + word), ORDER);
            FloatVector low1 = w1.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
            FloatVector high1 = w1.and(HIGH_HALF).reinterpretAsFloats();
            FloatVector lowX0 = broadcast(FLOATS, x[column]);
            y00 = low0.fma(lowX0, y00);
            y01 = low1.fma(lowX0, y01);
            FloatVector lowX1 = broadcast(FLOATS, x[column + 1]);
            y10 = low0.fma(lowX1, y10);
            y11 = low1.fma(lowX1, y11);
            FloatVector lowX2 = broadcast(FLOATS, x[column + 2]);
            y20 = low0.fma(lowX2, y20);
            y21 = low1.fma(lowX2, y21);
            FloatVector lowX3 = broadcast(FLOATS, x[column + 3]);
            y30 = low0.fma(lowX3, y30);
            y31 = low1.fma(lowX3, y31);
            FloatVector highX0 = broadcast(FLOATS, x[column + 4]);
            y00 = high0.fma(highX0, y00);
            y01 = high1.fma(highX0, y01);
            FloatVector highX1 = broadcast(FLOATS, x[column + 5]);
            y10 = high0.fma(highX1, y10);
            y11 = high1.fma(highX1, y11);
            FloatVector highX2 = broadcast(FLOATS, x[column + 6]);
            y20 = high0.fma(highX2, y20);
            y21 = high1.fma(highX2, y21);
            FloatVector highX3 = broadcast(FLOATS, x[column + 7]);
            y30 = high0.fma(highX3, y30);
            y31 = high1.fma(highX3, y31);
            column += 8;
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

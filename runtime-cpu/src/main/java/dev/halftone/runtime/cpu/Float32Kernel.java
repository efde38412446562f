package dev.halftone.runtime.cpu;

import static dev.halftone.core.tensor.AllMemory.ALL;
import static dev.halftone.runtime.cpu.Lanes.BYTES;
import static dev.halftone.runtime.cpu.Lanes.FLOATS;
import static dev.halftone.runtime.cpu.Lanes.ORDER;
import static dev.halftone.runtime.cpu.Lanes.at;
import static jdk.incubator.vector.FloatVector.broadcast;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;

import jdk.incubator.vector.FloatVector;

/// Products with float32 weights.
final class Float32Kernel {
    private Float32Kernel() {}

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
            FloatVector xs = broadcast(FLOATS, x[k]);
            y0 = fromMemorySegment(FLOATS, ALL, at(p0 + word), ORDER).fma(xs, y0);
            y1 = fromMemorySegment(FLOATS, ALL, at(p1 + word), ORDER).fma(xs, y1);
            y2 = fromMemorySegment(FLOATS, ALL, at(p2 + word), ORDER).fma(xs, y2);
            y3 = fromMemorySegment(FLOATS, ALL, at(p3 + word), ORDER).fma(xs, y3);
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
            FloatVector w0 = fromMemorySegment(FLOATS, ALL, at(p0 + word), ORDER);
            FloatVector w1 = fromMemorySegment(FLOATS, ALL, at(p1 + word), ORDER);
            FloatVector x0 = broadcast(FLOATS, x[column]);
            y00 = w0.fma(x0, y00);
            y01 = w1.fma(x0, y01);
            FloatVector x1 = broadcast(FLOATS, x[column + 1]);
            y10 = w0.fma(x1, y10);
            y11 = w1.fma(x1, y11);
            FloatVector x2 = broadcast(FLOATS, x[column + 2]);
            y20 = w0.fma(x2, y20);
            y21 = w1.fma(x2, y21);
            FloatVector x3 = broadcast(FLOATS, x[column + 3]);
            y30 = w0.fma(x3, y30);
            y31 = w1.fma(x3, y31);
            column += 4;
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
        Memory.copyFloats(weight.words(strip) + (long) first * BYTES, destination, (long) count * Lanes.COUNT);
    }

    /// See [Kernels#copyStrip].
    static void copyStrip(long from, long rowBytes, int count, long destination) {
        for (int k = 0; k < count; k++) {
            FloatVector row = fromMemorySegment(FLOATS, ALL, at(from + k * rowBytes), ORDER);
            row.intoMemorySegment(ALL, at(destination + (long) k * BYTES), ORDER);
        }
    }
}

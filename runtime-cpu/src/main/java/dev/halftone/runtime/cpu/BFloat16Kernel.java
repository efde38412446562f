package dev.halftone.runtime.cpu;

import static dev.halftone.runtime.cpu.Lanes.BYTES;
import static dev.halftone.runtime.cpu.Lanes.load;
import static dev.halftone.runtime.cpu.Lanes.loadInts;
import static dev.halftone.runtime.cpu.Lanes.spread;
import static dev.halftone.runtime.cpu.Lanes.store;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/// Products with pairs of bfloat16: the float of each is its half of the word in the upper half of a word, exactly.
final class BFloat16Kernel {
    private static final int HIGH_HALF = 0xFFFF0000;

    private BFloat16Kernel() {}

    /// See [Kernels#multiplyRow]. Four strips far apart are read side by side, as in [Codes4Kernel].
    static void multiplyRow(PackedWeight weight, long x, int from, int to, long y) {
        int quarter = Math.ceilDiv(to - from, 4);
        int words = weight.wordsPerStrip();
        for (int i = 0; i < quarter; i++) {
            int strip0 = Math.min(from + i, to - 1);
            int strip1 = Math.min(from + quarter + i, to - 1);
            int strip2 = Math.min(from + 2 * quarter + i, to - 1);
            int strip3 = Math.min(from + 3 * quarter + i, to - 1);
            long p0 = weight.words(strip0);
            long p1 = weight.words(strip1);
            long p2 = weight.words(strip2);
            long p3 = weight.words(strip3);
            FloatVector y0 = load(weight.bias(strip0));
            FloatVector y1 = load(weight.bias(strip1));
            FloatVector y2 = load(weight.bias(strip2));
            FloatVector y3 = load(weight.bias(strip3));
            FloatVector odd0 = FloatVector.zero(Lanes.FLOATS);
            FloatVector odd1 = FloatVector.zero(Lanes.FLOATS);
            FloatVector odd2 = FloatVector.zero(Lanes.FLOATS);
            FloatVector odd3 = FloatVector.zero(Lanes.FLOATS);
            for (int k = 0; k < words; k++) {
                long word = (long) k * BYTES;
                FloatVector xLow = spread(x + 8L * k);
                FloatVector xHigh = spread(x + 8L * k + Float.BYTES);
                IntVector w0 = loadInts(p0 + word);
                y0 = w0.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(xLow, y0);
                odd0 = w0.and(HIGH_HALF).reinterpretAsFloats().fma(xHigh, odd0);
                IntVector w1 = loadInts(p1 + word);
                y1 = w1.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(xLow, y1);
                odd1 = w1.and(HIGH_HALF).reinterpretAsFloats().fma(xHigh, odd1);
                IntVector w2 = loadInts(p2 + word);
                y2 = w2.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(xLow, y2);
                odd2 = w2.and(HIGH_HALF).reinterpretAsFloats().fma(xHigh, odd2);
                IntVector w3 = loadInts(p3 + word);
                y3 = w3.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(xLow, y3);
                odd3 = w3.and(HIGH_HALF).reinterpretAsFloats().fma(xHigh, odd3);
            }
            store(y0.add(odd0), y + (long) strip0 * BYTES);
            store(y1.add(odd1), y + (long) strip1 * BYTES);
            store(y2.add(odd2), y + (long) strip2 * BYTES);
            store(y3.add(odd3), y + (long) strip3 * BYTES);
        }
    }

    /// See [Kernels#multiplyFourRows].
    static void multiplyFourRows(PackedWeight weight, long x, long xRow, int from, int to, long y, long yRow) {
        int half = Math.ceilDiv(to - from, 2);
        int words = weight.wordsPerStrip();
        for (int i = 0; i < half; i++) {
            int strip0 = from + i;
            int strip1 = Math.min(from + half + i, to - 1);
            long p0 = weight.words(strip0);
            long p1 = weight.words(strip1);
            FloatVector y00 = load(weight.bias(strip0));
            FloatVector y10 = load(weight.bias(strip0));
            FloatVector y20 = load(weight.bias(strip0));
            FloatVector y30 = load(weight.bias(strip0));
            FloatVector y01 = load(weight.bias(strip1));
            FloatVector y11 = load(weight.bias(strip1));
            FloatVector y21 = load(weight.bias(strip1));
            FloatVector y31 = load(weight.bias(strip1));
            for (int k = 0; k < words; k++) {
                long word = (long) k * BYTES;
                long at = x + 8L * k;
                IntVector w0 = loadInts(p0 + word);
                FloatVector low0 = w0.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
                FloatVector high0 = w0.and(HIGH_HALF).reinterpretAsFloats();
                IntVector w1 = loadInts(p1 + word);
                FloatVector low1 = w1.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
                FloatVector high1 = w1.and(HIGH_HALF).reinterpretAsFloats();
                FloatVector lowX0 = spread(at);
                y00 = low0.fma(lowX0, y00);
                y01 = low1.fma(lowX0, y01);
                FloatVector lowX1 = spread(at + xRow);
                y10 = low0.fma(lowX1, y10);
                y11 = low1.fma(lowX1, y11);
                FloatVector lowX2 = spread(at + 2 * xRow);
                y20 = low0.fma(lowX2, y20);
                y21 = low1.fma(lowX2, y21);
                FloatVector lowX3 = spread(at + 3 * xRow);
                y30 = low0.fma(lowX3, y30);
                y31 = low1.fma(lowX3, y31);
                FloatVector highX0 = spread(at + Float.BYTES);
                y00 = high0.fma(highX0, y00);
                y01 = high1.fma(highX0, y01);
                FloatVector highX1 = spread(at + xRow + Float.BYTES);
                y10 = high0.fma(highX1, y10);
                y11 = high1.fma(highX1, y11);
                FloatVector highX2 = spread(at + 2 * xRow + Float.BYTES);
                y20 = high0.fma(highX2, y20);
                y21 = high1.fma(highX2, y21);
                FloatVector highX3 = spread(at + 3 * xRow + Float.BYTES);
                y30 = high0.fma(highX3, y30);
                y31 = high1.fma(highX3, y31);
            }
            store(y00, y + (long) strip0 * BYTES);
            store(y10, y + yRow + (long) strip0 * BYTES);
            store(y20, y + 2 * yRow + (long) strip0 * BYTES);
            store(y30, y + 3 * yRow + (long) strip0 * BYTES);
            store(y01, y + (long) strip1 * BYTES);
            store(y11, y + yRow + (long) strip1 * BYTES);
            store(y21, y + 2 * yRow + (long) strip1 * BYTES);
            store(y31, y + 3 * yRow + (long) strip1 * BYTES);
        }
    }

    /// See [Kernels#restore].
    static void restore(PackedWeight weight, int strip, int first, int count, long destination) {
        long from = weight.words(strip) + (long) first * BYTES;
        long to = destination;
        for (int k = 0; k < count; k++) {
            IntVector w = loadInts(from + (long) k * BYTES);
            store(w.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats(), to);
            store(w.and(HIGH_HALF).reinterpretAsFloats(), to + BYTES);
            to += 2L * BYTES;
        }
    }
}

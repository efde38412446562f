package dev.halftone.runtime.cpu;

import static dev.halftone.runtime.cpu.Lanes.BYTES;
import static dev.halftone.runtime.cpu.Lanes.load;
import static dev.halftone.runtime.cpu.Lanes.spread;
import static dev.halftone.runtime.cpu.Lanes.store;

import jdk.incubator.vector.FloatVector;

/// Products with float32 weights.
final class Float32Kernel {

    private Float32Kernel() {}

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
            for (int k = 0; k < words; k++) {
                long word = (long) k * BYTES;
                FloatVector xs = spread(x + 4L * k);
                y0 = load(p0 + word).fma(xs, y0);
                y1 = load(p1 + word).fma(xs, y1);
                y2 = load(p2 + word).fma(xs, y2);
                y3 = load(p3 + word).fma(xs, y3);
            }
            store(y0, y + (long) strip0 * BYTES);
            store(y1, y + (long) strip1 * BYTES);
            store(y2, y + (long) strip2 * BYTES);
            store(y3, y + (long) strip3 * BYTES);
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
                long at = x + 4L * k;
                FloatVector w0 = load(p0 + word);
                FloatVector w1 = load(p1 + word);
                FloatVector x0 = spread(at);
                y00 = w0.fma(x0, y00);
                y01 = w1.fma(x0, y01);
                FloatVector x1 = spread(at + xRow);
                y10 = w0.fma(x1, y10);
                y11 = w1.fma(x1, y11);
                FloatVector x2 = spread(at + 2 * xRow);
                y20 = w0.fma(x2, y20);
                y21 = w1.fma(x2, y21);
                FloatVector x3 = spread(at + 3 * xRow);
                y30 = w0.fma(x3, y30);
                y31 = w1.fma(x3, y31);
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
        Memory.copyFloats(weight.words(strip) + (long) first * BYTES, destination, (long) count * Lanes.COUNT);
    }
}

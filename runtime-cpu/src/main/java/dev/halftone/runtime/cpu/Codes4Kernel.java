package dev.halftone.runtime.cpu;

import static dev.halftone.runtime.cpu.Lanes.BYTES;
import static dev.halftone.runtime.cpu.Lanes.load;
import static dev.halftone.runtime.cpu.Lanes.loadInts;
import static dev.halftone.runtime.cpu.Lanes.spread;
import static dev.halftone.runtime.cpu.Lanes.store;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/// Products with 4-bit codes; see [WeightForm] for the trick and [PackedWeight] for the algebra. The loop over the
/// 8 codes of a word must stay a loop: unrolled by hand, the body outgrows what the compiler inlines.
final class Codes4Kernel {
    private static final IntVector MASK = IntVector.broadcast(Lanes.INTS, 0x00780000);
    private static final IntVector ONE = IntVector.broadcast(Lanes.INTS, 0x3F800000);

    private Codes4Kernel() {}

    /// See [Kernels#multiplyRow]. Four strips far apart are read side by side: one stream alone does not keep the
    /// memory busy. Where they overlap at the end of the range, the same strip is computed twice.
    static void multiplyRow(PackedWeight weight, long x, long sums, int from, int to, long y) {
        int quarter = Math.ceilDiv(to - from, 4);
        int groups = weight.groups;
        int wordsPerGroup = weight.wordsPerGroup();
        int centreStep = weight.centreStep();
        for (int i = 0; i < quarter; i++) {
            int strip0 = Math.min(from + i, to - 1);
            int strip1 = Math.min(from + quarter + i, to - 1);
            int strip2 = Math.min(from + 2 * quarter + i, to - 1);
            int strip3 = Math.min(from + 3 * quarter + i, to - 1);
            long p0 = weight.words(strip0);
            long p1 = weight.words(strip1);
            long p2 = weight.words(strip2);
            long p3 = weight.words(strip3);
            long factors0 = weight.factors(strip0);
            long factors1 = weight.factors(strip1);
            long factors2 = weight.factors(strip2);
            long factors3 = weight.factors(strip3);
            long centres0 = weight.centres(strip0);
            long centres1 = weight.centres(strip1);
            long centres2 = weight.centres(strip2);
            long centres3 = weight.centres(strip3);
            FloatVector y0 = load(weight.bias(strip0));
            FloatVector y1 = load(weight.bias(strip1));
            FloatVector y2 = load(weight.bias(strip2));
            FloatVector y3 = load(weight.bias(strip3));
            long at = x;
            long word = 0;
            for (int group = 0; group < groups; group++) {
                FloatVector sum0 = FloatVector.zero(Lanes.FLOATS);
                FloatVector sum1 = FloatVector.zero(Lanes.FLOATS);
                FloatVector sum2 = FloatVector.zero(Lanes.FLOATS);
                FloatVector sum3 = FloatVector.zero(Lanes.FLOATS);
                for (int k = 0; k < wordsPerGroup; k++) {
                    IntVector w0 = loadInts(p0 + word);
                    IntVector w1 = loadInts(p1 + word);
                    IntVector w2 = loadInts(p2 + word);
                    IntVector w3 = loadInts(p3 + word);
                    for (int field = 0; field < 8; field++) {
                        FloatVector xs = spread(at);
                        sum0 = w0.and(MASK).or(ONE).reinterpretAsFloats().fma(xs, sum0);
                        w0 = w0.lanewise(VectorOperators.ROR, 4);
                        sum1 = w1.and(MASK).or(ONE).reinterpretAsFloats().fma(xs, sum1);
                        w1 = w1.lanewise(VectorOperators.ROR, 4);
                        sum2 = w2.and(MASK).or(ONE).reinterpretAsFloats().fma(xs, sum2);
                        w2 = w2.lanewise(VectorOperators.ROR, 4);
                        sum3 = w3.and(MASK).or(ONE).reinterpretAsFloats().fma(xs, sum3);
                        w3 = w3.lanewise(VectorOperators.ROR, 4);
                        at += Float.BYTES;
                    }
                    word += BYTES;
                }
                long cell = (long) group * BYTES;
                long centre = (long) group * centreStep;
                FloatVector total = spread(sums + (long) group * Float.BYTES);
                y0 = load(factors0 + cell).fma(sum0.sub(load(centres0 + centre).mul(total)), y0);
                y1 = load(factors1 + cell).fma(sum1.sub(load(centres1 + centre).mul(total)), y1);
                y2 = load(factors2 + cell).fma(sum2.sub(load(centres2 + centre).mul(total)), y2);
                y3 = load(factors3 + cell).fma(sum3.sub(load(centres3 + centre).mul(total)), y3);
            }
            store(y0, y + (long) strip0 * BYTES);
            store(y1, y + (long) strip1 * BYTES);
            store(y2, y + (long) strip2 * BYTES);
            store(y3, y + (long) strip3 * BYTES);
        }
    }

    /// See [Kernels#multiplyFourRows]. Two strips side by side; each weight is restored once for four rows.
    static void multiplyFourRows(PackedWeight weight, long x, long xRow, int from, int to, long y, long yRow) {
        int half = Math.ceilDiv(to - from, 2);
        int groups = weight.groups;
        int wordsPerGroup = weight.wordsPerGroup();
        int centreStep = weight.centreStep();
        for (int i = 0; i < half; i++) {
            int strip0 = from + i;
            int strip1 = Math.min(from + half + i, to - 1);
            long p0 = weight.words(strip0);
            long p1 = weight.words(strip1);
            long factors0 = weight.factors(strip0);
            long factors1 = weight.factors(strip1);
            long centres0 = weight.centres(strip0);
            long centres1 = weight.centres(strip1);
            FloatVector y00 = load(weight.bias(strip0));
            FloatVector y10 = load(weight.bias(strip0));
            FloatVector y20 = load(weight.bias(strip0));
            FloatVector y30 = load(weight.bias(strip0));
            FloatVector y01 = load(weight.bias(strip1));
            FloatVector y11 = load(weight.bias(strip1));
            FloatVector y21 = load(weight.bias(strip1));
            FloatVector y31 = load(weight.bias(strip1));
            long at = x;
            long word = 0;
            for (int group = 0; group < groups; group++) {
                FloatVector factor0 = load(factors0 + (long) group * BYTES);
                FloatVector centre0 = load(centres0 + (long) group * centreStep);
                FloatVector factor1 = load(factors1 + (long) group * BYTES);
                FloatVector centre1 = load(centres1 + (long) group * centreStep);
                for (int k = 0; k < wordsPerGroup; k++) {
                    IntVector w0 = loadInts(p0 + word);
                    IntVector w1 = loadInts(p1 + word);
                    for (int field = 0; field < 8; field++) {
                        FloatVector f0 = w0.and(MASK)
                                .or(ONE)
                                .reinterpretAsFloats()
                                .sub(centre0)
                                .mul(factor0);
                        w0 = w0.lanewise(VectorOperators.ROR, 4);
                        FloatVector f1 = w1.and(MASK)
                                .or(ONE)
                                .reinterpretAsFloats()
                                .sub(centre1)
                                .mul(factor1);
                        w1 = w1.lanewise(VectorOperators.ROR, 4);
                        FloatVector x0 = spread(at);
                        y00 = f0.fma(x0, y00);
                        y01 = f1.fma(x0, y01);
                        FloatVector x1 = spread(at + xRow);
                        y10 = f0.fma(x1, y10);
                        y11 = f1.fma(x1, y11);
                        FloatVector x2 = spread(at + 2 * xRow);
                        y20 = f0.fma(x2, y20);
                        y21 = f1.fma(x2, y21);
                        FloatVector x3 = spread(at + 3 * xRow);
                        y30 = f0.fma(x3, y30);
                        y31 = f1.fma(x3, y31);
                        at += Float.BYTES;
                    }
                    word += BYTES;
                }
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
        int wordsPerGroup = weight.wordsPerGroup();
        long words = weight.words(strip);
        long factors = weight.factors(strip);
        long centres = weight.centres(strip);
        long to = destination;
        for (int k = first; k < first + count; k++) {
            int group = k / wordsPerGroup;
            FloatVector factor = load(factors + (long) group * BYTES);
            FloatVector centre = load(centres + (long) group * weight.centreStep());
            IntVector w = loadInts(words + (long) k * BYTES);
            for (int field = 0; field < 8; field++) {
                store(w.and(MASK).or(ONE).reinterpretAsFloats().sub(centre).mul(factor), to);
                w = w.lanewise(VectorOperators.ROR, 4);
                to += BYTES;
            }
        }
    }
}

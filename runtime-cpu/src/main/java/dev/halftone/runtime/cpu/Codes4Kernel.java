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

/// Products with 4-bit codes; see [WeightForm] for the trick and [PackedWeight] for the algebra. The loop over the
/// 8 codes of a word must stay a loop: unrolled by hand, the body outgrows what the compiler inlines.
final class Codes4Kernel {
    private static final IntVector MASK = IntVector.broadcast(INTS, 0x00780000);
    private static final IntVector ONE = IntVector.broadcast(INTS, 0x3F800000);

    private Codes4Kernel() {}

    /// Four strips of [Kernels#multiplyRow].
    static void multiplyRow(
            PackedWeight weight, long x, long sums, int strip0, int strip1, int strip2, int strip3, long y) {
        int groups = weight.groups;
        int wordsPerGroup = weight.wordsPerGroup();
        int centreStep = weight.centreStep();
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
        FloatVector y0 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip0)), ORDER);
        FloatVector y1 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip1)), ORDER);
        FloatVector y2 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip2)), ORDER);
        FloatVector y3 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip3)), ORDER);
        long at = x;
        long word = 0;
        for (int group = 0; group < groups; group++) {
            FloatVector sum0 = FloatVector.zero(FLOATS);
            FloatVector sum1 = FloatVector.zero(FLOATS);
            FloatVector sum2 = FloatVector.zero(FLOATS);
            FloatVector sum3 = FloatVector.zero(FLOATS);
            for (int k = 0; k < wordsPerGroup; k++) {
                IntVector w0 = fromMemorySegment(INTS, ALL, at(p0 + word), ORDER);
                IntVector w1 = fromMemorySegment(INTS, ALL, at(p1 + word), ORDER);
                IntVector w2 = fromMemorySegment(INTS, ALL, at(p2 + word), ORDER);
                IntVector w3 = fromMemorySegment(INTS, ALL, at(p3 + word), ORDER);
                for (int field = 0; field < 8; field++) {
                    FloatVector xs = broadcast(FLOATS, getFloat(at));
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
            FloatVector total = broadcast(FLOATS, getFloat(sums + (long) group * Float.BYTES));
            y0 = fromMemorySegment(FLOATS, ALL, at(factors0 + cell), ORDER)
                    .fma(
                            sum0.sub(fromMemorySegment(FLOATS, ALL, at(centres0 + centre), ORDER)
                                    .mul(total)),
                            y0);
            y1 = fromMemorySegment(FLOATS, ALL, at(factors1 + cell), ORDER)
                    .fma(
                            sum1.sub(fromMemorySegment(FLOATS, ALL, at(centres1 + centre), ORDER)
                                    .mul(total)),
                            y1);
            y2 = fromMemorySegment(FLOATS, ALL, at(factors2 + cell), ORDER)
                    .fma(
                            sum2.sub(fromMemorySegment(FLOATS, ALL, at(centres2 + centre), ORDER)
                                    .mul(total)),
                            y2);
            y3 = fromMemorySegment(FLOATS, ALL, at(factors3 + cell), ORDER)
                    .fma(
                            sum3.sub(fromMemorySegment(FLOATS, ALL, at(centres3 + centre), ORDER)
                                    .mul(total)),
                            y3);
        }
        y0.intoMemorySegment(ALL, at(y + (long) strip0 * BYTES), ORDER);
        y1.intoMemorySegment(ALL, at(y + (long) strip1 * BYTES), ORDER);
        y2.intoMemorySegment(ALL, at(y + (long) strip2 * BYTES), ORDER);
        y3.intoMemorySegment(ALL, at(y + (long) strip3 * BYTES), ORDER);
    }

    /// Two strips of [Kernels#multiplyFourRows].
    static void multiplyFourRows(PackedWeight weight, long x, long xRow, int strip0, int strip1, long y, long yRow) {
        int groups = weight.groups;
        int wordsPerGroup = weight.wordsPerGroup();
        int centreStep = weight.centreStep();
        long p0 = weight.words(strip0);
        long p1 = weight.words(strip1);
        long factors0 = weight.factors(strip0);
        long factors1 = weight.factors(strip1);
        long centres0 = weight.centres(strip0);
        long centres1 = weight.centres(strip1);
        FloatVector y00 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip0)), ORDER);
        FloatVector y10 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip0)), ORDER);
        FloatVector y20 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip0)), ORDER);
        FloatVector y30 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip0)), ORDER);
        FloatVector y01 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip1)), ORDER);
        FloatVector y11 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip1)), ORDER);
        FloatVector y21 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip1)), ORDER);
        FloatVector y31 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip1)), ORDER);
        long at = x;
        long word = 0;
        for (int group = 0; group < groups; group++) {
            FloatVector factor0 = fromMemorySegment(FLOATS, ALL, at(factors0 + (long) group * BYTES), ORDER);
            FloatVector centre0 = fromMemorySegment(FLOATS, ALL, at(centres0 + (long) group * centreStep), ORDER);
            FloatVector factor1 = fromMemorySegment(FLOATS, ALL, at(factors1 + (long) group * BYTES), ORDER);
            FloatVector centre1 = fromMemorySegment(FLOATS, ALL, at(centres1 + (long) group * centreStep), ORDER);
            for (int k = 0; k < wordsPerGroup; k++) {
                IntVector w0 = fromMemorySegment(INTS, ALL, at(p0 + word), ORDER);
                IntVector w1 = fromMemorySegment(INTS, ALL, at(p1 + word), ORDER);
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
                    FloatVector x0 = broadcast(FLOATS, getFloat(at));
                    y00 = f0.fma(x0, y00);
                    y01 = f1.fma(x0, y01);
                    FloatVector x1 = broadcast(FLOATS, getFloat(at + xRow));
                    y10 = f0.fma(x1, y10);
                    y11 = f1.fma(x1, y11);
                    FloatVector x2 = broadcast(FLOATS, getFloat(at + 2 * xRow));
                    y20 = f0.fma(x2, y20);
                    y21 = f1.fma(x2, y21);
                    FloatVector x3 = broadcast(FLOATS, getFloat(at + 3 * xRow));
                    y30 = f0.fma(x3, y30);
                    y31 = f1.fma(x3, y31);
                    at += Float.BYTES;
                }
                word += BYTES;
            }
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
        int wordsPerGroup = weight.wordsPerGroup();
        long words = weight.words(strip);
        long factors = weight.factors(strip);
        long centres = weight.centres(strip);
        long to = destination;
        for (int k = first; k < first + count; k++) {
            int group = k / wordsPerGroup;
            FloatVector factor = fromMemorySegment(FLOATS, ALL, at(factors + (long) group * BYTES), ORDER);
            FloatVector centre =
                    fromMemorySegment(FLOATS, ALL, at(centres + (long) group * weight.centreStep()), ORDER);
            IntVector w = fromMemorySegment(INTS, ALL, at(words + (long) k * BYTES), ORDER);
            for (int field = 0; field < 8; field++) {
                w.and(MASK)
                        .or(ONE)
                        .reinterpretAsFloats()
                        .sub(centre)
                        .mul(factor)
                        .intoMemorySegment(ALL, at(to), ORDER);
                w = w.lanewise(VectorOperators.ROR, 4);
                to += BYTES;
            }
        }
    }
}

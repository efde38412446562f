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

/// Products with 8-bit codes; see [WeightForm] for the trick and [PackedWeight] for the algebra. The loop over the
/// 4 codes of a word must stay a loop: unrolled by hand, the body outgrows what the compiler inlines.
final class Codes8Kernel {
    /// The topmost 8 bits of a float's fraction.
    private static final int MASK = 0x007F8000;

    /// Bits of 1f.
    private static final int ONE = 0x3F800000;

    private Codes8Kernel() {}

    /// Four strips of [Kernels#multiplyRow].
    static void multiplyRow(
            PackedWeight weight, float[] x, float[] sums, int strip0, int strip1, int strip2, int strip3, long y) {
        int groups = weight.groups;
        int wordsPerGroup = weight.wordsPerGroup();
        int centreStep = weight.centreStep();
        IntVector mask = IntVector.broadcast(INTS, MASK);
        IntVector one = IntVector.broadcast(INTS, ONE);
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
        int column = 0;
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
                for (int field = 0; field < 4; field++) {
                    FloatVector xs = broadcast(FLOATS, x[column + field]);
                    sum0 = w0.and(mask).or(one).reinterpretAsFloats().fma(xs, sum0);
                    w0 = w0.lanewise(VectorOperators.ROR, 8);
                    sum1 = w1.and(mask).or(one).reinterpretAsFloats().fma(xs, sum1);
                    w1 = w1.lanewise(VectorOperators.ROR, 8);
                    sum2 = w2.and(mask).or(one).reinterpretAsFloats().fma(xs, sum2);
                    w2 = w2.lanewise(VectorOperators.ROR, 8);
                    sum3 = w3.and(mask).or(one).reinterpretAsFloats().fma(xs, sum3);
                    w3 = w3.lanewise(VectorOperators.ROR, 8);
                }
                column += 4;
                word += BYTES;
            }
            FloatVector total = broadcast(FLOATS, sums[group]);
            long cell = (long) group * BYTES;
            long centre = (long) group * centreStep;
            FloatVector zero0 = fromMemorySegment(FLOATS, ALL, at(centres0 + centre), ORDER);
            y0 = fromMemorySegment(FLOATS, ALL, at(factors0 + cell), ORDER).fma(sum0.sub(zero0.mul(total)), y0);
            FloatVector zero1 = fromMemorySegment(FLOATS, ALL, at(centres1 + centre), ORDER);
            y1 = fromMemorySegment(FLOATS, ALL, at(factors1 + cell), ORDER).fma(sum1.sub(zero1.mul(total)), y1);
            FloatVector zero2 = fromMemorySegment(FLOATS, ALL, at(centres2 + centre), ORDER);
            y2 = fromMemorySegment(FLOATS, ALL, at(factors2 + cell), ORDER).fma(sum2.sub(zero2.mul(total)), y2);
            FloatVector zero3 = fromMemorySegment(FLOATS, ALL, at(centres3 + centre), ORDER);
            y3 = fromMemorySegment(FLOATS, ALL, at(factors3 + cell), ORDER).fma(sum3.sub(zero3.mul(total)), y3);
        }
        y0.intoMemorySegment(ALL, at(y + (long) strip0 * BYTES), ORDER);
        y1.intoMemorySegment(ALL, at(y + (long) strip1 * BYTES), ORDER);
        y2.intoMemorySegment(ALL, at(y + (long) strip2 * BYTES), ORDER);
        y3.intoMemorySegment(ALL, at(y + (long) strip3 * BYTES), ORDER);
    }

    /// Two strips of one block of [Kernels#multiplyRows].
    static void multiplyFourRows(
            PackedWeight weight, float[] x, float[] sums, int block, int strip0, int strip1, long y, long yRow) {
        int groups = weight.groups;
        int wordsPerGroup = weight.wordsPerGroup();
        int centreStep = weight.centreStep();
        IntVector mask = IntVector.broadcast(INTS, MASK);
        IntVector one = IntVector.broadcast(INTS, ONE);
        long p0 = weight.words(strip0);
        long p1 = weight.words(strip1);
        long factors0 = weight.factors(strip0);
        long factors1 = weight.factors(strip1);
        long centres0 = weight.centres(strip0);
        long centres1 = weight.centres(strip1);
        FloatVector bias0 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip0)), ORDER);
        FloatVector bias1 = fromMemorySegment(FLOATS, ALL, at(weight.bias(strip1)), ORDER);
        long y0 = y + (long) strip0 * BYTES;
        long y1 = y + (long) strip1 * BYTES;
        for (int row = 0; row < 4; row++) {
            bias0.intoMemorySegment(ALL, at(y0 + row * yRow), ORDER);
            bias1.intoMemorySegment(ALL, at(y1 + row * yRow), ORDER);
        }
        int column = 4 * block * weight.paddedInputs();
        int total = 4 * block * groups;
        long word = 0;
        for (int group = 0; group < groups; group++) {
            FloatVector sum00 = FloatVector.zero(FLOATS);
            FloatVector sum01 = FloatVector.zero(FLOATS);
            FloatVector sum10 = FloatVector.zero(FLOATS);
            FloatVector sum11 = FloatVector.zero(FLOATS);
            FloatVector sum20 = FloatVector.zero(FLOATS);
            FloatVector sum21 = FloatVector.zero(FLOATS);
            FloatVector sum30 = FloatVector.zero(FLOATS);
            FloatVector sum31 = FloatVector.zero(FLOATS);
            for (int k = 0; k < wordsPerGroup; k++) {
                IntVector w0 = fromMemorySegment(INTS, ALL, at(p0 + word), ORDER);
                IntVector w1 = fromMemorySegment(INTS, ALL, at(p1 + word), ORDER);
                for (int field = 0; field < 4; field++) {
                    FloatVector f0 = w0.and(mask).or(one).reinterpretAsFloats();
                    w0 = w0.lanewise(VectorOperators.ROR, 8);
                    FloatVector f1 = w1.and(mask).or(one).reinterpretAsFloats();
                    w1 = w1.lanewise(VectorOperators.ROR, 8);
                    FloatVector x0 = broadcast(FLOATS, x[column]);
                    sum00 = f0.fma(x0, sum00);
                    sum01 = f1.fma(x0, sum01);
                    FloatVector x1 = broadcast(FLOATS, x[column + 1]);
                    sum10 = f0.fma(x1, sum10);
                    sum11 = f1.fma(x1, sum11);
                    FloatVector x2 = broadcast(FLOATS, x[column + 2]);
                    sum20 = f0.fma(x2, sum20);
                    sum21 = f1.fma(x2, sum21);
                    FloatVector x3 = broadcast(FLOATS, x[column + 3]);
                    sum30 = f0.fma(x3, sum30);
                    sum31 = f1.fma(x3, sum31);
                    column += 4;
                }
                word += BYTES;
            }
            long cell = (long) group * BYTES;
            long centre = (long) group * centreStep;
            FloatVector factor0 = fromMemorySegment(FLOATS, ALL, at(factors0 + cell), ORDER);
            FloatVector zero0 = fromMemorySegment(FLOATS, ALL, at(centres0 + centre), ORDER);
            FloatVector factor1 = fromMemorySegment(FLOATS, ALL, at(factors1 + cell), ORDER);
            FloatVector zero1 = fromMemorySegment(FLOATS, ALL, at(centres1 + centre), ORDER);
            // Both results are read before either is written: the two strips may be one.
            FloatVector total0 = broadcast(FLOATS, sums[total]);
            FloatVector y00 = fromMemorySegment(FLOATS, ALL, at(y0), ORDER);
            FloatVector y01 = fromMemorySegment(FLOATS, ALL, at(y1), ORDER);
            factor0.fma(sum00.sub(zero0.mul(total0)), y00).intoMemorySegment(ALL, at(y0), ORDER);
            factor1.fma(sum01.sub(zero1.mul(total0)), y01).intoMemorySegment(ALL, at(y1), ORDER);
            FloatVector total1 = broadcast(FLOATS, sums[total + 1]);
            FloatVector y10 = fromMemorySegment(FLOATS, ALL, at(y0 + yRow), ORDER);
            FloatVector y11 = fromMemorySegment(FLOATS, ALL, at(y1 + yRow), ORDER);
            factor0.fma(sum10.sub(zero0.mul(total1)), y10).intoMemorySegment(ALL, at(y0 + yRow), ORDER);
            factor1.fma(sum11.sub(zero1.mul(total1)), y11).intoMemorySegment(ALL, at(y1 + yRow), ORDER);
            FloatVector total2 = broadcast(FLOATS, sums[total + 2]);
            FloatVector y20 = fromMemorySegment(FLOATS, ALL, at(y0 + 2 * yRow), ORDER);
            FloatVector y21 = fromMemorySegment(FLOATS, ALL, at(y1 + 2 * yRow), ORDER);
            factor0.fma(sum20.sub(zero0.mul(total2)), y20).intoMemorySegment(ALL, at(y0 + 2 * yRow), ORDER);
            factor1.fma(sum21.sub(zero1.mul(total2)), y21).intoMemorySegment(ALL, at(y1 + 2 * yRow), ORDER);
            FloatVector total3 = broadcast(FLOATS, sums[total + 3]);
            FloatVector y30 = fromMemorySegment(FLOATS, ALL, at(y0 + 3 * yRow), ORDER);
            FloatVector y31 = fromMemorySegment(FLOATS, ALL, at(y1 + 3 * yRow), ORDER);
            factor0.fma(sum30.sub(zero0.mul(total3)), y30).intoMemorySegment(ALL, at(y0 + 3 * yRow), ORDER);
            factor1.fma(sum31.sub(zero1.mul(total3)), y31).intoMemorySegment(ALL, at(y1 + 3 * yRow), ORDER);
            total += 4;
        }
    }

    /// See [Kernels#restore].
    static void restore(PackedWeight weight, int strip, int first, int count, long destination) {
        int wordsPerGroup = weight.wordsPerGroup();
        int centreStep = weight.centreStep();
        IntVector mask = IntVector.broadcast(INTS, MASK);
        IntVector one = IntVector.broadcast(INTS, ONE);
        long words = weight.words(strip);
        long factors = weight.factors(strip);
        long centres = weight.centres(strip);
        long to = destination;
        for (int k = first; k < first + count; k++) {
            long group = k / wordsPerGroup;
            FloatVector factor = fromMemorySegment(FLOATS, ALL, at(factors + group * BYTES), ORDER);
            FloatVector centre = fromMemorySegment(FLOATS, ALL, at(centres + group * centreStep), ORDER);
            IntVector w = fromMemorySegment(INTS, ALL, at(words + (long) k * BYTES), ORDER);
            for (int field = 0; field < 4; field++) {
                FloatVector f =
                        w.and(mask).or(one).reinterpretAsFloats().sub(centre).mul(factor);
                f.intoMemorySegment(ALL, at(to), ORDER);
                w = w.lanewise(VectorOperators.ROR, 8);
                to += BYTES;
            }
        }
    }
}

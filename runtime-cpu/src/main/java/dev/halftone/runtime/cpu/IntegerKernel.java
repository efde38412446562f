package dev.halftone.runtime.cpu;

import static dev.halftone.core.tensor.AllMemory.ALL;
import static dev.halftone.runtime.cpu.Lanes.BYTES;
import static dev.halftone.runtime.cpu.Lanes.COUNT;
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

/// Products of 8-bit codes with 8-bit inputs, as integers.
///
/// The Vector API has no dot product of bytes, and widening them costs more than it saves. But a float's fraction *is*
/// an integer: a sum that starts at [#START] and stays between `2^15` and `2^16` is a multiple of `2^-8` at every step,
/// so that the multiply-add of codes as fractions, `code / 256`, and inputs as whole floats never rounds, and the bits
/// of the sum, read as an integer, are those of START plus the sum of products. That holds for a sum within `±2^14`;
/// longer ones are continued in integers, which wrap without harm as long as the end fits.
final class IntegerKernel {
    /// Products of centred codes, `(code - zero) / 256`, of which [#START] has room: each is at most `128 / 256 * 128`.
    static final int CENTRED_TERMS = 256;

    /// The middle of the range.
    static final float START = 0x1.8p15f;

    /// Bits of START.
    static final int START_BITS = 0x47400000;

    private static final int CENTRED_WORDS = CENTRED_TERMS / 4;

    /// Words of codes as they are stored, `1 + code / 256`, of which START has room: `4 * 16 * 511 / 256 * 128` is
    /// below `2^14`.
    private static final int STORED_WORDS = 16;

    /// The topmost 8 bits of a float's fraction.
    private static final int MASK = 0x007F8000;

    /// A power of two: what a weight's factors are too large by.
    static final float STEP = 1 / 256f;

    /// Bits of 1f.
    private static final int ONE = 0x3F800000;

    private IntegerKernel() {}

    /// Four strips of [Kernels#sumRow].
    ///
    /// @param excess what the sum of the stored codes is larger by
    static void sumRow(
            PackedWeight weight, float[] x, int excess, int strip0, int strip1, int strip2, int strip3, long sums) {
        int words = weight.wordsPerStrip();
        IntVector mask = IntVector.broadcast(INTS, MASK);
        IntVector one = IntVector.broadcast(INTS, ONE);
        FloatVector start = broadcast(FLOATS, START);
        long p0 = weight.words(strip0);
        long p1 = weight.words(strip1);
        long p2 = weight.words(strip2);
        long p3 = weight.words(strip3);
        // Every chunk begins with the bits of START.
        int chunks = (words + STORED_WORDS - 1) / STORED_WORDS;
        IntVector total0 = IntVector.broadcast(INTS, -excess - chunks * START_BITS);
        IntVector total1 = total0;
        IntVector total2 = total0;
        IntVector total3 = total0;
        int column = 0;
        long word = 0;
        for (int first = 0; first < words; first += STORED_WORDS) {
            int end = Math.min(first + STORED_WORDS, words);
            FloatVector sum0 = start;
            FloatVector sum1 = start;
            FloatVector sum2 = start;
            FloatVector sum3 = start;
            for (int k = first; k < end; k++) {
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
            total0 = total0.add(sum0.reinterpretAsInts());
            total1 = total1.add(sum1.reinterpretAsInts());
            total2 = total2.add(sum2.reinterpretAsInts());
            total3 = total3.add(sum3.reinterpretAsInts());
        }
        total0.intoMemorySegment(ALL, at(sums + (long) strip0 * BYTES), ORDER);
        total1.intoMemorySegment(ALL, at(sums + (long) strip1 * BYTES), ORDER);
        total2.intoMemorySegment(ALL, at(sums + (long) strip2 * BYTES), ORDER);
        total3.intoMemorySegment(ALL, at(sums + (long) strip3 * BYTES), ORDER);
    }

    /// Two strips of [Kernels#sumFourRows].
    static void sumFourRows(
            PackedWeight weight, float[] x, int first, int strip0, int strip1, long sums, long sumsRow) {
        int words = weight.wordsPerStrip();
        IntVector mask = IntVector.broadcast(INTS, MASK);
        IntVector one = IntVector.broadcast(INTS, ONE);
        FloatVector start = broadcast(FLOATS, START);
        FloatVector centre = fromMemorySegment(FLOATS, ALL, at(weight.centres(0)), ORDER);
        long p0 = weight.words(strip0);
        long p1 = weight.words(strip1);
        int chunks = (words + CENTRED_WORDS - 1) / CENTRED_WORDS;
        IntVector total00 = IntVector.broadcast(INTS, -chunks * START_BITS);
        IntVector total10 = total00;
        IntVector total20 = total00;
        IntVector total30 = total00;
        IntVector total01 = total00;
        IntVector total11 = total00;
        IntVector total21 = total00;
        IntVector total31 = total00;
        int column = first;
        long word = 0;
        for (int from = 0; from < words; from += CENTRED_WORDS) {
            int end = Math.min(from + CENTRED_WORDS, words);
            FloatVector sum00 = start;
            FloatVector sum10 = start;
            FloatVector sum20 = start;
            FloatVector sum30 = start;
            FloatVector sum01 = start;
            FloatVector sum11 = start;
            FloatVector sum21 = start;
            FloatVector sum31 = start;
            for (int k = from; k < end; k++) {
                IntVector w0 = fromMemorySegment(INTS, ALL, at(p0 + word), ORDER);
                IntVector w1 = fromMemorySegment(INTS, ALL, at(p1 + word), ORDER);
                for (int field = 0; field < 4; field++) {
                    FloatVector f0 = w0.and(mask).or(one).reinterpretAsFloats().sub(centre);
                    w0 = w0.lanewise(VectorOperators.ROR, 8);
                    FloatVector f1 = w1.and(mask).or(one).reinterpretAsFloats().sub(centre);
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
            total00 = total00.add(sum00.reinterpretAsInts());
            total10 = total10.add(sum10.reinterpretAsInts());
            total20 = total20.add(sum20.reinterpretAsInts());
            total30 = total30.add(sum30.reinterpretAsInts());
            total01 = total01.add(sum01.reinterpretAsInts());
            total11 = total11.add(sum11.reinterpretAsInts());
            total21 = total21.add(sum21.reinterpretAsInts());
            total31 = total31.add(sum31.reinterpretAsInts());
        }
        long to0 = sums + (long) strip0 * BYTES;
        long to1 = sums + (long) strip1 * BYTES;
        total00.intoMemorySegment(ALL, at(to0), ORDER);
        total10.intoMemorySegment(ALL, at(to0 + sumsRow), ORDER);
        total20.intoMemorySegment(ALL, at(to0 + 2 * sumsRow), ORDER);
        total30.intoMemorySegment(ALL, at(to0 + 3 * sumsRow), ORDER);
        total01.intoMemorySegment(ALL, at(to1), ORDER);
        total11.intoMemorySegment(ALL, at(to1 + sumsRow), ORDER);
        total21.intoMemorySegment(ALL, at(to1 + 2 * sumsRow), ORDER);
        total31.intoMemorySegment(ALL, at(to1 + 3 * sumsRow), ORDER);
    }

    /// See [Kernels#centre].
    static void centre(PackedWeight weight, int strip, int first, int count, long destination) {
        IntVector mask = IntVector.broadcast(INTS, MASK);
        IntVector one = IntVector.broadcast(INTS, ONE);
        FloatVector centre = fromMemorySegment(FLOATS, ALL, at(weight.centres(0)), ORDER);
        long words = weight.words(strip);
        long to = destination;
        for (int k = first; k < first + count; k++) {
            IntVector w = fromMemorySegment(INTS, ALL, at(words + (long) k * BYTES), ORDER);
            for (int field = 0; field < 4; field++) {
                w.and(mask).or(one).reinterpretAsFloats().sub(centre).intoMemorySegment(ALL, at(to), ORDER);
                w = w.lanewise(VectorOperators.ROR, 8);
                to += BYTES;
            }
        }
    }

    /// See [Kernels#scaleSums].
    static void scaleSums(long sums, float scale, long factors, long bias, int count, long destination) {
        int whole = count - count % COUNT;
        FloatVector unit = broadcast(FLOATS, scale);
        for (int i = 0; i < whole; i += COUNT) {
            long offset = (long) i * Float.BYTES;
            FloatVector sum = (FloatVector)
                    fromMemorySegment(INTS, ALL, at(sums + offset), ORDER).convertShape(VectorOperators.I2F, FLOATS, 0);
            sum.mul(fromMemorySegment(FLOATS, ALL, at(factors + offset), ORDER).mul(STEP))
                    .fma(unit, fromMemorySegment(FLOATS, ALL, at(bias + offset), ORDER))
                    .intoMemorySegment(ALL, at(destination + offset), ORDER);
        }
        for (int i = whole; i < count; i++) {
            long offset = (long) i * Float.BYTES;
            float product = Memory.getInt(sums + offset) * (Memory.getFloat(factors + offset) * STEP);
            Memory.putFloat(destination + offset, Math.fma(product, scale, Memory.getFloat(bias + offset)));
        }
    }
}

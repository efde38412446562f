package dev.halftone.runtime.cpu;

import static dev.halftone.runtime.cpu.Lanes.COUNT;
import static dev.halftone.runtime.cpu.Lanes.FLOATS;
import static dev.halftone.runtime.cpu.Lanes.load;
import static dev.halftone.runtime.cpu.Lanes.store;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;

/// Verbs over one row: vectors first, then the tail one by one.
final class RowKernel {
    private RowKernel() {}

    private static long at(long address, int index) {
        return address + (long) index * Float.BYTES;
    }

    static void normalize(long x, long weight, float epsilon, int count, long destination, long scratch) {
        int whole = count - count % COUNT;
        FloatVector squares = FloatVector.zero(FLOATS);
        for (int i = 0; i < whole; i += COUNT) {
            FloatVector v = load(at(x, i));
            squares = v.fma(v, squares);
        }
        double sum = Lanes.sum(squares, scratch);
        for (int i = whole; i < count; i++) {
            double v = Memory.getFloat(at(x, i));
            sum += v * v;
        }
        float inverse = (float) (1 / Math.sqrt(sum / count + epsilon));
        FloatVector factor = FloatVector.broadcast(FLOATS, inverse);
        for (int i = 0; i < whole; i += COUNT) {
            store(load(at(x, i)).mul(factor).mul(load(at(weight, i))), at(destination, i));
        }
        for (int i = whole; i < count; i++) {
            Memory.putFloat(at(destination, i), Memory.getFloat(at(x, i)) * inverse * Memory.getFloat(at(weight, i)));
        }
    }

    static void rotate(long x, int half, long cosines, long sines) {
        int whole = half - half % COUNT;
        for (int i = 0; i < whole; i += COUNT) {
            FloatVector a = load(at(x, i));
            FloatVector b = load(at(x, i + half));
            FloatVector cosine = load(at(cosines, i));
            FloatVector sine = load(at(sines, i));
            store(a.mul(cosine).sub(b.mul(sine)), at(x, i));
            store(b.mul(cosine).add(a.mul(sine)), at(x, i + half));
        }
        for (int i = whole; i < half; i++) {
            float a = Memory.getFloat(at(x, i));
            float b = Memory.getFloat(at(x, i + half));
            float cosine = Memory.getFloat(at(cosines, i));
            float sine = Memory.getFloat(at(sines, i));
            Memory.putFloat(at(x, i), a * cosine - b * sine);
            Memory.putFloat(at(x, i + half), b * cosine + a * sine);
        }
    }

    static void gate(long gate, long up, long destination, int count) {
        int whole = count - count % COUNT;
        for (int i = 0; i < whole; i += COUNT) {
            FloatVector g = load(at(gate, i));
            FloatVector e = Exponential.of(g.neg());
            store(g.div(e.add(1f)).mul(load(at(up, i))), at(destination, i));
        }
        for (int i = whole; i < count; i++) {
            float g = Memory.getFloat(at(gate, i));
            Memory.putFloat(at(destination, i), (float) (g / (1 + Math.exp(-g))) * Memory.getFloat(at(up, i)));
        }
    }

    static void add(long x, long sum, int count) {
        int whole = count - count % COUNT;
        for (int i = 0; i < whole; i += COUNT) {
            store(load(at(sum, i)).add(load(at(x, i))), at(sum, i));
        }
        for (int i = whole; i < count; i++) {
            Memory.putFloat(at(sum, i), Memory.getFloat(at(sum, i)) + Memory.getFloat(at(x, i)));
        }
    }

    static void scale(long x, float factor, long destination, int count) {
        int whole = count - count % COUNT;
        for (int i = 0; i < whole; i += COUNT) {
            store(load(at(x, i)).mul(factor), at(destination, i));
        }
        for (int i = whole; i < count; i++) {
            Memory.putFloat(at(destination, i), Memory.getFloat(at(x, i)) * factor);
        }
    }

    static float exponentials(long x, int count, long scratch) {
        int whole = count - count % COUNT;
        FloatVector maxima = FloatVector.broadcast(FLOATS, Float.NEGATIVE_INFINITY);
        for (int i = 0; i < whole; i += COUNT) {
            maxima = maxima.max(load(at(x, i)));
        }
        float maximum = maxima.reduceLanes(VectorOperators.MAX);
        for (int i = whole; i < count; i++) {
            maximum = Math.max(maximum, Memory.getFloat(at(x, i)));
        }
        FloatVector sums = FloatVector.zero(FLOATS);
        for (int i = 0; i < whole; i += COUNT) {
            FloatVector e = Exponential.of(load(at(x, i)).sub(maximum));
            store(e, at(x, i));
            sums = sums.add(e);
        }
        float sum = Lanes.sum(sums, scratch);
        for (int i = whole; i < count; i++) {
            float e = (float) Math.exp(Memory.getFloat(at(x, i)) - maximum);
            Memory.putFloat(at(x, i), e);
            sum += e;
        }
        return sum;
    }
}

package dev.halftone.runtime.cpu;

import static dev.halftone.core.tensor.AllMemory.ALL;
import static dev.halftone.runtime.cpu.Lanes.BYTES;
import static dev.halftone.runtime.cpu.Lanes.FLOATS;
import static dev.halftone.runtime.cpu.Lanes.ORDER;
import static dev.halftone.runtime.cpu.Lanes.at;
import static jdk.incubator.vector.FloatVector.broadcast;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;

import jdk.incubator.vector.FloatVector;

/// Loops that only read, or only multiply and add: the limits of all other kernels.
final class MachineKernel {
    private MachineKernel() {}

    /// See [Kernels#read]. Four streams far apart, as the kernels of a product have them.
    static float read(long from, int vectors, long scratch) {
        int quarter = vectors / 4;
        long step = (long) quarter * BYTES;
        FloatVector sum0 = FloatVector.zero(FLOATS);
        FloatVector sum1 = FloatVector.zero(FLOATS);
        FloatVector sum2 = FloatVector.zero(FLOATS);
        FloatVector sum3 = FloatVector.zero(FLOATS);
        long place = from;
        for (int i = 0; i < quarter; i++) {
            sum0 = fromMemorySegment(FLOATS, ALL, at(place), ORDER).add(sum0);
            sum1 = fromMemorySegment(FLOATS, ALL, at(place + step), ORDER).add(sum1);
            sum2 = fromMemorySegment(FLOATS, ALL, at(place + 2 * step), ORDER).add(sum2);
            sum3 = fromMemorySegment(FLOATS, ALL, at(place + 3 * step), ORDER).add(sum3);
            place += BYTES;
        }
        for (long rest = place + 3 * step; rest < from + (long) vectors * BYTES; rest += BYTES) {
            sum0 = fromMemorySegment(FLOATS, ALL, at(rest), ORDER).add(sum0);
        }
        sum0.add(sum1).add(sum2.add(sum3)).intoMemorySegment(ALL, at(scratch), ORDER);
        return Lanes.sum(scratch);
    }

    /// See [Kernels#multiplyAdd].
    static float multiplyAdd(int steps, long scratch) {
        FloatVector one = broadcast(FLOATS, 1f);
        FloatVector sum0 = FloatVector.zero(FLOATS);
        FloatVector sum1 = sum0;
        FloatVector sum2 = sum0;
        FloatVector sum3 = sum0;
        FloatVector sum4 = sum0;
        FloatVector sum5 = sum0;
        FloatVector sum6 = sum0;
        FloatVector sum7 = sum0;
        for (int i = 0; i < steps; i++) {
            sum0 = one.fma(one, sum0);
            sum1 = one.fma(one, sum1);
            sum2 = one.fma(one, sum2);
            sum3 = one.fma(one, sum3);
            sum4 = one.fma(one, sum4);
            sum5 = one.fma(one, sum5);
            sum6 = one.fma(one, sum6);
            sum7 = one.fma(one, sum7);
        }
        FloatVector first = sum0.add(sum1).add(sum2.add(sum3));
        first.add(sum4.add(sum5).add(sum6.add(sum7))).intoMemorySegment(ALL, at(scratch), ORDER);
        return Lanes.sum(scratch);
    }
}

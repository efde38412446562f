package dev.halftone.runtime.cpu;

import dev.halftone.runtime.cpu.VerbCode.Argument;
import dev.halftone.runtime.cpu.assembly.MachineCode;
import java.lang.foreign.MemorySegment;
import java.util.List;

/// Verbs over one row in machine code, with the results of [RowKernel] to the bit. Once compiled, that is as quick; but
/// the first prompt of a process comes before the compiler, and vector code that is not compiled takes a thousand times
/// as long.
final class MachineVerbs {
    private static final int LANES = 16;

    /// Floats that hold what a function is told.
    static final int ARGUMENTS = Argument.COUNT.ordinal() * Long.BYTES / Float.BYTES;

    private final MemorySegment gate;
    private final MemorySegment squares;
    private final MemorySegment scale;

    MachineVerbs() {
        MemorySegment[] places = MachineCode.place(List.of(VerbCode.gate(), VerbCode.squares(), VerbCode.scale()));
        gate = places[0];
        squares = places[1];
        scale = places[2];
    }

    /// See [Kernels#gate].
    ///
    /// @param scratch room for [#ARGUMENTS] floats and whatever [RowKernel#gate] needs
    void gate(long x, long up, long destination, int count, long scratch) {
        int whole = count - count % LANES;
        if (whole > 0) {
            call(gate, x, up, destination, whole, whole, 0, scratch);
        }
        if (whole < count) {
            long offset = (long) whole * Float.BYTES;
            RowKernel.gate(x + offset, up + offset, destination + offset, count - whole, scratch);
        }
    }

    /// See [Kernels#normalize].
    ///
    /// @param scratch room for a vector and [#ARGUMENTS] floats
    void normalize(long x, long weight, float epsilon, int count, long destination, long scratch) {
        int whole = count - count % LANES;
        long arguments = scratch + (long) LANES * Float.BYTES;
        double sum = 0;
        if (whole > 0) {
            call(squares, x, x, scratch, LANES, whole, 0, arguments);
            sum = Lanes.sum(scratch);
        }
        float inverse = RowKernel.inverse(x, whole, count, sum, epsilon);
        if (whole > 0) {
            call(scale, x, weight, destination, whole, whole, inverse, arguments);
        }
        RowKernel.scaleTail(x, weight, inverse, whole, count, destination);
    }

    /// @param written numbers at the destination
    private static void call(
            MemorySegment function,
            long x,
            long y,
            long destination,
            int written,
            int count,
            float factor,
            long arguments) {
        if (Memory.CHECKED) {
            long bytes = (long) count * Float.BYTES;
            Memory.check(x, bytes);
            Memory.check(y, bytes);
            Memory.check(destination, (long) written * Float.BYTES);
            Memory.check(arguments, (long) ARGUMENTS * Float.BYTES);
        }
        put(arguments, Argument.X, x);
        put(arguments, Argument.Y, y);
        put(arguments, Argument.DESTINATION, destination);
        put(arguments, Argument.VECTORS, count / LANES);
        put(arguments, Argument.FACTOR, Float.floatToRawIntBits(factor));
        MachineCode.call(function, arguments);
    }

    private static void put(long arguments, Argument argument, long value) {
        Memory.putLong(arguments + (long) argument.ordinal() * Long.BYTES, value);
    }
}

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
    private final MemorySegment maximum;
    private final MemorySegment exponentials;
    private final MemorySegment rotate;
    private final MemorySegment add;
    private final MemorySegment multiply;

    MachineVerbs() {
        MemorySegment[] places = MachineCode.place(List.of(
                VerbCode.gate(),
                VerbCode.squares(),
                VerbCode.scale(),
                VerbCode.maximum(),
                VerbCode.exponentials(),
                VerbCode.rotate(),
                VerbCode.add(),
                VerbCode.multiply()));
        gate = places[0];
        squares = places[1];
        scale = places[2];
        maximum = places[3];
        exponentials = places[4];
        rotate = places[5];
        add = places[6];
        multiply = places[7];
    }

    /// See [Kernels#maximum]; what is no number may be passed over.
    ///
    /// @param vectors of sixteen floats, at least one
    /// @param scratch room for a vector and [#ARGUMENTS] floats
    float maximum(long x, int vectors, long scratch) {
        call(maximum, x, x, scratch, LANES, vectors * LANES, 0, scratch + (long) LANES * Float.BYTES);
        float largest = Float.NEGATIVE_INFINITY;
        for (int lane = 0; lane < LANES; lane++) {
            largest = Math.max(largest, Memory.getFloat(scratch + (long) lane * Float.BYTES));
        }
        return largest;
    }

    /// See [Kernels#exponentials].
    ///
    /// @param vectors see [#maximum]
    /// @param scratch see [#maximum]
    float exponentials(long x, int vectors, float largest, long scratch) {
        call(exponentials, x, x, scratch, LANES, vectors * LANES, largest, scratch + (long) LANES * Float.BYTES);
        return Lanes.sum(scratch);
    }

    /// See [Kernels#rotate].
    ///
    /// @param scratch room for [#ARGUMENTS] floats
    void rotate(long x, int half, long cosines, long sines, long scratch) {
        if (half % LANES != 0) {
            RowKernel.rotate(x, half, cosines, sines);
            return;
        }
        if (Memory.CHECKED) {
            Memory.check(sines, (long) half * Float.BYTES);
        }
        put(scratch, Argument.SINES, sines);
        call(rotate, x, x + (long) half * Float.BYTES, cosines, half, half, 0, scratch);
    }

    /// See [Kernels#add].
    ///
    /// @param scratch room for [#ARGUMENTS] floats
    void add(long x, long sum, int count, long scratch) {
        int whole = count - count % LANES;
        if (whole > 0) {
            call(add, sum, x, sum, whole, whole, 0, scratch);
        }
        long tail = (long) whole * Float.BYTES;
        RowKernel.add(x + tail, sum + tail, count - whole);
    }

    /// See [Kernels#scale].
    ///
    /// @param scratch room for [#ARGUMENTS] floats
    void multiply(long x, float factor, long destination, int count, long scratch) {
        int whole = count - count % LANES;
        if (whole > 0) {
            call(multiply, x, x, destination, whole, whole, factor, scratch);
        }
        long tail = (long) whole * Float.BYTES;
        RowKernel.scale(x + tail, factor, destination + tail, count - whole);
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

package dev.halftone.runtime.cpu;

import dev.halftone.runtime.cpu.FloatTileCode.Argument;
import dev.halftone.runtime.cpu.assembly.MachineCode;
import java.lang.foreign.MemorySegment;
import java.util.List;

/// The register tile of [TileKernel] in machine code, with its results to the bit, for attention of single tokens: it
/// asks for keys and values ahead of their turn, which come from memory, and is as quick before the compiler has been.
final class FloatTile {
    /// Floats that hold what the function is told.
    static final int ARGUMENTS = Argument.COUNT.ordinal() * Long.BYTES / Float.BYTES;

    private final MemorySegment function = MachineCode.place(List.of(FloatTileCode.tile()))[0];

    /// See [Kernels#tile].
    ///
    /// @param ahead     bytes from what is read of `b` to what is to be on its way to the first cache
    /// @param arguments room for [#ARGUMENTS] floats
    void multiply(
            long a,
            long aRow,
            int rows,
            long b,
            long bStrip,
            long ahead,
            int depth,
            long c,
            long cRow,
            float alpha,
            long arguments) {
        if (Memory.CHECKED) {
            for (int row = 0; row < rows; row++) {
                Memory.check(a + row * aRow, (long) depth * Float.BYTES);
            }
            for (int strip = 0; strip < Kernels.TILE_STRIPS; strip++) {
                Memory.check(b + strip * bStrip, depth * Memory.LINE);
            }
            for (int row = 0; row < Kernels.TILE_ROWS; row++) {
                Memory.check(c + row * cRow, Kernels.TILE_STRIPS * Memory.LINE);
            }
            Memory.check(arguments, (long) ARGUMENTS * Float.BYTES);
        }
        for (int row = 0; row < Kernels.TILE_ROWS; row++) {
            put(arguments, row, a + Math.min(row, rows - 1) * aRow);
        }
        put(arguments, Argument.B.ordinal(), b);
        put(arguments, Argument.B_STRIP.ordinal(), bStrip);
        put(arguments, Argument.AHEAD.ordinal(), ahead);
        put(arguments, Argument.DEPTH.ordinal(), depth);
        put(arguments, Argument.C.ordinal(), c);
        put(arguments, Argument.C_ROW.ordinal(), cRow);
        put(arguments, Argument.ALPHA.ordinal(), Float.floatToRawIntBits(alpha));
        MachineCode.call(function, arguments);
    }

    private static void put(long arguments, int argument, long value) {
        Memory.putLong(arguments + (long) argument * Long.BYTES, value);
    }
}

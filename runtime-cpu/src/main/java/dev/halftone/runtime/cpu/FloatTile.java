package dev.halftone.runtime.cpu;

import dev.halftone.runtime.cpu.FloatTileCode.Argument;
import dev.halftone.runtime.cpu.assembly.MachineCode;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/// The register tile of [TileKernel] in machine code, with its results to the bit, for attention of single tokens: it
/// asks for keys and values ahead of their turn, which come from memory, and is as quick before the compiler has been.
final class FloatTile {
    /// Floats that hold what the function is told.
    static final int ARGUMENTS = Argument.COUNT.ordinal() * Long.BYTES / Float.BYTES;

    /// Strips that are asked for ahead, a line of each at every step.
    static final int NEXT_STRIPS = Kernels.TILE_STRIPS;

    private final MemorySegment[] functions; // [strips - 1]

    FloatTile() {
        List<byte[]> codes = new ArrayList<>();
        for (int strips = 1; strips <= Kernels.TILE_STRIPS; strips++) {
            codes.add(FloatTileCode.tile(strips));
        }
        functions = MachineCode.place(codes);
    }

    /// See [Kernels#tile].
    ///
    /// @param strips    columns, in vectors: 1 to [Kernels#TILE_STRIPS]
    /// @param next      what is to be on its way to the first cache, `depth` lines of each of [#NEXT_STRIPS]
    ///                  strips; it may be any address
    /// @param nextStrip bytes from one of these strips to the next
    /// @param arguments room for [#ARGUMENTS] floats
    void multiply(
            long a,
            long aRow,
            int rows,
            long b,
            long bStrip,
            int strips,
            long next,
            long nextStrip,
            int depth,
            long c,
            long cRow,
            float alpha,
            long arguments) {
        if (Memory.CHECKED) {
            for (int row = 0; row < rows; row++) {
                Memory.check(a + row * aRow, (long) depth * Float.BYTES);
            }
            for (int strip = 0; strip < strips; strip++) {
                Memory.check(b + strip * bStrip, depth * Memory.LINE);
            }
            for (int row = 0; row < Kernels.TILE_ROWS; row++) {
                Memory.check(c + row * cRow, strips * Memory.LINE);
            }
            Memory.check(arguments, (long) ARGUMENTS * Float.BYTES);
        }
        for (int row = 0; row < Kernels.TILE_ROWS; row++) {
            put(arguments, row, a + Math.min(row, rows - 1) * aRow);
        }
        put(arguments, Argument.B.ordinal(), b);
        put(arguments, Argument.B_STRIP.ordinal(), bStrip);
        put(arguments, Argument.NEXT.ordinal(), next);
        put(arguments, Argument.NEXT_STRIP.ordinal(), nextStrip);
        put(arguments, Argument.DEPTH.ordinal(), depth);
        put(arguments, Argument.C.ordinal(), c);
        put(arguments, Argument.C_ROW.ordinal(), cRow);
        put(arguments, Argument.ALPHA.ordinal(), Float.floatToRawIntBits(alpha));
        MachineCode.call(functions[strips - 1], arguments);
    }

    private static void put(long arguments, int argument, long value) {
        Memory.putLong(arguments + (long) argument * Long.BYTES, value);
    }
}

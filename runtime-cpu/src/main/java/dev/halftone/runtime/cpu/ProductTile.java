package dev.halftone.runtime.cpu;

import dev.halftone.runtime.cpu.ProductTileCode.Argument;
import dev.halftone.runtime.cpu.assembly.MachineCode;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/// A register tile for [Gemm] in machine code, with the results of [TileKernel] to the bit: twelve rows by two strips,
/// more than the compiler keeps in registers. A step then reads two lines of the panel for 24 multiply-adds, not four
/// for 16, and the second cache, where the panel lies, no longer sets the pace.
final class ProductTile {
    /// Most rows of one call.
    static final int ROWS = ProductTileCode.ROWS;

    static final int STRIPS = ProductTileCode.STRIPS;

    /// Floats that hold what a function is told.
    static final int ARGUMENTS = Argument.COUNT.ordinal() * Long.BYTES / Float.BYTES;

    private final MemorySegment[] functions; // [rows - 1]

    ProductTile() {
        List<byte[]> codes = new ArrayList<>();
        for (int rows = 1; rows <= ROWS; rows++) {
            codes.add(ProductTileCode.tile(rows));
        }
        functions = MachineCode.place(codes);
    }

    /// `c[i][v] += alpha * sum over k of a[i][k] * b[v][k]` for some rows and two strips; see [Kernels#tile].
    ///
    /// @param rows      1 to [#ROWS]
    /// @param arguments room for [#ARGUMENTS] floats
    void multiply(
            long a,
            long aRow,
            int rows,
            long b,
            long bStrip,
            int depth,
            long c,
            long cRow,
            float alpha,
            long arguments) {
        if (Memory.CHECKED) {
            for (int row = 0; row < rows; row++) {
                Memory.check(a + row * aRow, (long) depth * Float.BYTES);
                Memory.check(c + row * cRow, STRIPS * Memory.LINE);
            }
            for (int strip = 0; strip < STRIPS; strip++) {
                Memory.check(b + strip * bStrip, depth * Memory.LINE);
            }
            Memory.check(arguments, (long) ARGUMENTS * Float.BYTES);
        }
        put(arguments, Argument.A, a);
        put(arguments, Argument.A_ROW, aRow);
        put(arguments, Argument.B, b);
        put(arguments, Argument.B_STRIP, bStrip);
        put(arguments, Argument.FOURS, depth / ProductTileCode.UNROLLED);
        put(arguments, Argument.ONES, depth % ProductTileCode.UNROLLED);
        put(arguments, Argument.C, c);
        put(arguments, Argument.C_ROW, cRow);
        put(arguments, Argument.ALPHA, Float.floatToRawIntBits(alpha));
        MachineCode.call(functions[rows - 1], arguments);
    }

    private static void put(long arguments, Argument argument, long value) {
        Memory.putLong(arguments + (long) argument.ordinal() * Long.BYTES, value);
    }
}

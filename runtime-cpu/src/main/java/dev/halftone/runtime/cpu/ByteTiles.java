package dev.halftone.runtime.cpu;

import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.runtime.cpu.ByteTileCode.Rounding;
import dev.halftone.runtime.cpu.ByteTileCode.Scaling;
import dev.halftone.runtime.cpu.assembly.Assembler;
import dev.halftone.runtime.cpu.assembly.MachineCode;
import java.lang.foreign.MemorySegment;
import java.util.List;

/// Products of signed bytes on the tiles of AMX, summed in whole numbers: see [TileProducts]; with what rounds
/// activations to them and makes floats of the sums. All are what [IntegerProduct] computes, to the bit.
final class ByteTiles {
    /// Inputs of one step.
    static final int INPUTS = TileCode.ROW_BYTES;

    private static final int LANES = 16;

    private static ByteTiles loaded;
    private static boolean tried;

    private final TileProducts products = new TileProducts(Assembler::multiplySignedTiles);
    private final MemorySegment largest;
    private final MemorySegment round;
    private final MemorySegment scale;

    private ByteTiles() {
        MemorySegment[] places =
                MachineCode.place(List.of(ByteTileCode.largest(), ByteTileCode.round(), ByteTileCode.scale()));
        largest = places[0];
        round = places[1];
        scale = places[2];
    }

    /// Those of this process; null where the processor or the system has none.
    static synchronized ByteTiles load() {
        if (!tried) {
            tried = true;
            if (Processor.has("avx512f") && Processor.hasTiles("amx_int8")) {
                try {
                    loaded = new ByteTiles();
                } catch (IllegalStateException refused) {
                    // The system lets no memory be executed: as DigitKernels, which says so.
                    loaded = null;
                }
            }
        }
        return loaded;
    }

    /// See [TileProducts#multiply].
    void multiply(
            long left,
            long right,
            long rightBlock,
            int steps,
            int blocks,
            long result,
            long resultRow,
            boolean adds,
            long arguments) {
        products.multiply(left, right, rightBlock, steps, blocks, result, resultRow, adds, arguments);
    }

    /// Rounds one row of the left side.
    ///
    /// @param row  `steps` times [#INPUTS] floats
    /// @param left the row's place
    /// @return the row's scale
    float placeRow(ActivationScheme activations, long row, int steps, long left, long arguments) {
        if (Memory.CHECKED) {
            Memory.check(row, (long) steps * INPUTS * Float.BYTES);
            Memory.check(left, (steps - 1L) * TileCode.LEFT_STEP + TileCode.ROW_BYTES);
        }
        long lanes = arguments + Memory.LINE;
        put(arguments, Rounding.FLOATS, row);
        put(arguments, Rounding.STEPS, steps);
        put(arguments, Rounding.DESTINATION, lanes);
        MachineCode.call(largest, arguments);
        int bits = 0;
        for (int lane = 0; lane < LANES; lane++) {
            bits = Math.max(bits, Memory.getInt(lanes + (long) lane * Integer.BYTES));
        }
        float unit = activations.scaleOf(Float.intBitsToFloat(bits));
        put(arguments, Rounding.SCALE, Float.floatToRawIntBits(unit));
        put(arguments, Rounding.DESTINATION, left);
        MachineCode.call(round, arguments);
        return unit;
    }

    /// See [Kernels#scaleSums]; of several rows, in place.
    ///
    /// @param sums    of the first row, whole numbers
    /// @param sumRow  bytes from one row to the next
    /// @param columns a multiple of sixteen
    /// @param scales  of each row
    void scale(long sums, long sumRow, int rows, int columns, long scales, long factors, long bias, long arguments) {
        if (Memory.CHECKED) {
            long bytes = (long) columns * Float.BYTES;
            for (int row = 0; row < rows; row++) {
                Memory.check(sums + row * sumRow, bytes);
            }
            Memory.check(scales, (long) rows * Float.BYTES);
            Memory.check(factors, bytes);
            Memory.check(bias, bytes);
        }
        put(arguments, Scaling.SUMS, sums);
        put(arguments, Scaling.ROW, sumRow);
        put(arguments, Scaling.ROWS, rows);
        put(arguments, Scaling.VECTORS, columns / LANES);
        put(arguments, Scaling.SCALES, scales);
        put(arguments, Scaling.FACTORS, factors);
        put(arguments, Scaling.BIAS, bias);
        MachineCode.call(scale, arguments);
    }

    private static void put(long arguments, Enum<?> argument, long value) {
        Memory.putLong(arguments + (long) argument.ordinal() * Long.BYTES, value);
    }
}

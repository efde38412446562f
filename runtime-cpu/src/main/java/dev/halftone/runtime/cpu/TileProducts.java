package dev.halftone.runtime.cpu;

import dev.halftone.runtime.cpu.TileCode.Product;
import dev.halftone.runtime.cpu.assembly.MachineCode;
import java.lang.foreign.MemorySegment;
import java.util.List;

/// Products on the tiles of AMX: of bfloat16, summed in float32, or of bytes, summed in whole numbers of 32 bits.
///
/// The left side of a product are [TileCode#ROWS] rows in steps of [TileCode#ROW_BYTES], `[step][row][inputs]`. The
/// right side are blocks of [TileCode#COLUMNS] columns in words of 32 bits, two inputs or four,
/// `[block][word][column]`.
final class TileProducts {
    private final MemorySegment product;
    private final MemorySegment addingProduct;
    private final Memory configuration = Memory.ofBytes(Memory.LINE);

    TileProducts(TileCode.Multiplication multiplication) {
        MemorySegment[] places = MachineCode.place(
                List.of(TileCode.product(multiplication, false), TileCode.product(multiplication, true)));
        product = places[0];
        addingProduct = places[1];
        Memory.copyBytes(TileCode.configuration(), configuration.address(), (int) Memory.LINE);
    }

    /// `result = left·right`, or `result += left·right`.
    ///
    /// @param rightBlock bytes from one block of `right` to the next
    /// @param resultRow  bytes from one row of `result` to the next
    /// @param steps      of [TileCode#ROW_BYTES] bytes of a row
    /// @param blocks     of [TileCode#COLUMNS] columns
    /// @param arguments  room for [Product#COUNT] longs
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
        if (Memory.CHECKED) {
            Memory.check(left, (long) steps * TileCode.LEFT_STEP);
            for (int row = 0; row < TileCode.ROWS; row++) {
                Memory.check(result + row * resultRow, (long) blocks * TileCode.COLUMNS * Float.BYTES);
            }
            for (int block = 0; block < blocks; block++) {
                Memory.check(right + block * rightBlock, (long) steps * TileCode.RIGHT_STEP);
            }
        }
        put(arguments, Product.LEFT, left);
        put(arguments, Product.RIGHT, right);
        put(arguments, Product.RIGHT_BLOCK, rightBlock);
        put(arguments, Product.RESULT, result);
        put(arguments, Product.RESULT_ROW, resultRow);
        put(arguments, Product.STEPS, steps);
        put(arguments, Product.BLOCKS, blocks);
        put(arguments, Product.CONFIGURATION, configuration.address());
        MachineCode.call(adds ? addingProduct : product, arguments);
    }

    private static void put(long arguments, Product argument, long value) {
        Memory.putLong(arguments + (long) argument.ordinal() * Long.BYTES, value);
    }
}

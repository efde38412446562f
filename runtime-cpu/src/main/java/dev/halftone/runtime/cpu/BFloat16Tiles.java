package dev.halftone.runtime.cpu;

import dev.halftone.runtime.cpu.BFloat16TileCode.Copy;
import dev.halftone.runtime.cpu.BFloat16TileCode.Softmax;
import dev.halftone.runtime.cpu.assembly.Assembler;
import dev.halftone.runtime.cpu.assembly.MachineCode;
import java.lang.foreign.MemorySegment;
import java.util.List;

/// Products of bfloat16 on the tiles of AMX, summed in float32, and what brings floats into the order that they take:
/// see [TileProducts]. Which two inputs share a word is for both sides to agree on.
final class BFloat16Tiles {
    static final int ROWS = TileCode.ROWS;
    static final int COLUMNS = TileCode.COLUMNS;
    static final int INPUTS = BFloat16TileCode.INPUTS;

    /// Bytes from one step of the left side to the next.
    static final int LEFT_STEP = TileCode.LEFT_STEP;

    /// Bytes from one row of the left side to the next.
    static final int LEFT_ROW = TileCode.ROW_BYTES;

    /// Bytes from one word of a column of the right side to the next.
    static final int RIGHT_ROW = TileCode.RIGHT_ROW;

    /// Bytes of a step of a block of the right side.
    static final int RIGHT_STEP = TileCode.RIGHT_STEP;

    /// Bytes of arguments that every function finds room in.
    static final int ARGUMENT_BYTES = 2 * (int) Memory.LINE;

    private static final int LANES = 16;
    private static final int VECTOR = LANES * Float.BYTES;

    /// Rows or columns of a square that [#transpose] turns.
    private static final int SQUARE = LANES;

    private static BFloat16Tiles loaded;
    private static boolean tried;

    private final TileProducts products = new TileProducts(Assembler::multiplyBFloat16Tiles);
    private final MemorySegment raiseMaxima;
    private final MemorySegment exponentials;
    private final MemorySegment round;
    private final MemorySegment pairs;
    private final MemorySegment transpose;
    private final Memory order = Memory.ofBytes(Memory.LINE);

    private BFloat16Tiles() {
        MemorySegment[] places = MachineCode.place(List.of(
                BFloat16TileCode.maxima(),
                BFloat16TileCode.exponentials(),
                BFloat16TileCode.round(false),
                BFloat16TileCode.round(true),
                BFloat16TileCode.transpose()));
        raiseMaxima = places[0];
        exponentials = places[1];
        round = places[2];
        pairs = places[3];
        transpose = places[4];
        for (int lane = 0; lane < LANES; lane++) {
            Memory.putInt(order.address() + (long) lane * Integer.BYTES, lane | lane + LANES << 16);
        }
    }

    /// Those of this process; null where the processor or the system has none.
    static synchronized BFloat16Tiles load() {
        if (!tried) {
            tried = true;
            if (Processor.has("avx512f", "avx512bw", "avx512_bf16") && Processor.hasTiles("amx_bf16")) {
                try {
                    loaded = new BFloat16Tiles();
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

    /// Raises the largest score that each of [#ROWS] rows has seen.
    ///
    /// @param scores   of each row `steps` times [#INPUTS] floats, `scoreRow` bytes from one row to the next
    /// @param maxima   of each row a vector of floats, any of which may be the largest
    void raiseMaxima(long scores, long scoreRow, int steps, long maxima, long arguments) {
        if (Memory.CHECKED) {
            checkScores(scores, scoreRow, steps, maxima);
        }
        put(arguments, Softmax.SCORES.ordinal(), scores);
        put(arguments, Softmax.SCORE_ROW.ordinal(), scoreRow);
        put(arguments, Softmax.STEPS.ordinal(), steps);
        put(arguments, Softmax.RESULTS.ordinal(), maxima);
        MachineCode.call(raiseMaxima, arguments);
    }

    /// Weights of a softmax, `2^(factor · score + shift)`, at most 1, of [#ROWS] rows: from `2^-120` on right to 4e-6,
    /// below it `2^-120`.
    ///
    /// @param scores  see [#raiseMaxima]
    /// @param shifts  of each row, a float
    /// @param weights receives the left side of a product
    /// @param totals  of each row a vector of floats, to which the weights are added before they are rounded
    void exponentials(
            long scores,
            long scoreRow,
            int steps,
            float factor,
            long shifts,
            long weights,
            long totals,
            long arguments) {
        if (Memory.CHECKED) {
            checkScores(scores, scoreRow, steps, totals);
            Memory.check(weights, (long) steps * LEFT_STEP);
            Memory.check(shifts, (long) ROWS * Float.BYTES);
        }
        put(arguments, Softmax.SCORES.ordinal(), scores);
        put(arguments, Softmax.SCORE_ROW.ordinal(), scoreRow);
        put(arguments, Softmax.STEPS.ordinal(), steps);
        put(arguments, Softmax.WEIGHTS.ordinal(), weights);
        put(arguments, Softmax.RESULTS.ordinal(), totals);
        put(arguments, Softmax.FACTOR.ordinal(), Float.floatToRawIntBits(factor));
        put(arguments, Softmax.SHIFTS.ordinal(), shifts);
        MachineCode.call(exponentials, arguments);
    }

    private static void checkScores(long scores, long scoreRow, int steps, long results) {
        for (int row = 0; row < ROWS; row++) {
            Memory.check(scores + row * scoreRow, (long) steps * INPUTS * Float.BYTES);
        }
        Memory.check(results, (long) ROWS * VECTOR);
    }

    /// One row of the left side, its inputs in their own order: two that are neighbours share a word.
    ///
    /// @param row  `steps` times [#INPUTS] floats
    /// @param left the row's place
    void placeRow(long row, int steps, long left, long arguments) {
        if (Memory.CHECKED) {
            Memory.check(row, (long) steps * INPUTS * Float.BYTES);
            Memory.check(left, (steps - 1L) * LEFT_STEP + LEFT_ROW);
        }
        copy(round, row, VECTOR, 2L * VECTOR, left, LEFT_STEP, steps, arguments);
    }

    /// As [#placeRow], but of every [#INPUTS] inputs those that are sixteen places apart share a word.
    void placeRowByTurns(long row, int steps, long left, long arguments) {
        if (Memory.CHECKED) {
            Memory.check(row, (long) steps * INPUTS * Float.BYTES);
            Memory.check(left, (steps - 1L) * LEFT_STEP + LEFT_ROW);
        }
        copy(pairs, row, VECTOR, 2L * VECTOR, left, LEFT_STEP, steps, arguments);
    }

    /// Sixteen columns of the right side; inputs that are neighbours share a word.
    ///
    /// @param rows    of sixteen floats
    /// @param rowStep bytes from one to the next
    /// @param count   of rows; the last of an odd number shares its word with a zero
    /// @param right   the first column's first word
    void placeColumns(long rows, long rowStep, int count, long right, long arguments) {
        if (Memory.CHECKED) {
            for (int row = 0; row < count; row++) {
                Memory.check(rows + row * rowStep, VECTOR);
            }
            Memory.check(right, ((count + 1) / 2 - 1L) * RIGHT_ROW + VECTOR);
        }
        if (count > 1) {
            copy(pairs, rows, rowStep, 2 * rowStep, right, RIGHT_ROW, count / 2, arguments);
        }
        if (count % 2 != 0) {
            long last = rows + (count - 1) * rowStep;
            Memory.zeroFloats(arguments + Memory.LINE, LANES);
            long to = right + count / 2 * (long) RIGHT_ROW;
            copy(pairs, last, arguments + Memory.LINE - last, 0, to, RIGHT_ROW, 1, arguments);
        }
    }

    /// Sixteen columns of a right side as rows of a left side: what makes `xᵀ` of an `x` that [#placeColumns] has
    /// placed.
    ///
    /// @param right the first column's first word
    /// @param left  the first row's place, which is the first or the middle one of its [#ROWS]
    void transpose(long right, int steps, long left, long arguments) {
        if (Memory.CHECKED) {
            Memory.check(right, (steps * (long) SQUARE - 1) * RIGHT_ROW + VECTOR);
            Memory.check(left, (steps - 1L) * LEFT_STEP + SQUARE * LEFT_ROW);
        }
        copy(transpose, right, RIGHT_ROW, RIGHT_STEP, left, LEFT_STEP, steps, arguments);
    }

    private void copy(
            MemorySegment function,
            long source,
            long sourceRow,
            long sourceStep,
            long destination,
            long destinationStep,
            int steps,
            long arguments) {
        put(arguments, Copy.SOURCE.ordinal(), source);
        put(arguments, Copy.SOURCE_ROW.ordinal(), sourceRow);
        put(arguments, Copy.SOURCE_STEP.ordinal(), sourceStep);
        put(arguments, Copy.DESTINATION.ordinal(), destination);
        put(arguments, Copy.DESTINATION_STEP.ordinal(), destinationStep);
        put(arguments, Copy.STEPS.ordinal(), steps);
        put(arguments, Copy.ORDER.ordinal(), order.address());
        MachineCode.call(function, arguments);
    }

    private static void put(long arguments, int argument, long value) {
        Memory.putLong(arguments + (long) argument * Long.BYTES, value);
    }
}

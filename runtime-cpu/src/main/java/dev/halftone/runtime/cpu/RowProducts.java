package dev.halftone.runtime.cpu;

import dev.halftone.runtime.cpu.RowCode.Argument;
import dev.halftone.runtime.cpu.assembly.MachineCode;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/// Few rows times a weight without groups, in machine code that asks for memory ahead of its turn:
///
/// - 8-bit codes times whole numbers, for weights whose inputs are rounded: four products in an operation, where floats
///   take three operations for one. Exact, like [IntegerKernel].
/// - bfloat16 times floats, with the results of [BFloat16Kernel] to the bit.
final class RowProducts {
    private static final int LANES = 16;
    private static final int FORMS = WeightForm.values().length;

    private final MemorySegment[][] wide = new MemorySegment[FORMS][]; // [form][rows - 1], of RowCode.strips(rows)
    private final MemorySegment[][] narrow = new MemorySegment[FORMS][]; // [form][rows - 1], of one strip

    RowProducts() {
        place(WeightForm.CODES8, RowCode::bytes);
        place(WeightForm.BFLOAT16, RowCode::bFloat16);
    }

    @FunctionalInterface
    private interface Writer {
        byte[] write(int rows, int strips);
    }

    private void place(WeightForm form, Writer writer) {
        List<byte[]> functions = new ArrayList<>();
        for (int rows = 1; rows <= RowCode.ROWS; rows++) {
            functions.add(writer.write(rows, RowCode.strips(rows)));
        }
        for (int rows = 1; rows <= RowCode.ROWS; rows++) {
            functions.add(writer.write(rows, 1));
        }
        List<MemorySegment> places = List.of(MachineCode.place(functions));
        wide[form.ordinal()] = places.subList(0, RowCode.ROWS).toArray(MemorySegment[]::new);
        narrow[form.ordinal()] = places.subList(RowCode.ROWS, places.size()).toArray(MemorySegment[]::new);
    }

    /// Whether they multiply this weight; one of codes only if its inputs are rounded, which have one scale for all.
    boolean take(PackedWeight weight) {
        return weight.lanes == LANES && wide[weight.form.ordinal()] != null;
    }

    /// Bytes of the inputs of `rows` rows.
    static long inputBytes(PackedWeight weight, int rows) {
        return (long) weight.wordsPerStrip() * rows * pieces(weight) * Integer.BYTES;
    }

    /// 32 bits of each row's inputs for a word.
    private static int pieces(PackedWeight weight) {
        return weight.form == WeightForm.BFLOAT16 ? 2 : 1;
    }

    /// The rows of the block that begins with row `block`, of `rows` in all.
    static int blockRows(int block, int rows) {
        return Math.min(RowCode.ROWS, rows - block);
    }

    /// Strips `[from, to)` of all rows, before the next strips: so that these are read from memory once.
    ///
    /// @param inputs    block by block of [RowCode#ROWS] rows, the last of fewer: for codes signed bytes,
    ///                  `[paddedInputs / 4][rows][4]`; else floats, `[paddedInputs][rows]`
    /// @param starts    for codes an integer of each row; else the bias of strip 0
    /// @param result    first output of the first row: integers, or floats
    /// @param resultRow bytes from one row of results to the next
    /// @param arguments room for [RowCode.Argument#COUNT] longs
    void multiply(
            PackedWeight weight,
            long inputs,
            long starts,
            int rows,
            int from,
            int to,
            long result,
            long resultRow,
            long arguments) {
        int step = rows <= RowCode.ROWS ? to - from : PackedWeight.SIDE_BY_SIDE;
        for (int strip = from; strip < to; strip += step) {
            int end = Math.min(to, strip + step);
            for (int block = 0; block < rows; block += RowCode.ROWS) {
                multiplyBlock(
                        weight,
                        inputs + inputBytes(weight, block),
                        weight.form == WeightForm.BFLOAT16 ? starts : starts + (long) block * Integer.BYTES,
                        blockRows(block, rows),
                        strip,
                        end,
                        result + block * resultRow,
                        resultRow,
                        arguments);
            }
        }
    }

    private void multiplyBlock(
            PackedWeight weight,
            long inputs,
            long starts,
            int rows,
            int from,
            int to,
            long result,
            long resultRow,
            long arguments) {
        int vector = weight.vectorBytes();
        // Every strip has a start of its own, or every row.
        int startStep = weight.form == WeightForm.BFLOAT16 ? vector : 0;
        if (Memory.CHECKED) {
            Memory.check(inputs, inputBytes(weight, rows));
            Memory.check(starts, startStep == 0 ? (long) rows * Integer.BYTES : (long) to * startStep);
            Memory.check(weight.words(from), (to - from) * weight.stripBytes());
            for (int row = 0; row < rows; row++) {
                Memory.check(result + row * resultRow + (long) from * vector, (long) (to - from) * vector);
            }
        }
        int strips = RowCode.strips(rows);
        int apart = (to - from) / strips;
        put(arguments, Argument.STRIP_STEP, apart * weight.stripBytes());
        put(arguments, Argument.WORDS_PER_STRIP, weight.wordsPerStrip());
        put(arguments, Argument.INPUTS, inputs);
        put(arguments, Argument.RESULT_STEP, (long) apart * vector);
        put(arguments, Argument.RESULT_ROW, resultRow);
        int form = weight.form.ordinal();
        for (int strip = from; strip < from + apart; strip++) {
            long start = starts + (long) strip * startStep;
            multiply(wide[form][rows - 1], weight, strip, start, result, arguments);
        }
        for (int strip = from + apart * strips; strip < to; strip++) {
            long start = starts + (long) strip * startStep;
            multiply(narrow[form][rows - 1], weight, strip, start, result, arguments);
        }
    }

    private static void multiply(
            MemorySegment function, PackedWeight weight, int strip, long start, long result, long arguments) {
        put(arguments, Argument.WORDS, weight.words(strip));
        put(arguments, Argument.STARTS, start);
        put(arguments, Argument.RESULT, result + (long) strip * weight.vectorBytes());
        MachineCode.call(function, arguments);
    }

    private static void put(long arguments, Argument argument, long value) {
        Memory.putLong(arguments + (long) argument.ordinal() * Long.BYTES, value);
    }
}

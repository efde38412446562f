package dev.halftone.runtime.cpu;

import dev.halftone.runtime.cpu.ByteSumCode.Argument;
import dev.halftone.runtime.cpu.assembly.MachineCode;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/// Few rows of whole numbers times the codes of a weight whose inputs are rounded, in machine code: four products in an
/// operation where floats take three operations for one. Exact, like [IntegerKernel].
final class ByteSums {
    private static final int LANES = 16;

    private final MemorySegment[] wide; // [rows - 1], of ByteSumCode.strips(rows) strips
    private final MemorySegment[] narrow; // [rows - 1], of one strip

    ByteSums() {
        List<byte[]> functions = new ArrayList<>();
        for (int rows = 1; rows <= ByteSumCode.ROWS; rows++) {
            functions.add(ByteSumCode.sums(rows, ByteSumCode.strips(rows)));
        }
        for (int rows = 1; rows <= ByteSumCode.ROWS; rows++) {
            functions.add(ByteSumCode.sums(rows, 1));
        }
        List<MemorySegment> places = List.of(MachineCode.place(functions));
        wide = places.subList(0, ByteSumCode.ROWS).toArray(MemorySegment[]::new);
        narrow = places.subList(ByteSumCode.ROWS, places.size()).toArray(MemorySegment[]::new);
    }

    /// Whether they multiply this weight.
    static boolean take(PackedWeight weight) {
        return weight.lanes == LANES && weight.form == WeightForm.CODES8;
    }

    /// Strips `[from, to)` of a block of rows, see [Kernels#sumRow].
    ///
    /// @param inputs    `[paddedInputs / 4][rows][4]`, signed bytes
    /// @param starts    what the sums of each row begin with, integers
    /// @param rows      1 to [ByteSumCode#ROWS]
    /// @param sums      first output of the first row
    /// @param sumsRow   bytes from one row of `sums` to the next
    /// @param arguments room for [ByteSumCode.Argument#COUNT] longs
    void sum(
            PackedWeight weight,
            long inputs,
            long starts,
            int rows,
            int from,
            int to,
            long sums,
            long sumsRow,
            long arguments) {
        int vector = weight.vectorBytes();
        if (Memory.CHECKED) {
            Memory.check(inputs, (long) weight.paddedInputs() * rows);
            Memory.check(starts, (long) rows * Integer.BYTES);
            Memory.check(weight.words(from), (to - from) * weight.stripBytes());
            for (int row = 0; row < rows; row++) {
                Memory.check(sums + row * sumsRow + (long) from * vector, (long) (to - from) * vector);
            }
        }
        int strips = ByteSumCode.strips(rows);
        int apart = (to - from) / strips;
        put(arguments, Argument.STRIP_STEP, apart * weight.stripBytes());
        put(arguments, Argument.WORDS_PER_STRIP, weight.wordsPerStrip());
        put(arguments, Argument.INPUTS, inputs);
        put(arguments, Argument.STARTS, starts);
        put(arguments, Argument.SUMS_STEP, (long) apart * vector);
        put(arguments, Argument.SUMS_ROW, sumsRow);
        for (int strip = from; strip < from + apart; strip++) {
            sum(wide[rows - 1], weight, strip, sums, arguments);
        }
        for (int strip = from + apart * strips; strip < to; strip++) {
            sum(narrow[rows - 1], weight, strip, sums, arguments);
        }
    }

    private static void sum(MemorySegment function, PackedWeight weight, int strip, long sums, long arguments) {
        put(arguments, Argument.WORDS, weight.words(strip));
        put(arguments, Argument.SUMS, sums + (long) strip * weight.vectorBytes());
        MachineCode.call(function, arguments);
    }

    private static void put(long arguments, Argument argument, long value) {
        Memory.putLong(arguments + (long) argument.ordinal() * Long.BYTES, value);
    }
}

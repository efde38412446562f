package dev.halftone.runtime.cpu;

import dev.halftone.runtime.cpu.CutCode.Argument;
import dev.halftone.runtime.cpu.assembly.MachineCode;
import java.lang.foreign.MemorySegment;
import java.util.List;

/// Cuts rows of inputs into digits: a word of 32 bits for each digit of four inputs of a piece, see [DigitCode].
final class RowCutter {
    /// Longs that tell the function what to do.
    static final int ARGUMENTS = Argument.COUNT.ordinal();

    private final int digits;
    private final MemorySegment[] functions; // [form]
    private final Memory orders = Memory.ofBytes((long) CutCode.ORDERS.length * Integer.BYTES);

    /// @param digits of an input: 2 or 3
    RowCutter(int digits) {
        this.digits = digits;
        functions = MachineCode.place(
                List.of(CutCode.cut(WeightForm.CODES4, digits), CutCode.cut(WeightForm.CODES8, digits)));
        for (int i = 0; i < CutCode.ORDERS.length; i++) {
            Memory.putInt(orders.address() + (long) i * Integer.BYTES, CutCode.ORDERS[i]);
        }
    }

    /// Floats of one group and row: what each digit counts for, the lowest first, and the sum of the inputs.
    int constants() {
        return digits + 1;
    }

    /// @param x             the row in the weight's own order of columns, padded with zeros
    /// @param to            where the first digit of the first four inputs goes
    /// @param wordStep      bytes from one word's digits to the next word's
    /// @param pieceStep     bytes from one piece's to the next piece's
    /// @param digitStep     bytes from one digit to the next
    /// @param constants     of the first group
    /// @param constantsStep bytes from one group's to the next group's
    /// @param arguments     room for [#ARGUMENTS] longs
    void cut(
            PackedWeight weight,
            long x,
            long to,
            long wordStep,
            long pieceStep,
            long digitStep,
            long constants,
            long constantsStep,
            long arguments) {
        if (Memory.CHECKED) {
            Memory.check(x, (long) weight.paddedInputs() * Float.BYTES);
            long last = (weight.wordsPerStrip() - 1) * wordStep
                    + (DigitCode.pieces(weight.form) - 1) * pieceStep
                    + (digits - 1) * digitStep;
            Memory.check(to, last + Integer.BYTES);
            Memory.check(constants, (weight.groups - 1) * constantsStep + (long) constants() * Float.BYTES);
        }
        put(arguments, Argument.INPUTS, x);
        put(arguments, Argument.DIGITS, to);
        put(arguments, Argument.WORD_STEP, wordStep);
        put(arguments, Argument.PIECE_STEP, pieceStep);
        put(arguments, Argument.DIGIT_STEP, digitStep);
        put(arguments, Argument.WORDS_PER_GROUP, weight.wordsPerGroup());
        put(arguments, Argument.GROUPS, weight.groups);
        put(arguments, Argument.CONSTANTS, constants);
        put(arguments, Argument.CONSTANTS_STEP, constantsStep);
        put(arguments, Argument.ORDERS, orders.address());
        MachineCode.call(functions[weight.form.ordinal()], arguments);
    }

    private static void put(long arguments, Argument argument, long value) {
        Memory.putLong(arguments + (long) argument.ordinal() * Long.BYTES, value);
    }
}

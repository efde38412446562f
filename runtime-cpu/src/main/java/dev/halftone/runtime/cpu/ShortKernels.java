package dev.halftone.runtime.cpu;

import dev.halftone.runtime.cpu.ShortCode.Argument;
import dev.halftone.runtime.cpu.ShortCode.Unpacking;
import dev.halftone.runtime.cpu.assembly.MachineCode;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/// Products of codes with many rows of inputs as whole numbers of 16 bits, by the processor's sums of products of bytes
/// (AVX512-VNNI): half of the operations that float32 takes, and less rounding than bfloat16.
///
/// Within a group an input counts as a multiple of `2⁻¹⁴` of the power of two below the largest one; sums are exact.
final class ShortKernels {
    /// Longs that tell a function what to do.
    static final int ARGUMENTS = Math.max(Argument.COUNT.ordinal(), RowCutter.ARGUMENTS);

    private static final int LINE = (int) Memory.LINE;

    private final MemorySegment[] tiles; // [strips - 1][rows - 1]
    private final MemorySegment[] unpackers; // [form]
    private final RowCutter cutter = new RowCutter(ShortCode.DIGITS);

    ShortKernels() {
        List<byte[]> functions = new ArrayList<>();
        for (int strips = 1; strips <= ShortCode.STRIPS; strips++) {
            for (int rows = 1; rows <= ShortCode.ROWS; rows++) {
                functions.add(ShortCode.tile(rows, strips));
            }
        }
        tiles = MachineCode.place(functions);
        unpackers =
                MachineCode.place(List.of(ShortCode.unpack(WeightForm.CODES4), ShortCode.unpack(WeightForm.CODES8)));
    }

    /// Bytes of an unpacked strip.
    static long stripBytes(PackedWeight weight) {
        return (long) weight.paddedInputs() * weight.lanes;
    }

    /// Bytes of the digits of `rows` rows.
    static long digitBytes(PackedWeight weight, int rows) {
        return (long) rows * weight.paddedInputs() * ShortCode.DIGITS;
    }

    /// Bytes of the constants of `rows` rows.
    static long constantBytes(PackedWeight weight, int rows) {
        return (long) rows * weight.groups * ShortCode.CONSTANTS * Float.BYTES;
    }

    /// Cuts one row into digits.
    ///
    /// @param x         the row in the weight's own order of columns, padded with zeros
    /// @param row       its number among the `rows` of a block
    /// @param digits    of the block, see [#digitBytes]
    /// @param constants of the block, see [#constantBytes]
    /// @param arguments room for [#ARGUMENTS] longs
    void cut(PackedWeight weight, long x, int row, int rows, long digits, long constants, long arguments) {
        long rowBytes = ShortCode.DIGITS * Integer.BYTES;
        long rowConstants = ShortCode.CONSTANTS * Float.BYTES;
        cutter.cut(
                weight,
                x,
                digits + row * rowBytes,
                DigitCode.pieces(weight.form) * rows * rowBytes,
                rows * rowBytes,
                Integer.BYTES,
                constants + row * rowConstants,
                rows * rowConstants,
                arguments);
    }

    /// Unpacks the codes of a strip.
    ///
    /// @param codes     room for [#stripBytes]
    /// @param arguments room for [#ARGUMENTS] longs
    void unpack(PackedWeight weight, int strip, long codes, long arguments) {
        if (Memory.CHECKED) {
            Memory.check(weight.words(strip), weight.stripBytes());
            Memory.check(codes, stripBytes(weight));
        }
        put(arguments, Unpacking.WORDS.ordinal(), weight.words(strip));
        put(arguments, Unpacking.COUNT_OF_WORDS.ordinal(), weight.wordsPerStrip());
        put(arguments, Unpacking.LINES.ordinal(), codes);
        MachineCode.call(unpackers[weight.form.ordinal()], arguments);
    }

    /// A block of rows by one strip or two.
    ///
    /// @param codes     of the first strip; the other's lie behind
    /// @param digits    of the block
    /// @param constants of the block
    /// @param rows      1 to [ShortCode#ROWS]
    /// @param strip     the first
    /// @param strips    1 to [ShortCode#STRIPS]
    /// @param y         first output of the first row and strip; whole strips are written
    /// @param yRow      bytes from one row of `y` to the next
    /// @param arguments room for [#ARGUMENTS] longs
    void multiply(
            PackedWeight weight,
            long codes,
            long digits,
            long constants,
            int rows,
            int strip,
            int strips,
            long y,
            long yRow,
            long arguments) {
        if (Memory.CHECKED) {
            Memory.check(codes, strips * stripBytes(weight));
            Memory.check(digits, digitBytes(weight, rows));
            Memory.check(constants, constantBytes(weight, rows));
            Memory.check(y, (rows - 1) * yRow + (long) strips * LINE);
        }
        put(arguments, Argument.CODES.ordinal(), codes);
        put(arguments, Argument.CODES_STEP.ordinal(), stripBytes(weight));
        put(arguments, Argument.DIGITS.ordinal(), digits);
        put(arguments, Argument.PIECES_PER_GROUP.ordinal(), weight.groupLength / Integer.BYTES);
        put(arguments, Argument.CONSTANTS.ordinal(), constants);
        put(arguments, Argument.FACTORS.ordinal(), weight.factors(strip));
        put(arguments, Argument.FACTOR_STEP.ordinal(), (long) weight.groups * LINE);
        put(arguments, Argument.CENTRES.ordinal(), weight.centres(strip));
        put(arguments, Argument.CENTRE_STEP.ordinal(), (long) weight.groups * weight.centreStep());
        put(arguments, Argument.CENTRE_GROUP_STEP.ordinal(), weight.centreStep());
        put(arguments, Argument.GROUPS.ordinal(), weight.groups);
        put(arguments, Argument.BIAS.ordinal(), weight.bias(strip));
        put(arguments, Argument.RESULT.ordinal(), y);
        put(arguments, Argument.RESULT_ROW.ordinal(), yRow);
        MachineCode.call(tiles[(strips - 1) * ShortCode.ROWS + rows - 1], arguments);
    }

    private static void put(long arguments, int argument, long value) {
        Memory.putLong(arguments + (long) argument * Long.BYTES, value);
    }
}

package dev.halftone.runtime.cpu;

import dev.halftone.runtime.cpu.BFloat16Code.Argument;
import dev.halftone.runtime.cpu.assembly.MachineCode;
import java.lang.foreign.MemorySegment;
import java.util.List;

/// Restores strips of codes to bfloat16 in one pass, in machine code: to floats, rounded and put in order by the
/// vector kernels they pass through memory twice.
final class BFloat16Restorer {
    private static final int LANES = 16;

    private final MemorySegment codes4;
    private final MemorySegment codes8;
    private final Memory order = Memory.ofBytes(Memory.LINE);

    BFloat16Restorer() {
        MemorySegment[] places = MachineCode.place(
                List.of(BFloat16Code.restore(WeightForm.CODES4), BFloat16Code.restore(WeightForm.CODES8)));
        codes4 = places[0];
        codes8 = places[1];
        for (int lane = 0; lane < LANES; lane++) {
            Memory.putInt(order.address() + (long) lane * Integer.BYTES, lane | lane + LANES << 16);
        }
    }

    /// Whether strips of this weight can be restored so.
    static boolean takes(PackedWeight weight) {
        return weight.lanes == LANES
                && weight.form.isCodes()
                && weight.wordsPerGroup() % BFloat16Code.words(weight.form) == 0;
    }

    /// @param destination first word of the strip's columns in a block of [OneDnn#BLOCK]
    /// @param arguments   room for [BFloat16Code.Argument#COUNT] longs
    void restore(PackedWeight weight, int strip, long destination, long arguments) {
        put(arguments, Argument.WORDS, weight.words(strip));
        put(arguments, Argument.FACTORS, weight.factors(strip));
        put(arguments, Argument.CENTRES, weight.centres(strip));
        put(arguments, Argument.CENTRE_STEP, weight.centreStep());
        put(arguments, Argument.GROUPS, weight.groups);
        put(arguments, Argument.TURNS, weight.wordsPerGroup() / BFloat16Code.words(weight.form));
        put(arguments, Argument.RESULT, destination);
        put(arguments, Argument.ORDER, order.address());
        if (Memory.CHECKED) {
            Memory.check(weight.words(strip), weight.stripBytes());
            long rows = weight.paddedInputs() / 2;
            Memory.check(destination, ((rows - 1) * OneDnn.BLOCK + LANES) * Integer.BYTES);
        }
        MachineCode.call(weight.form == WeightForm.CODES4 ? codes4 : codes8, arguments);
    }

    private static void put(long arguments, Argument argument, long value) {
        Memory.putLong(arguments + (long) argument.ordinal() * Long.BYTES, value);
    }
}

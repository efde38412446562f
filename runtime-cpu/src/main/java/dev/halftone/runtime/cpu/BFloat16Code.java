package dev.halftone.runtime.cpu;

import static dev.halftone.runtime.cpu.assembly.Address.at;
import static dev.halftone.runtime.cpu.assembly.Instruction.VCVTNE2PS2BF16;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_LOAD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_STORE;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMULPS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPANDD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPERMW;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPORD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPRORD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VSUBPS;
import static dev.halftone.runtime.cpu.assembly.Register.R10;
import static dev.halftone.runtime.cpu.assembly.Register.R8;
import static dev.halftone.runtime.cpu.assembly.Register.R9;
import static dev.halftone.runtime.cpu.assembly.Register.RAX;
import static dev.halftone.runtime.cpu.assembly.Register.RCX;
import static dev.halftone.runtime.cpu.assembly.Register.RDI;
import static dev.halftone.runtime.cpu.assembly.Register.RDX;
import static dev.halftone.runtime.cpu.assembly.Register.RSI;

import dev.halftone.runtime.cpu.assembly.Address;
import dev.halftone.runtime.cpu.assembly.Assembler;
import dev.halftone.runtime.cpu.assembly.Width;

/// Writes the functions of [BFloat16Restorer]: a strip of codes to bfloat16, each two inputs that lie sixteen
/// places apart in one word, as [PairKernel#roundPairs] leaves them.
final class BFloat16Code {
    enum Argument {
        WORDS,
        FACTORS,
        CENTRES,
        CENTRE_STEP,
        GROUPS,
        TURNS,
        RESULT,
        ORDER,
        COUNT;

        Address argument() {
            return at(RDI, Long.BYTES * ordinal());
        }
    }

    /// Inputs of one turn of the loop.
    private static final int INPUTS = 32;

    private static final Width WIDE = Width.BITS_512;
    private static final int LINE = WIDE.bytes();

    /// From one vector of results to the next: those of a block of columns.
    private static final int STEP = OneDnn.BLOCK * Integer.BYTES;

    private static final int MASK = 31;
    private static final int ONE = 30;
    private static final int ORDER = 29;
    private static final int FACTOR = 28;
    private static final int CENTRE = 27;

    /// The processor finds the lines between those that it is asked for.
    private static final int PREFETCH_EACH = 4;

    // Pairs of inputs, some in flight beside each other.
    private static final int PAIRS = 8;
    private static final int PAIRS_AT_A_TIME = 4;

    private BFloat16Code() {}

    /// Vectors of words of one turn of the loop.
    static int words(WeightForm form) {
        return INPUTS / form.fields;
    }

    static byte[] restore(WeightForm form) {
        int words = words(form);
        Assembler code = new Assembler();
        code.constant(WIDE, MASK, (1 << form.bits) - 1 << form.shift());
        code.constant(WIDE, ONE, Float.floatToRawIntBits(1));
        code.load(RAX, Argument.ORDER.argument());
        code.vector(VMOVUPS_LOAD, WIDE, ORDER, 0, at(RAX));
        code.load(RSI, Argument.WORDS.argument());
        code.load(R8, Argument.FACTORS.argument());
        code.load(R9, Argument.CENTRES.argument());
        code.load(RDX, Argument.RESULT.argument());
        code.load(RCX, Argument.GROUPS.argument());
        code.load(R10, Argument.TURNS.argument());
        int group = code.here();
        code.vector(VMOVUPS_LOAD, WIDE, FACTOR, 0, at(R8));
        code.vector(VMOVUPS_LOAD, WIDE, CENTRE, 0, at(R9));
        code.loadAddress(RAX, at(R10));
        int turn = code.here();
        for (int word = 0; word < words; word += PREFETCH_EACH) {
            code.prefetch(at(RSI, (DigitCode.AHEAD + word) * LINE));
        }
        for (int word = 0; word < words; word++) {
            code.vector(VMOVUPS_LOAD, WIDE, word, 0, at(RSI, word * LINE));
        }
        int pairs = words / 2;
        for (int word = 0; word < pairs; word++) {
            for (int field = 0; field < form.fields; field++) {
                int low = PAIRS + 2 * (field % PAIRS_AT_A_TIME);
                restore(code, form, word, low);
                restore(code, form, word + pairs, low + 1);
                code.vector(VCVTNE2PS2BF16, WIDE, low, low + 1, low);
                code.vector(VPERMW, WIDE, low, ORDER, low);
                code.vector(VMOVUPS_STORE, WIDE, low, 0, at(RDX, (word * form.fields + field) * STEP));
            }
        }
        code.add(RSI, words * LINE);
        code.add(RDX, pairs * form.fields * STEP);
        code.decrement(RAX);
        code.jumpIfNotZero(turn);
        code.add(R8, LINE);
        code.add(R9, Argument.CENTRE_STEP.argument());
        code.decrement(RCX);
        code.jumpIfNotZero(group);
        code.returnToJava();
        return code.code();
    }

    /// The next code of every word, as a float; see [PackedWeight].
    private static void restore(Assembler code, WeightForm form, int word, int to) {
        code.vector(VPANDD, WIDE, to, word, MASK);
        code.vector(VPORD, WIDE, to, to, ONE);
        code.shift(VPRORD, WIDE, word, word, form.bits);
        code.vector(VSUBPS, WIDE, to, to, CENTRE);
        code.vector(VMULPS, WIDE, to, to, FACTOR);
    }
}

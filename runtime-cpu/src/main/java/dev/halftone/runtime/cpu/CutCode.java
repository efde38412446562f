package dev.halftone.runtime.cpu;

import static dev.halftone.runtime.cpu.assembly.Address.at;
import static dev.halftone.runtime.cpu.assembly.Instruction.VADDPD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VCVTDQ2PD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VCVTPD2PS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VCVTPS2DQ;
import static dev.halftone.runtime.cpu.assembly.Instruction.VCVTPS2PD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VEXTRACTI32X4;
import static dev.halftone.runtime.cpu.assembly.Instruction.VEXTRACTI64X4;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVD_STORE;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_LOAD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMULPD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMULPS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPADDD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPANDD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPANDND;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPBROADCASTD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPERMD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPEXTRD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPMAXSD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPORD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPSHUFB;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPSHUFD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPSLLD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPSRAD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPSUBD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPXORD;
import static dev.halftone.runtime.cpu.assembly.Register.R10;
import static dev.halftone.runtime.cpu.assembly.Register.R11;
import static dev.halftone.runtime.cpu.assembly.Register.R8;
import static dev.halftone.runtime.cpu.assembly.Register.RAX;
import static dev.halftone.runtime.cpu.assembly.Register.RBX;
import static dev.halftone.runtime.cpu.assembly.Register.RCX;
import static dev.halftone.runtime.cpu.assembly.Register.RDI;
import static dev.halftone.runtime.cpu.assembly.Register.RDX;
import static dev.halftone.runtime.cpu.assembly.Register.RSI;

import dev.halftone.runtime.cpu.assembly.Address;
import dev.halftone.runtime.cpu.assembly.Assembler;
import dev.halftone.runtime.cpu.assembly.Register;
import dev.halftone.runtime.cpu.assembly.Width;

/// Writes the function of [RowCutter]: it cuts the inputs of a row, group by group, into signed digits of eight bits.
///
/// Inputs become whole numbers `x / unit`, rounded to the nearest. The unit is the power of two that brings the largest
/// of a group below `256^digits / 2`, less what rounding digits to the nearest may carry over. Digits `d` of a whole
/// number `n` are bytes of `(n + 128·(1 + 256 + ..)) xor 128·(1 + 256 + ..)`, as many as there are: adding carries, and
/// the flipped bit makes a byte signed.
final class CutCode {
    enum Argument {
        INPUTS,
        DIGITS,
        WORD_STEP,
        PIECE_STEP,
        DIGIT_STEP,
        WORDS_PER_GROUP,
        GROUPS,
        CONSTANTS,
        CONSTANTS_STEP, // from one group to the next
        ORDERS,
        COUNT;

        Address argument() {
            return at(RDI, Long.BYTES * ordinal());
        }
    }

    /// Bits of a float's fraction.
    private static final int FRACTION = 23;

    private static final int BIAS = 127;

    /// Bits of the largest float.
    private static final int LARGEST = 0x7F7F_FFFF;

    /// Added to the bits of the largest input, so that a last digit of more than 127 takes a larger unit: numbers from
    /// 127/64 times a power of two on.
    private static final int CARRY = 0x0002_0000;

    /// Units have to have an inverse: what is smaller than this power of two is cut as if it were as large.
    private static final int LEAST = -100;

    /// Inputs of a word with two pieces: first those of the one, then those of the other.
    private static final int[] PIECES = {0, 2, 4, 6, 1, 3, 5, 7};

    /// The first bytes of four numbers, then the second ones, and so on.
    private static final int[] BYTES = {0x0C08_0400, 0x0D09_0501, 0x0E0A_0602, 0x0F0B_0703};

    /// What [Argument#ORDERS] points to.
    static final int[] ORDERS = orders();

    // Vectors.
    private static final int X = 0;
    private static final int MOST = 1;
    private static final int OTHER = 2;
    private static final int INFINITE = 3; // all bits, if an input is no finite number
    private static final int EXPONENT = 4;
    private static final int INVERSE = 5;
    private static final int UNIT = 6;
    private static final int SUMS = 7;
    private static final int WIDE = 8;

    // Vectors that hold the same all the time.
    private static final int MAGNITUDE = 16;
    private static final int CARRIES = 17;
    private static final int LEASTS = 18;
    private static final int INVERSE_EXPONENT = 19;
    private static final int UNIT_EXPONENT = 20;
    private static final int LARGESTS = 21;
    private static final int MIDDLE = 22;
    private static final int PIECE_ORDER = 23;
    private static final int BYTE_ORDER = 24;
    private static final int VALUES = 25; // one for each digit

    private static final int SWAP_HALVES = 0x4E;
    private static final int SWAP_NEIGHBOURS = 0xB1;

    private final Assembler code = new Assembler();
    private final WeightForm form;
    private final int digits;
    private final Width width; // of a word's inputs, as 32-bit numbers

    private CutCode(WeightForm form, int digits) {
        this.form = form;
        this.digits = digits;
        width = form == WeightForm.CODES4 ? Width.BITS_256 : Width.BITS_128;
    }

    private static int[] orders() {
        int[] orders = new int[2 * PIECES.length];
        for (int i = 0; i < PIECES.length; i++) {
            orders[i] = PIECES[i];
            orders[PIECES.length + i] = BYTES[i % BYTES.length];
        }
        return orders;
    }

    /// Of each group and digit of one row: what the digit counts for, divided by the span of the codes, the lowest
    /// first; behind these the sum of the inputs. Not a number where an input was none or infinite.
    static byte[] cut(WeightForm form, int digits) {
        return new CutCode(form, digits).cut();
    }

    private byte[] cut() {
        code.push(RBX);
        begin();
        int group = code.here();
        largest();
        units();
        words();
        total();
        code.add(R10, Argument.CONSTANTS_STEP.argument());
        code.decrement(RCX);
        code.jumpIfNotZero(group);
        code.pop(RBX);
        code.returnToJava();
        return code.code();
    }

    private void begin() {
        int top = 8 * digits - 2; // the bit that the largest input reaches
        code.constant(width, MAGNITUDE, Integer.MAX_VALUE);
        code.constant(width, CARRIES, CARRY);
        code.constant(width, LEASTS, LEAST + BIAS);
        code.constant(width, INVERSE_EXPONENT, top + 2 * BIAS);
        code.constant(width, UNIT_EXPONENT, top);
        code.constant(width, LARGESTS, LARGEST);
        int middle = 0;
        for (int digit = 0; digit < digits; digit++) {
            middle |= 128 << 8 * digit;
            code.constant(width, VALUES + digit, Float.floatToRawIntBits((1 << 8 * digit) / form.span()));
        }
        code.constant(width, MIDDLE, middle);
        code.load(RAX, Argument.ORDERS.argument());
        code.vector(VMOVUPS_LOAD, Width.BITS_256, PIECE_ORDER, 0, at(RAX));
        code.vector(VMOVUPS_LOAD, Width.BITS_256, BYTE_ORDER, 0, at(RAX, PIECES.length * Integer.BYTES));
        code.load(RSI, Argument.INPUTS.argument());
        code.load(RDX, Argument.DIGITS.argument());
        code.load(R8, Argument.PIECE_STEP.argument());
        code.loadAddress(R8, at(R8, RDX, 1));
        code.load(R10, Argument.CONSTANTS.argument());
        code.load(R11, Argument.DIGIT_STEP.argument());
        code.load(RCX, Argument.GROUPS.argument());
    }

    /// [#MOST], everywhere, the largest magnitude of the group as the bits of a float: not a number is larger than
    /// infinity, and that larger than all numbers.
    private void largest() {
        code.vector(VPXORD, width, MOST, MOST, MOST);
        code.loadAddress(RBX, at(RSI));
        code.load(RAX, Argument.WORDS_PER_GROUP.argument());
        int word = code.here();
        code.vector(VPANDD, width, OTHER, MAGNITUDE, at(RBX));
        code.vector(VPMAXSD, width, MOST, MOST, OTHER);
        code.add(RBX, width.bytes());
        code.decrement(RAX);
        code.jumpIfNotZero(word);
        if (width == Width.BITS_256) {
            code.vector(VEXTRACTI32X4, width, MOST, 0, OTHER, 1);
            code.vector(VPMAXSD, Width.BITS_128, MOST, MOST, OTHER);
        }
        for (int order : new int[] {SWAP_HALVES, SWAP_NEIGHBOURS}) {
            code.vector(VPSHUFD, Width.BITS_128, OTHER, 0, MOST, order);
            code.vector(VPMAXSD, Width.BITS_128, MOST, MOST, OTHER);
        }
        code.vector(VPBROADCASTD, width, MOST, 0, MOST);
    }

    /// The unit, its inverse, and what the digits count for.
    private void units() {
        code.vector(VPSUBD, width, INFINITE, LARGESTS, MOST);
        code.shift(VPSRAD, width, INFINITE, INFINITE, Integer.SIZE - 1);
        code.vector(VPADDD, width, EXPONENT, MOST, CARRIES);
        code.shift(VPSRAD, width, EXPONENT, EXPONENT, FRACTION);
        code.vector(VPMAXSD, width, EXPONENT, EXPONENT, LEASTS);
        code.vector(VPSUBD, width, INVERSE, INVERSE_EXPONENT, EXPONENT);
        code.shift(VPSLLD, width, INVERSE, INVERSE, FRACTION);
        code.vector(VPANDND, width, INVERSE, INFINITE, INVERSE);
        code.vector(VPSUBD, width, UNIT, EXPONENT, UNIT_EXPONENT);
        code.shift(VPSLLD, width, UNIT, UNIT, FRACTION);
        code.vector(VPORD, width, UNIT, UNIT, INFINITE);
        for (int digit = 0; digit < digits; digit++) {
            code.vector(VMULPS, width, OTHER, UNIT, VALUES + digit);
            code.vector(VMOVD_STORE, Width.BITS_128, OTHER, 0, at(R10, digit * Float.BYTES));
        }
    }

    private void words() {
        Width twice = Width.values()[width.ordinal() + 1];
        boolean pieces = DigitCode.pieces(form) > 1;
        code.vector(VPXORD, twice, SUMS, SUMS, SUMS);
        code.load(RAX, Argument.WORDS_PER_GROUP.argument());
        int word = code.here();
        code.vector(VMULPS, width, X, INVERSE, at(RSI));
        code.vector(VCVTPS2DQ, width, X, 0, X);
        code.vector(VCVTDQ2PD, twice, WIDE, 0, X);
        code.vector(VADDPD, twice, SUMS, SUMS, WIDE);
        code.vector(VPADDD, width, X, X, MIDDLE);
        code.vector(VPXORD, width, X, X, MIDDLE);
        if (pieces) {
            code.vector(VPERMD, width, X, PIECE_ORDER, X);
        }
        code.vector(VPSHUFB, width, X, X, BYTE_ORDER);
        store(X, RDX);
        if (pieces) {
            code.vector(VEXTRACTI32X4, width, X, 0, OTHER, 1);
            store(OTHER, R8);
        }
        code.add(RSI, width.bytes());
        code.add(RDX, Argument.WORD_STEP.argument());
        code.add(R8, Argument.WORD_STEP.argument());
        code.decrement(RAX);
        code.jumpIfNotZero(word);
    }

    private void store(int vector, Register to) {
        code.vector(VMOVD_STORE, Width.BITS_128, vector, 0, at(to));
        for (int digit = 1; digit < digits; digit++) {
            code.vector(VPEXTRD, Width.BITS_128, vector, 0, at(to, R11, digit), digit);
        }
    }

    /// The sum of the inputs as they were cut: of whole numbers in float64, which is exact, times the unit.
    private void total() {
        if (width == Width.BITS_256) {
            code.vector(VEXTRACTI64X4, Width.BITS_512, SUMS, 0, WIDE, 1);
            code.vector(VADDPD, Width.BITS_256, SUMS, SUMS, WIDE);
        }
        code.vector(VEXTRACTI32X4, Width.BITS_256, SUMS, 0, WIDE, 1);
        code.vector(VADDPD, Width.BITS_128, SUMS, SUMS, WIDE);
        code.vector(VPSHUFD, Width.BITS_128, WIDE, 0, SUMS, SWAP_HALVES);
        code.vector(VADDPD, Width.BITS_128, SUMS, SUMS, WIDE);
        code.vector(VCVTPS2PD, Width.BITS_128, WIDE, 0, UNIT);
        code.vector(VMULPD, Width.BITS_128, SUMS, SUMS, WIDE);
        code.vector(VCVTPD2PS, Width.BITS_128, SUMS, 0, SUMS);
        code.vector(VMOVD_STORE, Width.BITS_128, SUMS, 0, at(R10, digits * Float.BYTES));
    }
}

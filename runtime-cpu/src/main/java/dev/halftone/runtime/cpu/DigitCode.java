package dev.halftone.runtime.cpu;

import static dev.halftone.runtime.cpu.assembly.Address.at;
import static dev.halftone.runtime.cpu.assembly.Instruction.VADDPD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VCVTDQ2PD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VCVTDQ2PS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VCVTPS2DQ;
import static dev.halftone.runtime.cpu.assembly.Instruction.VFMADD231PS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VFNMADD231PS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVD_STORE;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_LOAD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_STORE;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMULPS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPADDD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPANDD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPBROADCASTD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPDPBUSD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPEXTRD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPMAXSD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPMOVDB;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPRORD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPSHUFB;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPSRAD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPXORD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VSUBPS;
import static dev.halftone.runtime.cpu.assembly.Register.R10;
import static dev.halftone.runtime.cpu.assembly.Register.R11;
import static dev.halftone.runtime.cpu.assembly.Register.R12;
import static dev.halftone.runtime.cpu.assembly.Register.R13;
import static dev.halftone.runtime.cpu.assembly.Register.R14;
import static dev.halftone.runtime.cpu.assembly.Register.R15;
import static dev.halftone.runtime.cpu.assembly.Register.R8;
import static dev.halftone.runtime.cpu.assembly.Register.R9;
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

/// Writes the functions of [DigitKernels]. Each takes the address of its arguments, of 64 bits each, in the order of
/// the enums here.
///
/// The digits of a word's inputs lie in as many pieces of 32 bits as [#pieces] says, one after the other: bytes 0, 2, 4
/// and 6, then 1, 3, 5 and 7 of 4-bit codes, which are the ones that one mask leaves of a word.
final class DigitCode {
    /// Digits of an input.
    static final int DIGITS = 3;

    /// Most rows of one pass over the weights: their sums fill the registers.
    static final int ROWS = 8;

    /// Floats of one group and row: what each digit counts for, the lowest first, and the sum of the inputs.
    static final int CONSTANTS = DIGITS + 1;

    enum Product {
        WORDS,
        STRIP_STEP,
        FACTORS,
        FACTOR_STEP,
        CENTRES,
        CENTRE_STEP,
        CENTRE_GROUP_STEP,
        DIGITS,
        CONSTANTS,
        WORDS_PER_GROUP,
        GROUPS,
        BIAS,
        BIAS_STEP,
        RESULT,
        RESULT_STEP,
        RESULT_ROW,
        COUNT;

        Address argument() {
            return at(RDI, Long.BYTES * ordinal());
        }
    }

    enum Row {
        INPUTS,
        INVERSES,
        DIGITS,
        WORD_STEP,
        PIECE_STEP,
        DIGIT_STEP,
        WORDS_PER_GROUP,
        GROUPS,
        RESULT,
        ORDER,
        COUNT;

        Address argument() {
            return at(RDI, Long.BYTES * ordinal());
        }
    }

    /// Cache lines of each strip that are asked for before their turn. Without it, what waits for memory fills the
    /// queues of the core before enough lines are on their way.
    static final int AHEAD = 32;

    /// Groups before their turn at which factors and centres are asked for: one line of each a group.
    private static final int GROUPS_AHEAD = 2;

    private static final Width WIDE = Width.BITS_512;
    private static final int LINE = Width.BITS_512.bytes();
    private static final int MASK = 31;
    private static final int ONE = 30;

    private final Assembler code = new Assembler();
    private final WeightForm form;

    private DigitCode(WeightForm form) {
        this.form = form;
    }

    /// Pieces of 32 bits that one digit of the inputs of one word takes.
    static int pieces(WeightForm form) {
        return form.fields / Integer.BYTES;
    }

    /// Strips that are read side by side, far apart, so that several streams come from memory; as many as there are
    /// registers for the sums.
    static int strips(int rows) {
        return rows == 1 ? 4 : rows <= 4 ? 2 : 1;
    }

    /// `result = bias + sum over groups of factor * (sum of (f - centre) * x)` for some rows and strips; see
    /// [PackedWeight] for the algebra. The sums of codes times digits are exact.
    static byte[] product(WeightForm form, int rows, int strips) {
        return new DigitCode(form).product(rows, strips);
    }

    private byte[] product(int rows, int strips) {
        // Sums first; then for each strip the codes in work, whose place its centre takes at the end of a group.
        int codes = rows * DIGITS * strips;
        int spare = codes + strips;
        Register[] saved = {RBX, R12, R13, R14, R15};
        for (Register register : saved) {
            code.push(register);
        }
        code.constant(WIDE, MASK, 0x0F0F_0F0F);
        code.constant(WIDE, ONE, Float.floatToRawIntBits(1));
        begin(rows, strips);
        code.load(RSI, Product.WORDS.argument());
        code.load(RDX, Product.STRIP_STEP.argument());
        code.loadAddress(RCX, at(RDX, RDX, 2));
        code.load(R8, Product.FACTORS.argument());
        code.load(R9, Product.CENTRES.argument());
        code.load(R10, Product.DIGITS.argument());
        code.load(R11, Product.CONSTANTS.argument());
        code.load(RBX, Product.GROUPS.argument());
        int group = code.here();
        for (int sum = 0; sum < codes; sum++) {
            code.vector(VPXORD, WIDE, sum, sum, sum);
        }
        askForCells(R8, Product.FACTOR_STEP, strips);
        askForCells(R9, Product.CENTRE_STEP, strips);
        code.load(RAX, Product.WORDS_PER_GROUP.argument());
        int word = code.here();
        for (int strip = 0; strip < strips; strip++) {
            Address words = strip(RSI, RDX, RCX, strip);
            code.prefetch(new Address(words.base(), words.index(), words.scale(), AHEAD * LINE));
        }
        for (int piece = 0; piece < pieces(form); piece++) {
            for (int strip = 0; strip < strips; strip++) {
                Address words = strip(RSI, RDX, RCX, strip);
                code.shift(VPRORD, WIDE, codes + strip, words, form.shift() + piece * form.bits);
                if (pieces(form) > 1) {
                    code.vector(VPANDD, WIDE, codes + strip, codes + strip, MASK);
                }
            }
            for (int i = 0; i < rows * DIGITS; i++) {
                multiply(i, piece * rows * DIGITS + i, strips, codes, spare);
            }
        }
        code.add(RSI, LINE);
        code.add(R10, pieces(form) * rows * DIGITS * Integer.BYTES);
        code.decrement(RAX);
        code.jumpIfNotZero(word);
        endGroup(rows, strips, codes, spare);
        code.add(R8, LINE);
        code.add(R9, Product.CENTRE_GROUP_STEP.argument());
        code.add(R11, rows * CONSTANTS * Float.BYTES);
        code.decrement(RBX);
        code.jumpIfNotZero(group);
        for (int i = saved.length - 1; i >= 0; i--) {
            code.pop(saved[i]);
        }
        code.returnToJava();
        return code.code();
    }

    /// @param cells of this group
    private void askForCells(Register cells, Product step, int strips) {
        code.load(R12, step.argument());
        code.loadAddress(R13, at(R12, R12, 2));
        for (int strip = 0; strip < strips; strip++) {
            Address address = strip(cells, R12, R13, strip);
            code.prefetch(new Address(address.base(), address.index(), address.scale(), GROUPS_AHEAD * LINE));
        }
    }

    /// @param threeSteps thrice `step`
    static Address strip(Register base, Register step, Register threeSteps, int strip) {
        return switch (strip) {
            case 0 -> at(base);
            case 3 -> at(base, threeSteps, 1);
            default -> at(base, step, strip);
        };
    }

    /// The results begin with the bias.
    private void begin(int rows, int strips) {
        code.load(R12, Product.BIAS.argument());
        code.load(R13, Product.BIAS_STEP.argument());
        code.loadAddress(R14, at(R13, R13, 2));
        for (int strip = 0; strip < strips; strip++) {
            code.vector(VMOVUPS_LOAD, WIDE, strip, 0, strip(R12, R13, R14, strip));
        }
        code.load(RAX, Product.RESULT.argument());
        code.load(R13, Product.RESULT_STEP.argument());
        code.loadAddress(R14, at(R13, R13, 2));
        for (int row = 0; row < rows; row++) {
            for (int strip = 0; strip < strips; strip++) {
                code.vector(VMOVUPS_STORE, WIDE, strip, 0, strip(RAX, R13, R14, strip));
            }
            code.add(RAX, Product.RESULT_ROW.argument());
        }
    }

    /// One digit of one row's four inputs times the codes of every strip.
    private void multiply(int digit, int place, int strips, int codes, int spare) {
        Address inputs = at(R10, place * Integer.BYTES);
        if (strips == 1) {
            code.broadcast(VPDPBUSD, WIDE, digit, codes, inputs);
            return;
        }
        code.vector(VPBROADCASTD, WIDE, spare, 0, inputs);
        for (int strip = 0; strip < strips; strip++) {
            code.vector(VPDPBUSD, WIDE, digit * strips + strip, codes + strip, spare);
        }
    }

    private void endGroup(int rows, int strips, int codes, int spare) {
        code.load(R12, Product.CENTRE_STEP.argument());
        code.loadAddress(R13, at(R12, R12, 2));
        for (int strip = 0; strip < strips; strip++) {
            code.vector(VMOVUPS_LOAD, WIDE, codes + strip, 0, strip(R9, R12, R13, strip));
            code.vector(VSUBPS, WIDE, codes + strip, codes + strip, ONE);
        }
        code.load(R12, Product.FACTOR_STEP.argument());
        code.loadAddress(R13, at(R12, R12, 2));
        code.load(R14, Product.RESULT_STEP.argument());
        code.loadAddress(R15, at(R14, R14, 2));
        code.load(RAX, Product.RESULT.argument());
        for (int row = 0; row < rows; row++) {
            int constants = row * CONSTANTS * Float.BYTES;
            for (int strip = 0; strip < strips; strip++) {
                int first = row * DIGITS * strips + strip;
                for (int digit = 0; digit < DIGITS; digit++) {
                    int sum = first + digit * strips;
                    Address value = at(R11, constants + digit * Float.BYTES);
                    code.vector(VCVTDQ2PS, WIDE, sum, 0, sum);
                    if (digit == 0) {
                        code.broadcast(VMULPS, WIDE, first, first, value);
                    } else {
                        code.broadcast(VFMADD231PS, WIDE, first, sum, value);
                    }
                }
                Address total = at(R11, constants + DIGITS * Float.BYTES);
                code.broadcast(VFNMADD231PS, WIDE, first, codes + strip, total);
                code.vector(VMOVUPS_LOAD, WIDE, spare, 0, strip(RAX, R14, R15, strip));
                code.vector(VFMADD231PS, WIDE, spare, first, strip(R8, R12, R13, strip));
                code.vector(VMOVUPS_STORE, WIDE, spare, 0, strip(RAX, R14, R15, strip));
            }
            code.add(RAX, Product.RESULT_ROW.argument());
        }
    }

    /// Vectors of a word's inputs, as 32-bit numbers.
    static Width width(WeightForm form) {
        return form == WeightForm.CODES4 ? Width.BITS_256 : Width.BITS_128;
    }

    /// `result[group][field] = the largest |x|` as the bits of a float: not a number is larger than infinity, and that
    /// larger than all numbers.
    static byte[] largest(WeightForm form) {
        return new DigitCode(form).largest();
    }

    private byte[] largest() {
        Width width = width(form);
        int largest = 0;
        int x = 1;
        code.constant(width, MASK, 0x7FFF_FFFF);
        code.load(RSI, Row.INPUTS.argument());
        code.load(RDX, Row.RESULT.argument());
        code.load(RCX, Row.GROUPS.argument());
        int group = code.here();
        code.vector(VPXORD, width, largest, largest, largest);
        code.load(RAX, Row.WORDS_PER_GROUP.argument());
        int word = code.here();
        code.vector(VPANDD, width, x, MASK, at(RSI));
        code.vector(VPMAXSD, width, largest, largest, x);
        code.add(RSI, width.bytes());
        code.decrement(RAX);
        code.jumpIfNotZero(word);
        code.vector(VMOVUPS_STORE, width, largest, 0, at(RDX));
        code.add(RDX, width.bytes());
        code.decrement(RCX);
        code.jumpIfNotZero(group);
        code.returnToJava();
        return code.code();
    }

    /// Cuts the inputs of one row, times the inverse of their group's, rounded, into signed digits of eight bits.
    /// `result[group][field]` are sums of what was cut, in float64: exact.
    static byte[] cut(WeightForm form) {
        return new DigitCode(form).cut();
    }

    private byte[] cut() {
        Width width = width(form);
        Width twice = Width.values()[width.ordinal() + 1];
        int sums = 0;
        int inverse = 1;
        int x = 2;
        int bytes = 3;
        int order = 4;
        // Half of a digit's range, so that shifting rounds to the nearest: what is left is a signed byte.
        code.constant(width, MASK, 128);
        code.load(RSI, Row.INPUTS.argument());
        code.load(RDX, Row.DIGITS.argument());
        code.load(R8, Row.PIECE_STEP.argument());
        code.loadAddress(R8, at(R8, RDX, 1)); // digits of the second piece
        code.load(R9, Row.INVERSES.argument());
        code.load(R10, Row.RESULT.argument());
        code.load(RCX, Row.GROUPS.argument());
        if (pieces(form) > 1) {
            code.load(R11, Row.ORDER.argument());
            code.vector(VMOVUPS_LOAD, Width.BITS_128, order, 0, at(R11));
        }
        code.load(R11, Row.DIGIT_STEP.argument());
        int group = code.here();
        code.vector(VPXORD, twice, sums, sums, sums);
        code.vector(VPBROADCASTD, width, inverse, 0, at(R9));
        code.load(RAX, Row.WORDS_PER_GROUP.argument());
        int word = code.here();
        code.vector(VMULPS, width, x, inverse, at(RSI));
        code.vector(VCVTPS2DQ, width, x, 0, x);
        code.vector(VCVTDQ2PD, twice, bytes, 0, x);
        code.vector(VADDPD, twice, sums, sums, bytes);
        for (int digit = 0; digit < DIGITS; digit++) {
            code.vector(VPMOVDB, width, x, 0, bytes);
            if (pieces(form) > 1) {
                code.vector(VPSHUFB, Width.BITS_128, bytes, bytes, order);
                code.vector(VPEXTRD, Width.BITS_128, bytes, 0, digit(R8, digit), 1);
            }
            code.vector(VMOVD_STORE, Width.BITS_128, bytes, 0, digit(RDX, digit));
            if (digit + 1 < DIGITS) {
                code.vector(VPADDD, width, x, x, MASK);
                code.shift(VPSRAD, width, x, x, 8);
            }
        }
        code.add(RSI, width.bytes());
        code.add(RDX, Row.WORD_STEP.argument());
        code.add(R8, Row.WORD_STEP.argument());
        code.decrement(RAX);
        code.jumpIfNotZero(word);
        code.vector(VMOVUPS_STORE, twice, sums, 0, at(R10));
        code.add(R10, twice.bytes());
        code.add(R9, Float.BYTES);
        code.decrement(RCX);
        code.jumpIfNotZero(group);
        code.returnToJava();
        return code.code();
    }

    private static Address digit(Register first, int digit) {
        return digit == 0 ? at(first) : at(first, R11, digit);
    }
}

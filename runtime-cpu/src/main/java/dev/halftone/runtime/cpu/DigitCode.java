package dev.halftone.runtime.cpu;

import static dev.halftone.runtime.cpu.assembly.Address.at;
import static dev.halftone.runtime.cpu.assembly.Instruction.VCVTDQ2PS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VFMADD231PS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VFNMADD231PS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_LOAD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_STORE;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMULPS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPANDD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPBROADCASTD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPDPBUSD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPRORD;
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
}

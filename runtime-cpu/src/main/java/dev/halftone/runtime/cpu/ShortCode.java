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
import dev.halftone.runtime.cpu.assembly.Width;

/// Writes the functions of [ShortKernels]: a register tile of rows whose inputs are whole numbers of two digits of
/// eight bits, by strips of codes that were unpacked to bytes.
///
/// Unpacked, a strip is a line for each piece of each word, see [DigitCode]. Digits of a block of rows lie as
/// `[words][pieces][rows][DIGITS]` in words of four bytes.
final class ShortCode {
    /// Digits of an input.
    static final int DIGITS = 2;

    /// Most rows of a tile: with two strips, as many sums as leave registers for both factors.
    static final int ROWS = 6;

    static final int STRIPS = 2;

    /// Floats of one group and row, see [CutCode#cut].
    static final int CONSTANTS = DIGITS + 1;

    enum Argument {
        CODES,
        CODES_STEP,
        DIGITS,
        PIECES_PER_GROUP,
        CONSTANTS,
        FACTORS,
        FACTOR_STEP,
        CENTRES,
        CENTRE_STEP,
        CENTRE_GROUP_STEP,
        GROUPS,
        BIAS,
        RESULT,
        RESULT_ROW,
        COUNT;

        Address argument() {
            return at(RDI, Long.BYTES * ordinal());
        }
    }

    enum Unpacking {
        WORDS,
        COUNT_OF_WORDS,
        LINES,
        COUNT;

        Address argument() {
            return at(RDI, Long.BYTES * ordinal());
        }
    }

    private static final Width WIDE = Width.BITS_512;
    private static final int LINE = WIDE.bytes();

    // Vectors: sums first, row by row, of each row digit by digit, of each digit strip by strip.
    private static final int CODES = ROWS * DIGITS * STRIPS; // their centres at the end of a group
    private static final int INPUTS = CODES + STRIPS; // several in turn, so that rows overlap; later factors, results
    private static final int INPUT_REGISTERS = 4;
    private static final int ONE = 31;
    private static final int MASK = 31;

    private final Assembler code = new Assembler();

    private ShortCode() {}

    /// The codes of a strip, or of some of its words, as bytes.
    static byte[] unpack(WeightForm form) {
        Assembler code = new Assembler();
        code.constant(WIDE, MASK, 0x0F0F_0F0F);
        code.load(RSI, Unpacking.WORDS.argument());
        code.load(RDX, Unpacking.LINES.argument());
        code.load(RAX, Unpacking.COUNT_OF_WORDS.argument());
        int pieces = DigitCode.pieces(form);
        int word = code.here();
        for (int piece = 0; piece < pieces; piece++) {
            code.shift(VPRORD, WIDE, piece, at(RSI), form.shift() + piece * form.bits);
            if (pieces > 1) {
                code.vector(VPANDD, WIDE, piece, piece, MASK);
            }
            code.vector(VMOVUPS_STORE, WIDE, piece, 0, at(RDX, piece * LINE));
        }
        code.add(RSI, LINE);
        code.add(RDX, pieces * LINE);
        code.decrement(RAX);
        code.jumpIfNotZero(word);
        code.returnToJava();
        return code.code();
    }

    /// `result = bias + sum over groups of factor * (sum of (f - centre) * x)`, as [DigitCode#product].
    ///
    /// @param rows   1 to [#ROWS]
    /// @param strips 1 to [#STRIPS], side by side in the result
    static byte[] tile(int rows, int strips) {
        return new ShortCode().product(rows, strips);
    }

    private byte[] product(int rows, int strips) {
        code.push(RBX);
        code.constant(WIDE, ONE, Float.floatToRawIntBits(1));
        begin(rows, strips);
        code.load(RSI, Argument.CODES.argument());
        code.load(RDX, Argument.CODES_STEP.argument());
        code.load(R10, Argument.DIGITS.argument());
        code.load(R11, Argument.CONSTANTS.argument());
        code.load(R8, Argument.FACTORS.argument());
        code.load(R9, Argument.CENTRES.argument());
        code.load(RBX, Argument.GROUPS.argument());
        int group = code.here();
        for (int sum = 0; sum < rows * DIGITS * strips; sum++) {
            code.vector(VPXORD, WIDE, sum, sum, sum);
        }
        code.load(RAX, Argument.PIECES_PER_GROUP.argument());
        int piece = code.here();
        for (int strip = 0; strip < strips; strip++) {
            code.vector(VMOVUPS_LOAD, WIDE, CODES + strip, 0, strip == 0 ? at(RSI) : at(RSI, RDX, 1));
        }
        for (int i = 0; i < rows * DIGITS; i++) {
            int inputs = INPUTS + i % INPUT_REGISTERS;
            code.vector(VPBROADCASTD, WIDE, inputs, 0, at(R10, i * Integer.BYTES));
            for (int strip = 0; strip < strips; strip++) {
                code.vector(VPDPBUSD, WIDE, i * strips + strip, CODES + strip, inputs);
            }
        }
        code.add(RSI, LINE);
        code.add(R10, rows * DIGITS * Integer.BYTES);
        code.decrement(RAX);
        code.jumpIfNotZero(piece);
        endGroup(rows, strips);
        code.add(R8, LINE);
        code.add(R9, Argument.CENTRE_GROUP_STEP.argument());
        code.add(R11, rows * CONSTANTS * Float.BYTES);
        code.decrement(RBX);
        code.jumpIfNotZero(group);
        code.pop(RBX);
        code.returnToJava();
        return code.code();
    }

    /// The results begin with the bias.
    private void begin(int rows, int strips) {
        code.load(RAX, Argument.BIAS.argument());
        for (int strip = 0; strip < strips; strip++) {
            code.vector(VMOVUPS_LOAD, WIDE, strip, 0, at(RAX, strip * LINE));
        }
        code.load(RAX, Argument.RESULT.argument());
        for (int row = 0; row < rows; row++) {
            for (int strip = 0; strip < strips; strip++) {
                code.vector(VMOVUPS_STORE, WIDE, strip, 0, at(RAX, strip * LINE));
            }
            code.add(RAX, Argument.RESULT_ROW.argument());
        }
    }

    private void endGroup(int rows, int strips) {
        int factors = INPUTS;
        int results = INPUTS + STRIPS;
        code.load(RAX, Argument.CENTRE_STEP.argument());
        code.load(RCX, Argument.FACTOR_STEP.argument());
        for (int strip = 0; strip < strips; strip++) {
            int centre = CODES + strip;
            code.vector(VMOVUPS_LOAD, WIDE, centre, 0, strip == 0 ? at(R9) : at(R9, RAX, 1));
            code.vector(VSUBPS, WIDE, centre, centre, ONE);
            code.vector(VMOVUPS_LOAD, WIDE, factors + strip, 0, strip == 0 ? at(R8) : at(R8, RCX, 1));
        }
        code.load(RAX, Argument.RESULT.argument());
        for (int row = 0; row < rows; row++) {
            int constants = row * CONSTANTS * Float.BYTES;
            for (int strip = 0; strip < strips; strip++) {
                int first = row * DIGITS * strips + strip;
                int second = first + strips;
                int result = results + strip;
                code.vector(VCVTDQ2PS, WIDE, first, 0, first);
                code.vector(VCVTDQ2PS, WIDE, second, 0, second);
                code.broadcast(VMULPS, WIDE, first, first, at(R11, constants));
                code.broadcast(VFMADD231PS, WIDE, first, second, at(R11, constants + Float.BYTES));
                code.broadcast(VFNMADD231PS, WIDE, first, CODES + strip, at(R11, constants + DIGITS * Float.BYTES));
                code.vector(VMOVUPS_LOAD, WIDE, result, 0, at(RAX, strip * LINE));
                code.vector(VFMADD231PS, WIDE, result, first, factors + strip);
                code.vector(VMOVUPS_STORE, WIDE, result, 0, at(RAX, strip * LINE));
            }
            code.add(RAX, Argument.RESULT_ROW.argument());
        }
    }
}

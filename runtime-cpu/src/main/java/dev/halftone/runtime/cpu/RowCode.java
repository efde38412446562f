package dev.halftone.runtime.cpu;

import static dev.halftone.runtime.cpu.assembly.Address.at;
import static dev.halftone.runtime.cpu.assembly.Instruction.VFMADD231PS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_LOAD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_STORE;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPANDD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPBROADCASTD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPDPBUSD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPRORD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPSLLD;
import static dev.halftone.runtime.cpu.assembly.Register.R10;
import static dev.halftone.runtime.cpu.assembly.Register.R11;
import static dev.halftone.runtime.cpu.assembly.Register.R8;
import static dev.halftone.runtime.cpu.assembly.Register.R9;
import static dev.halftone.runtime.cpu.assembly.Register.RAX;
import static dev.halftone.runtime.cpu.assembly.Register.RCX;
import static dev.halftone.runtime.cpu.assembly.Register.RDI;
import static dev.halftone.runtime.cpu.assembly.Register.RDX;
import static dev.halftone.runtime.cpu.assembly.Register.RSI;

import dev.halftone.runtime.cpu.assembly.Address;
import dev.halftone.runtime.cpu.assembly.Assembler;
import dev.halftone.runtime.cpu.assembly.Instruction;
import dev.halftone.runtime.cpu.assembly.Register;
import dev.halftone.runtime.cpu.assembly.Width;

/// Writes the functions of [RowProducts], for weights without groups.
final class RowCode {
    /// Most rows of one pass over the weights.
    static final int ROWS = 8;

    enum Argument {
        WORDS,
        STRIP_STEP,
        WORDS_PER_STRIP,
        INPUTS,
        STARTS,
        RESULT,
        RESULT_STEP,
        RESULT_ROW,
        COUNT;

        Address argument() {
            return at(RDI, Long.BYTES * ordinal());
        }
    }

    private static final Width WIDE = Width.BITS_512;
    private static final int MASK = 31;

    private final Assembler code = new Assembler();
    private final int rows;
    private final int strips;
    private final int weights; // registers, one of each strip, behind the sums
    private final int input; // the register behind these

    private RowCode(int rows, int strips) {
        this.rows = rows;
        this.strips = strips;
        weights = rows * strips;
        input = weights + strips;
    }

    /// Strips that are read side by side, as [DigitCode#strips]: as many as there are registers for the sums.
    static int strips(int rows) {
        return rows <= 6 ? 4 : 2;
    }

    /// `result[row][strip] = starts[row] + sum of code * input`, in 32 bits that wrap: 8-bit codes, and of inputs four
    /// signed bytes of each row side by side.
    static byte[] bytes(int rows, int strips) {
        return new RowCode(rows, strips).bytes();
    }

    private byte[] bytes() {
        code.load(R11, Argument.STARTS.argument());
        for (int sum = 0; sum < weights; sum++) {
            code.vector(VPBROADCASTD, WIDE, sum, 0, at(R11, sum / strips * Integer.BYTES));
        }
        int word = beginWords();
        for (int strip = 0; strip < strips; strip++) {
            code.shift(VPRORD, WIDE, weights + strip, words(strip), WeightForm.CODES8.shift());
        }
        multiply(VPDPBUSD, 0);
        endWords(word, 1);
        return code.code();
    }

    /// `result[row][strip] = starts[strip] + sum of weight * input`, in the order of the inputs: bfloat16, and of
    /// inputs
    /// the first of a word of each row side by side, then the second.
    static byte[] bFloat16(int rows, int strips) {
        return new RowCode(rows, strips).bFloat16();
    }

    private byte[] bFloat16() {
        code.constant(WIDE, MASK, 0xFFFF_0000);
        code.load(R11, Argument.STARTS.argument());
        code.load(RDX, Argument.RESULT_STEP.argument());
        code.loadAddress(RCX, at(RDX, RDX, 2));
        for (int sum = 0; sum < weights; sum++) {
            code.vector(VMOVUPS_LOAD, WIDE, sum, 0, DigitCode.strip(R11, RDX, RCX, sum % strips));
        }
        int word = beginWords();
        for (int strip = 0; strip < strips; strip++) {
            code.shift(VPSLLD, WIDE, weights + strip, words(strip), Short.SIZE);
        }
        multiply(VFMADD231PS, 0);
        for (int strip = 0; strip < strips; strip++) {
            code.vector(VPANDD, WIDE, weights + strip, MASK, words(strip));
        }
        multiply(VFMADD231PS, 1);
        endWords(word, 2);
        return code.code();
    }

    private Address words(int strip) {
        return DigitCode.strip(RSI, RDX, RCX, strip);
    }

    /// @return where the loop begins
    private int beginWords() {
        code.load(RSI, Argument.WORDS.argument());
        code.load(RDX, Argument.STRIP_STEP.argument());
        code.loadAddress(RCX, at(RDX, RDX, 2));
        code.load(R10, Argument.INPUTS.argument());
        code.load(RAX, Argument.WORDS_PER_STRIP.argument());
        int word = code.here();
        for (int strip = 0; strip < strips; strip++) {
            Address words = words(strip);
            code.prefetch(new Address(words.base(), words.index(), words.scale(), DigitCode.AHEAD * WIDE.bytes()));
        }
        return word;
    }

    /// @param piece of the inputs of a word, 32 bits of every row
    private void multiply(Instruction instruction, int piece) {
        for (int row = 0; row < rows; row++) {
            code.vector(VPBROADCASTD, WIDE, input, 0, at(R10, (piece * rows + row) * Integer.BYTES));
            for (int strip = 0; strip < strips; strip++) {
                code.vector(instruction, WIDE, row * strips + strip, weights + strip, input);
            }
        }
    }

    private void endWords(int word, int pieces) {
        code.add(RSI, WIDE.bytes());
        code.add(R10, pieces * rows * Integer.BYTES);
        code.decrement(RAX);
        code.jumpIfNotZero(word);
        Register step = RDX;
        Register threeSteps = R9;
        code.load(R8, Argument.RESULT.argument());
        code.load(step, Argument.RESULT_STEP.argument());
        code.loadAddress(threeSteps, at(step, step, 2));
        for (int row = 0; row < rows; row++) {
            for (int strip = 0; strip < strips; strip++) {
                Address result = DigitCode.strip(R8, step, threeSteps, strip);
                code.vector(VMOVUPS_STORE, WIDE, row * strips + strip, 0, result);
            }
            code.add(R8, Argument.RESULT_ROW.argument());
        }
        code.returnToJava();
    }
}

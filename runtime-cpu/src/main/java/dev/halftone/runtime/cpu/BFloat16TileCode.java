package dev.halftone.runtime.cpu;

import static dev.halftone.runtime.cpu.assembly.Address.at;
import static dev.halftone.runtime.cpu.assembly.Instruction.VADDPS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VCVTNE2PS2BF16;
import static dev.halftone.runtime.cpu.assembly.Instruction.VFMADD213PS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMAXPS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_LOAD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_STORE;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPBROADCASTD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPERMW;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPUNPCKHDQ;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPUNPCKHQDQ;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPUNPCKLDQ;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPUNPCKLQDQ;
import static dev.halftone.runtime.cpu.assembly.Instruction.VRNDSCALEPS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VSCALEFPS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VSHUFI32X4;
import static dev.halftone.runtime.cpu.assembly.Instruction.VSUBPS;
import static dev.halftone.runtime.cpu.assembly.Register.R10;
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

/// Writes the functions of [BFloat16Tiles].
final class BFloat16TileCode {
    /// Inputs of one step: what a row of a tile holds.
    static final int INPUTS = TileCode.ROW_BYTES / Short.BYTES;

    private static final int ROWS = TileCode.ROWS;
    private static final int LEFT_STEP = TileCode.LEFT_STEP;

    enum Softmax {
        SCORES,
        SCORE_ROW,
        STEPS,
        WEIGHTS,
        RESULTS,
        FACTOR,
        SHIFTS,
        COUNT;

        Address argument() {
            return at(RDI, Long.BYTES * ordinal());
        }
    }

    enum Copy {
        SOURCE,
        SOURCE_ROW,
        SOURCE_STEP,
        DESTINATION,
        DESTINATION_STEP,
        STEPS,
        ORDER,
        COUNT;

        Address argument() {
            return at(RDI, Long.BYTES * ordinal());
        }
    }

    private static final Width WIDE = Width.BITS_512;
    private static final int LINE = WIDE.bytes();

    /// Rows of a square that is turned.
    private static final int SQUARE = 16;

    /// `2^r` for `|r| <= 1/2` within 4e-6 of it: the polynomial through it at Chebyshev's five points, constant first.
    private static final float[] POWER_OF_TWO = {1f, 0.693121f, 0.2402235f, 0.055921976f, 0.009666368f};

    /// What is smaller, relative to the largest weight, becomes a power of two that counts for nothing but is normal.
    private static final float LOWEST = -120;

    private BFloat16TileCode() {}

    /// `result = max(result, score)` of [#ROWS] rows, for each a vector of results.
    static byte[] maxima() {
        Assembler code = new Assembler();
        code.push(RBX);
        code.load(RSI, Softmax.SCORES.argument());
        code.load(R9, Softmax.RESULTS.argument());
        code.constant(RBX, ROWS);
        int row = code.here();
        code.loadAddress(RAX, at(RSI));
        code.load(RCX, Softmax.STEPS.argument());
        code.vector(VMOVUPS_LOAD, WIDE, 0, 0, at(R9));
        code.vector(VMOVUPS_LOAD, WIDE, 1, 0, 0);
        int step = code.here();
        // In this order what is no number is passed over: its exponential is none either.
        code.vector(VMOVUPS_LOAD, WIDE, 2, 0, at(RAX));
        code.vector(VMOVUPS_LOAD, WIDE, 3, 0, at(RAX, LINE));
        code.vector(VMAXPS, WIDE, 0, 2, 0);
        code.vector(VMAXPS, WIDE, 1, 3, 1);
        code.add(RAX, 2 * LINE);
        code.decrement(RCX);
        code.jumpIfNotZero(step);
        code.vector(VMAXPS, WIDE, 0, 0, 1);
        code.vector(VMOVUPS_STORE, WIDE, 0, 0, at(R9));
        code.add(R9, LINE);
        code.add(RSI, Softmax.SCORE_ROW.argument());
        code.decrement(RBX);
        code.jumpIfNotZero(row);
        code.pop(RBX);
        code.returnToJava();
        return code.code();
    }

    /// `weights = 2^(factor · score + shift)` of [#ROWS] rows, rounded into the left side of a product, and for each a
    /// vector of results to which they are added before that.
    static byte[] exponentials() {
        int lowest = 31;
        int factor = 30;
        int shift = 29;
        int sums = 28;
        int constants = 20;
        Assembler code = new Assembler();
        code.push(RBX);
        code.constant(WIDE, lowest, Float.floatToRawIntBits(LOWEST));
        for (int i = 0; i < POWER_OF_TWO.length; i++) {
            code.constant(WIDE, constants + i, Float.floatToRawIntBits(POWER_OF_TWO[i]));
        }
        code.vector(VPBROADCASTD, WIDE, factor, 0, Softmax.FACTOR.argument());
        code.load(RSI, Softmax.SCORES.argument());
        code.load(R8, Softmax.WEIGHTS.argument());
        code.load(R9, Softmax.RESULTS.argument());
        code.load(R10, Softmax.SHIFTS.argument());
        code.constant(RBX, ROWS);
        int row = code.here();
        code.loadAddress(RAX, at(RSI));
        code.loadAddress(RDX, at(R8));
        code.load(RCX, Softmax.STEPS.argument());
        code.vector(VPBROADCASTD, WIDE, shift, 0, at(R10));
        code.vector(VMOVUPS_LOAD, WIDE, sums, 0, at(R9));
        int step = code.here();
        for (int half = 0; half < 2; half++) {
            int power = 4 * half;
            int rest = power + 1;
            int value = power + 2;
            int whole = power + 3;
            code.vector(VMOVUPS_LOAD, WIDE, power, 0, at(RAX, half * LINE));
            code.vector(VFMADD213PS, WIDE, power, factor, shift);
            // In this order what is no number stays so.
            code.vector(VMAXPS, WIDE, power, lowest, power);
            code.vector(VRNDSCALEPS, WIDE, whole, 0, power, 0);
            code.vector(VSUBPS, WIDE, rest, power, whole);
            code.vector(VMOVUPS_LOAD, WIDE, value, 0, constants + POWER_OF_TWO.length - 1);
            for (int i = POWER_OF_TWO.length - 2; i >= 0; i--) {
                code.vector(VFMADD213PS, WIDE, value, rest, constants + i);
            }
            code.vector(VSCALEFPS, WIDE, value, value, whole);
            code.vector(VADDPS, WIDE, sums, sums, value);
        }
        code.vector(VCVTNE2PS2BF16, WIDE, 0, 6, 2);
        code.vector(VMOVUPS_STORE, WIDE, 0, 0, at(RDX));
        code.add(RAX, 2 * LINE);
        code.add(RDX, LEFT_STEP);
        code.decrement(RCX);
        code.jumpIfNotZero(step);
        code.vector(VMOVUPS_STORE, WIDE, sums, 0, at(R9));
        code.add(R8, LINE);
        code.add(R9, LINE);
        code.add(R10, Float.BYTES);
        code.add(RSI, Softmax.SCORE_ROW.argument());
        code.decrement(RBX);
        code.jumpIfNotZero(row);
        code.pop(RBX);
        code.returnToJava();
        return code.code();
    }

    /// Two vectors of floats, rounded, one behind the other or by turns, for each step.
    static byte[] round(boolean byTurns) {
        Assembler code = new Assembler();
        if (byTurns) {
            code.load(RAX, Copy.ORDER.argument());
            code.vector(VMOVUPS_LOAD, WIDE, 31, 0, at(RAX));
        }
        code.load(RSI, Copy.SOURCE.argument());
        code.load(R8, Copy.SOURCE_ROW.argument());
        code.load(RDX, Copy.DESTINATION.argument());
        code.load(RCX, Copy.STEPS.argument());
        int step = code.here();
        code.vector(VMOVUPS_LOAD, WIDE, 1, 0, at(RSI, R8, 1));
        code.vector(VCVTNE2PS2BF16, WIDE, 0, 1, at(RSI));
        if (byTurns) {
            code.vector(VPERMW, WIDE, 0, 31, 0);
        }
        code.vector(VMOVUPS_STORE, WIDE, 0, 0, at(RDX));
        code.add(RSI, Copy.SOURCE_STEP.argument());
        code.add(RDX, Copy.DESTINATION_STEP.argument());
        code.decrement(RCX);
        code.jumpIfNotZero(step);
        code.returnToJava();
        return code.code();
    }

    /// Squares of sixteen words, their rows to columns.
    static byte[] transpose() {
        Assembler code = new Assembler();
        code.load(RSI, Copy.SOURCE.argument());
        code.load(R8, Copy.SOURCE_ROW.argument());
        code.load(RDX, Copy.DESTINATION.argument());
        code.load(RCX, Copy.STEPS.argument());
        int step = code.here();
        code.loadAddress(RAX, at(RSI));
        for (int row = 0; row < SQUARE; row++) {
            code.vector(VMOVUPS_LOAD, WIDE, row, 0, at(RAX));
            if (row + 1 < SQUARE) {
                code.loadAddress(RAX, at(RAX, R8, 1));
            }
        }
        int other = SQUARE;
        // Words of two rows by turns, then of four: register 4g + j holds, in its part L of 128 bits, column 4L + j of
        // the rows from 4g on.
        for (int i = 0; i < SQUARE; i += 2) {
            code.vector(VPUNPCKLDQ, WIDE, other + i, i, i + 1);
            code.vector(VPUNPCKHDQ, WIDE, other + i + 1, i, i + 1);
        }
        for (int i = 0; i < SQUARE; i += 4) {
            for (int j = 0; j < 2; j++) {
                code.vector(VPUNPCKLQDQ, WIDE, i + 2 * j, other + i + j, other + i + j + 2);
                code.vector(VPUNPCKHQDQ, WIDE, i + 2 * j + 1, other + i + j, other + i + j + 2);
            }
        }
        // Parts 0 and 2 of both sources, or 1 and 3.
        int even = 0x88;
        int odd = 0xDD;
        for (int j = 0; j < 4; j++) {
            for (int half = 0; half < 2; half++) {
                int to = other + 8 * half + j;
                code.vector(VSHUFI32X4, WIDE, to, 8 * half + j, 8 * half + j + 4, even);
                code.vector(VSHUFI32X4, WIDE, to + 4, 8 * half + j, 8 * half + j + 4, odd);
            }
        }
        for (int j = 0; j < 8; j++) {
            code.vector(VSHUFI32X4, WIDE, j, other + j, other + j + 8, even);
            code.vector(VSHUFI32X4, WIDE, j + 8, other + j, other + j + 8, odd);
        }
        for (int row = 0; row < SQUARE; row++) {
            code.vector(VMOVUPS_STORE, WIDE, row, 0, at(RDX, row * LINE));
        }
        code.add(RSI, Copy.SOURCE_STEP.argument());
        code.add(RDX, Copy.DESTINATION_STEP.argument());
        code.decrement(RCX);
        code.jumpIfNotZero(step);
        code.returnToJava();
        return code.code();
    }
}

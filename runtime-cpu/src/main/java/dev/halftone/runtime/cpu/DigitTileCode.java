package dev.halftone.runtime.cpu;

import static dev.halftone.runtime.cpu.assembly.Address.at;
import static dev.halftone.runtime.cpu.assembly.Instruction.VCVTDQ2PS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VFMADD231PS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VFNMADD231PS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_LOAD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_STORE;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMULPS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPANDD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPRORD;
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
import static dev.halftone.runtime.cpu.assembly.Register.RBP;
import static dev.halftone.runtime.cpu.assembly.Register.RBX;
import static dev.halftone.runtime.cpu.assembly.Register.RCX;
import static dev.halftone.runtime.cpu.assembly.Register.RDI;
import static dev.halftone.runtime.cpu.assembly.Register.RDX;
import static dev.halftone.runtime.cpu.assembly.Register.RSI;

import dev.halftone.runtime.cpu.assembly.Address;
import dev.halftone.runtime.cpu.assembly.Assembler;
import dev.halftone.runtime.cpu.assembly.Register;
import dev.halftone.runtime.cpu.assembly.Width;

/// Writes the product of [DigitKernels] on the tiles of AMX, which cost as much for sixteen rows of digits as for one:
/// the codes of a strip's group are unpacked to bytes in the first cache, and every tile of digits is multiplied by
/// them. What is done to the sums of a group is what [DigitCode] does, in the same order, so results are the same to
/// the bit.
///
/// Digits lie as `[rows][DIGITS][paddedInputs]` bytes, the inputs of a word in the order of [DigitCode].
final class DigitTileCode {
    /// Most rows: three tiles of digits.
    static final int ROWS = 16;

    /// Rows of a tile.
    static final int TILE = 16;

    /// Bytes of a row of a tile.
    static final int TILE_ROW = 64;

    enum Argument {
        WORDS,
        FACTORS,
        CENTRES,
        CENTRE_GROUP_STEP,
        DIGITS,
        DIGIT_STEP,
        TILE_STEP,
        CONSTANTS,
        WORDS_PER_GROUP,
        GROUPS,
        CHUNKS,
        CHUNK_INPUTS,
        CHUNK_CODES,
        CODES,
        SUMS,
        CONFIGURATION,
        STRIPS,
        BIAS,
        RESULT,
        RESULT_ROW,
        COUNT;

        Address argument() {
            return at(RDI, Long.BYTES * ordinal());
        }
    }

    private static final Width WIDE = Width.BITS_512;
    private static final int LINE = Width.BITS_512.bytes();

    // Tiles; the sums of up to three tiles of digits come first.
    static final int INPUTS = 3;
    static final int CODES = 6;

    // Vectors.
    private static final int MASK = 31;
    private static final int ONE = 30;
    private static final int CENTRE = 29;
    private static final int FACTOR = 28;

    private final Assembler code = new Assembler();
    private final WeightForm form;
    private final int rows;

    private DigitTileCode(WeightForm form, int rows) {
        this.form = form;
        this.rows = rows;
    }

    /// Tiles that the digits of so many rows take.
    static int tiles(int rows) {
        return Math.ceilDiv(rows * DigitCode.DIGITS, TILE);
    }

    /// See [DigitCode#product]; for neighbouring strips.
    static byte[] product(WeightForm form, int rows) {
        return new DigitTileCode(form, rows).product();
    }

    private byte[] product() {
        Register[] saved = {RBX, RBP, R12, R13, R14, R15};
        for (Register register : saved) {
            code.push(register);
        }
        code.constant(WIDE, MASK, 0x0F0F_0F0F);
        code.constant(WIDE, ONE, Float.floatToRawIntBits(1));
        code.load(RAX, Argument.CONFIGURATION.argument());
        code.configureTiles(at(RAX));
        code.load(RSI, Argument.WORDS.argument());
        code.load(R8, Argument.FACTORS.argument());
        code.load(R9, Argument.CENTRES.argument());
        code.load(R12, Argument.BIAS.argument());
        code.load(R13, Argument.RESULT.argument());
        code.load(R14, Argument.STRIPS.argument());
        code.load(RBP, Argument.DIGIT_STEP.argument());
        code.constant(R15, TILE_ROW);
        int strip = code.here();
        begin();
        code.load(R10, Argument.DIGITS.argument());
        code.load(R11, Argument.CONSTANTS.argument());
        code.load(RBX, Argument.GROUPS.argument());
        int group = code.here();
        unpack();
        multiply();
        endGroup();
        code.add(R8, LINE);
        code.add(R9, Argument.CENTRE_GROUP_STEP.argument());
        code.add(R11, rows * DigitCode.CONSTANTS * Float.BYTES);
        code.decrement(RBX);
        code.jumpIfNotZero(group);
        code.add(R12, LINE);
        code.add(R13, LINE);
        code.decrement(R14);
        code.jumpIfNotZero(strip);
        code.releaseTiles();
        for (int i = saved.length - 1; i >= 0; i--) {
            code.pop(saved[i]);
        }
        code.returnToJava();
        return code.code();
    }

    private void begin() {
        code.vector(VMOVUPS_LOAD, WIDE, 0, 0, at(R12));
        code.loadAddress(RAX, at(R13));
        for (int row = 0; row < rows; row++) {
            code.vector(VMOVUPS_STORE, WIDE, 0, 0, at(RAX));
            code.add(RAX, Argument.RESULT_ROW.argument());
        }
    }

    /// The codes of a group to bytes, a line for each piece of a word.
    private void unpack() {
        int pieces = DigitCode.pieces(form);
        code.load(RDX, Argument.CODES.argument());
        code.load(RAX, Argument.WORDS_PER_GROUP.argument());
        int word = code.here();
        code.prefetch(at(RSI, DigitCode.AHEAD * LINE));
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
    }

    private void multiply() {
        int tiles = tiles(rows);
        for (int tile = 0; tile < tiles; tile++) {
            code.zeroTile(tile);
        }
        code.load(RDX, Argument.CODES.argument());
        code.load(RAX, Argument.CHUNKS.argument());
        int chunk = code.here();
        code.loadTile(CODES, at(RDX, R15, 1));
        code.loadAddress(RCX, at(R10));
        for (int tile = 0; tile < tiles; tile++) {
            code.loadTile(INPUTS + tile, at(RCX, RBP, 1));
            code.multiplyTiles(tile, INPUTS + tile, CODES);
            if (tile + 1 < tiles) {
                code.add(RCX, Argument.TILE_STEP.argument());
            }
        }
        code.add(RDX, Argument.CHUNK_CODES.argument());
        code.add(R10, Argument.CHUNK_INPUTS.argument());
        code.decrement(RAX);
        code.jumpIfNotZero(chunk);
        code.load(RCX, Argument.SUMS.argument());
        for (int tile = 0; tile < tiles; tile++) {
            code.storeTile(tile, at(RCX, R15, 1));
            if (tile + 1 < tiles) {
                code.add(RCX, TILE * TILE_ROW);
            }
        }
    }

    private void endGroup() {
        code.vector(VMOVUPS_LOAD, WIDE, CENTRE, 0, at(R9));
        code.vector(VSUBPS, WIDE, CENTRE, CENTRE, ONE);
        code.vector(VMOVUPS_LOAD, WIDE, FACTOR, 0, at(R8));
        code.load(RCX, Argument.SUMS.argument());
        code.loadAddress(RAX, at(R13));
        for (int row = 0; row < rows; row++) {
            int constants = row * DigitCode.CONSTANTS * Float.BYTES;
            int first = row % 4 * (DigitCode.DIGITS + 1); // other registers, so that rows overlap
            for (int digit = 0; digit < DigitCode.DIGITS; digit++) {
                int sum = first + digit;
                code.vector(VCVTDQ2PS, WIDE, sum, 0, at(RCX, (row * DigitCode.DIGITS + digit) * TILE_ROW));
                Address value = at(R11, constants + digit * Float.BYTES);
                if (digit == 0) {
                    code.broadcast(VMULPS, WIDE, first, first, value);
                } else {
                    code.broadcast(VFMADD231PS, WIDE, first, sum, value);
                }
            }
            code.broadcast(VFNMADD231PS, WIDE, first, CENTRE, at(R11, constants + DigitCode.DIGITS * Float.BYTES));
            int result = first + DigitCode.DIGITS;
            code.vector(VMOVUPS_LOAD, WIDE, result, 0, at(RAX));
            code.vector(VFMADD231PS, WIDE, result, first, FACTOR);
            code.vector(VMOVUPS_STORE, WIDE, result, 0, at(RAX));
            code.add(RAX, Argument.RESULT_ROW.argument());
        }
    }
}

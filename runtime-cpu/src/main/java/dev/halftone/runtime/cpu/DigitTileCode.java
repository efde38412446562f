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
/// codes are unpacked to bytes in the first cache, a chunk of a strip's inputs at a time, and every tile of digits is
/// multiplied by them. What is done to the sums of a group is what [DigitCode] does, in the same order, so results are
/// the same to the bit.
///
/// What was just stored comes late to a tile, and what a tile just stored comes late to a vector, so chunks are
/// unpacked
/// before their turn, and the sums of a group are used after those of the next are on their way.
///
/// Digits lie as `[rows][DIGITS][paddedInputs]` bytes, the inputs of a word in the order of [DigitCode].
final class DigitTileCode {
    /// Most rows: three tiles of digits.
    static final int ROWS = 16;

    /// Rows of a tile.
    static final int TILE = 16;

    /// Bytes of a row of a tile.
    static final int TILE_ROW = 64;

    /// Bytes of the codes of a chunk.
    static final int SLOT = TILE * TILE_ROW;

    /// Room for unpacked chunks, at a multiple of twice as much.
    static final int SLOTS = 4 * SLOT;

    /// Room for the sums of a group, at a multiple of four times as much; there are two.
    static final int SUMS = SLOTS;

    /// Bytes of all that a product works in, wherever they begin.
    static final int SCRATCH = 8 * SLOTS;

    /// Chunks that are unpacked before the first is multiplied.
    private static final int AHEAD = 2;

    /// Cache lines of the one strip that is read, which are asked for before their turn: as [DigitCode#AHEAD], where
    /// several are.
    private static final int LINES_AHEAD = 96;

    /// Words that are unpacked without looking whether there are more.
    static final int WORDS = 4;

    enum Argument {
        WORDS,
        FACTORS,
        CENTRES,
        CENTRE_GROUP_STEP,
        DIGITS,
        DIGIT_STEP,
        TILE_STEP,
        CONSTANTS,
        GROUPS,
        CHUNKS, // of a group
        ALL_CHUNKS,
        CHUNK_INPUTS,
        CHUNK_WORDS, // in units of WORDS
        SLOT_REST, // bytes that a chunk leaves of its slot
        SLOTS,
        SUMS,
        CONFIGURATION,
        STRIPS,
        GROUPS_LEFT, // of the strip whose tiles are multiplied
        ALL_GROUPS_LEFT,
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

    // Vectors; the results of up to sixteen rows come first.
    private static final int SPARE = ROWS;
    private static final int SPARES = 12;
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

    /// See [DigitCode#product]; for neighbouring strips. Overwrites arguments.
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
        code.load(RCX, Argument.SLOTS.argument());
        code.load(RDX, Argument.SLOTS.argument());
        code.load(R8, Argument.FACTORS.argument());
        code.load(R9, Argument.CENTRES.argument());
        code.load(R10, Argument.DIGITS.argument());
        code.load(R12, Argument.SUMS.argument());
        code.load(R14, Argument.ALL_CHUNKS.argument());
        code.load(RBP, Argument.DIGIT_STEP.argument());
        code.constant(R15, TILE_ROW);
        for (int i = 0; i < AHEAD; i++) {
            unpack();
        }
        multiply();
        int strip = code.here();
        begin();
        code.load(R11, Argument.CONSTANTS.argument());
        code.load(RBX, Argument.GROUPS.argument());
        int group = code.here();
        multiply();
        endGroup();
        code.add(R8, LINE);
        code.add(R9, Argument.CENTRE_GROUP_STEP.argument());
        code.add(R11, rows * DigitCode.CONSTANTS * Float.BYTES);
        code.decrement(RBX);
        code.jumpIfNotZero(group);
        end();
        code.decrement(Argument.STRIPS.argument());
        code.jumpIfNotZero(strip);
        code.releaseTiles();
        for (int i = saved.length - 1; i >= 0; i--) {
            code.pop(saved[i]);
        }
        code.returnToJava();
        return code.code();
    }

    /// The results begin with the bias.
    private void begin() {
        code.load(R13, Argument.BIAS.argument());
        for (int row = 0; row < rows; row++) {
            code.vector(VMOVUPS_LOAD, WIDE, row, 0, at(R13));
        }
        code.add(R13, LINE);
        code.store(R13, Argument.BIAS.argument());
    }

    private void end() {
        code.load(RAX, Argument.RESULT.argument());
        code.loadAddress(R13, at(RAX));
        for (int row = 0; row < rows; row++) {
            code.vector(VMOVUPS_STORE, WIDE, row, 0, at(R13));
            code.add(R13, Argument.RESULT_ROW.argument());
        }
        code.add(RAX, LINE);
        code.store(RAX, Argument.RESULT.argument());
    }

    /// The codes of the next chunk to bytes, a line for each piece of a word, unless there is no more.
    private void unpack() {
        int pieces = DigitCode.pieces(form);
        code.decrement(R14);
        int none = code.skipIfNegative();
        code.load(R13, Argument.CHUNK_WORDS.argument());
        int words = code.here();
        for (int word = 0; word < WORDS; word++) {
            code.prefetch(at(RSI, (word + LINES_AHEAD) * LINE));
            for (int piece = 0; piece < pieces; piece++) {
                int line = word * pieces + piece;
                int spare = SPARE + line % SPARES;
                code.shift(VPRORD, WIDE, spare, at(RSI, word * LINE), form.shift() + piece * form.bits);
                if (pieces > 1) {
                    code.vector(VPANDD, WIDE, spare, spare, MASK);
                }
                code.vector(VMOVUPS_STORE, WIDE, spare, 0, at(RCX, line * LINE));
            }
        }
        code.add(RSI, WORDS * LINE);
        code.add(RCX, WORDS * pieces * LINE);
        code.decrement(R13);
        code.jumpIfNotZero(words);
        code.add(RCX, Argument.SLOT_REST.argument());
        code.and(RCX, ~SLOTS);
        code.land(none);
    }

    /// The sums of the next group, if there is one, behind those that [#endGroup] takes next.
    private void multiply() {
        int tiles = tiles(rows);
        code.decrement(Argument.ALL_GROUPS_LEFT.argument());
        int none = code.skipIfNegative();
        for (int tile = 0; tile < tiles; tile++) {
            code.zeroTile(tile);
        }
        code.load(RAX, Argument.CHUNKS.argument());
        int chunk = code.here();
        code.loadTile(CODES, at(RDX, R15, 1));
        code.loadAddress(R13, at(R10));
        for (int tile = 0; tile < tiles; tile++) {
            code.loadTile(INPUTS + tile, at(R13, RBP, 1));
            code.multiplyTiles(tile, INPUTS + tile, CODES);
            if (tile + 1 < tiles) {
                code.add(R13, Argument.TILE_STEP.argument());
            }
        }
        code.add(RDX, SLOT);
        code.and(RDX, ~SLOTS);
        code.add(R10, Argument.CHUNK_INPUTS.argument());
        unpack();
        code.decrement(RAX);
        code.jumpIfNotZero(chunk);
        code.loadAddress(R13, at(R12));
        for (int tile = 0; tile < tiles; tile++) {
            code.storeTile(tile, at(R13, R15, 1));
            if (tile + 1 < tiles) {
                code.add(R13, TILE * TILE_ROW);
            }
        }
        code.decrement(Argument.GROUPS_LEFT.argument());
        int sameStrip = code.skipIfNotZero();
        code.load(R10, Argument.DIGITS.argument());
        code.load(RAX, Argument.GROUPS.argument());
        code.store(RAX, Argument.GROUPS_LEFT.argument());
        code.land(sameStrip);
        code.land(none);
        code.add(R12, SUMS);
        code.and(R12, ~(2 * SUMS));
    }

    private void endGroup() {
        code.vector(VMOVUPS_LOAD, WIDE, CENTRE, 0, at(R9));
        code.vector(VSUBPS, WIDE, CENTRE, CENTRE, ONE);
        code.vector(VMOVUPS_LOAD, WIDE, FACTOR, 0, at(R8));
        for (int row = 0; row < rows; row++) {
            int constants = row * DigitCode.CONSTANTS * Float.BYTES;
            int first = SPARE + row * DigitCode.DIGITS % SPARES; // other registers, so that rows overlap
            for (int digit = 0; digit < DigitCode.DIGITS; digit++) {
                int sum = first + digit;
                code.vector(VCVTDQ2PS, WIDE, sum, 0, at(R12, (row * DigitCode.DIGITS + digit) * TILE_ROW));
                Address value = at(R11, constants + digit * Float.BYTES);
                if (digit == 0) {
                    code.broadcast(VMULPS, WIDE, first, first, value);
                } else {
                    code.broadcast(VFMADD231PS, WIDE, first, sum, value);
                }
            }
            code.broadcast(VFNMADD231PS, WIDE, first, CENTRE, at(R11, constants + DigitCode.DIGITS * Float.BYTES));
            code.vector(VFMADD231PS, WIDE, row, first, FACTOR);
        }
    }
}

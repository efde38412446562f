package dev.halftone.runtime.cpu;

import static dev.halftone.runtime.cpu.assembly.Address.at;
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
import dev.halftone.runtime.cpu.assembly.Register;
import dev.halftone.runtime.cpu.assembly.Width;

/// Writes the products of [TileProducts].
final class TileCode {
    /// Rows of the left side that are multiplied at a time.
    static final int ROWS = 32;

    /// Columns of a block of the right side.
    static final int COLUMNS = 64;

    /// Bytes of a row of a tile: what a step takes of a row of the left side.
    static final int ROW_BYTES = 64;

    /// Bytes of the left side's step.
    static final int LEFT_STEP = ROWS * ROW_BYTES;

    /// Bytes of the right side from one word of a column to the next.
    static final int RIGHT_ROW = COLUMNS * Integer.BYTES;

    /// Bytes of the right side's step.
    static final int RIGHT_STEP = ROW_BYTES / Integer.BYTES * RIGHT_ROW;

    enum Product {
        LEFT,
        RIGHT,
        RIGHT_BLOCK,
        RESULT,
        RESULT_ROW,
        STEPS,
        BLOCKS,
        CONFIGURATION,
        COUNT;

        Address argument() {
            return at(RDI, Long.BYTES * ordinal());
        }
    }

    /// `sums += left·right` of three tiles.
    @FunctionalInterface
    interface Multiplication {
        void write(Assembler code, int sums, int left, int right);
    }

    private static final int LINE = Width.BITS_512.bytes();

    // Tiles. The sums come first: those of the upper sixteen rows, then of the lower.
    private static final int LEFT = 4;
    private static final int RIGHT = 6;
    private static final int TILE_ROWS = 16;

    private TileCode() {}

    /// `result (+)= left·right`: [#ROWS] rows and whole blocks of columns.
    static byte[] product(Multiplication multiplication, boolean accumulates) {
        Assembler code = new Assembler();
        code.push(RBX);
        code.load(RAX, Product.CONFIGURATION.argument());
        code.configureTiles(at(RAX));
        code.load(RBX, Product.RIGHT.argument());
        code.load(R10, Product.RESULT.argument());
        code.load(R11, Product.RESULT_ROW.argument());
        code.load(RCX, Product.BLOCKS.argument());
        code.constant(R8, LINE);
        code.constant(R9, RIGHT_ROW);
        int block = code.here();
        for (int pair = 0; pair < COLUMNS / (2 * TILE_ROWS); pair++) {
            code.loadAddress(RDX, at(RBX, pair * 2 * LINE));
            half(code, multiplication, accumulates);
        }
        code.add(RBX, Product.RIGHT_BLOCK.argument());
        code.decrement(RCX);
        code.jumpIfNotZero(block);
        code.releaseTiles();
        code.pop(RBX);
        code.returnToJava();
        return code.code();
    }

    private static void half(Assembler code, Multiplication multiplication, boolean accumulates) {
        for (int sums = 0; sums < LEFT; sums++) {
            if (!accumulates) {
                code.zeroTile(sums);
            }
        }
        if (accumulates) {
            eachResult(code, code::loadTile);
        }
        code.load(RSI, Product.LEFT.argument());
        code.load(RAX, Product.STEPS.argument());
        int step = code.here();
        code.loadTile(LEFT, at(RSI, R8, 1));
        code.loadTile(RIGHT, at(RDX, R9, 1));
        prefetchTile(code, RDX, RIGHT_STEP, RIGHT_ROW);
        multiplication.write(code, 0, LEFT, RIGHT);
        code.loadTile(RIGHT + 1, new Address(RDX, R9, 1, LINE));
        multiplication.write(code, 1, LEFT, RIGHT + 1);
        prefetchTile(code, RDX, RIGHT_STEP + LINE, RIGHT_ROW);
        code.loadTile(LEFT + 1, new Address(RSI, R8, 1, TILE_ROWS * LINE));
        multiplication.write(code, 2, LEFT + 1, RIGHT);
        prefetchTile(code, RSI, LEFT_STEP, LINE);
        prefetchTile(code, RSI, LEFT_STEP + TILE_ROWS * LINE, LINE);
        multiplication.write(code, 3, LEFT + 1, RIGHT + 1);
        code.add(RSI, LEFT_STEP);
        code.add(RDX, RIGHT_STEP);
        code.decrement(RAX);
        code.jumpIfNotZero(step);
        eachResult(code, code::storeTile);
        code.add(R10, 2 * LINE);
    }

    /// Asks for a tile of the next step. The processor does not see the rows of tiles coming; where another program
    /// shares the core, and so its first cache, the product is half as quick again for it.
    private static void prefetchTile(Assembler code, Register base, int offset, int rowBytes) {
        for (int row = 0; row < TILE_ROWS; row++) {
            code.prefetch(at(base, offset + row * rowBytes));
        }
    }

    @FunctionalInterface
    private interface TileMove {
        void move(int tile, Address memory);
    }

    private static void eachResult(Assembler code, TileMove move) {
        code.loadAddress(RAX, at(R10));
        move.move(0, at(RAX, R11, 1));
        move.move(1, new Address(RAX, R11, 1, LINE));
        for (int i = 0; i < 4; i++) {
            code.loadAddress(RAX, at(RAX, R11, 4));
        }
        move.move(2, at(RAX, R11, 1));
        move.move(3, new Address(RAX, R11, 1, LINE));
    }

    /// All tiles whole.
    static byte[] configuration() {
        byte[] bytes = new byte[LINE];
        bytes[0] = 1; // the only palette there is
        for (int tile = 0; tile < 8; tile++) {
            bytes[16 + 2 * tile] = (byte) LINE;
            bytes[48 + tile] = TILE_ROWS;
        }
        return bytes;
    }
}

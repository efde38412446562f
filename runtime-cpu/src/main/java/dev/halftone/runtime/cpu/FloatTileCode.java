package dev.halftone.runtime.cpu;

import static dev.halftone.runtime.cpu.assembly.Address.at;
import static dev.halftone.runtime.cpu.assembly.Instruction.VFMADD213PS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VFMADD231PS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_LOAD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_STORE;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPBROADCASTD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPXORD;
import static dev.halftone.runtime.cpu.assembly.Register.R10;
import static dev.halftone.runtime.cpu.assembly.Register.R11;
import static dev.halftone.runtime.cpu.assembly.Register.R12;
import static dev.halftone.runtime.cpu.assembly.Register.R13;
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

/// Writes the function of [FloatTile]: what [TileKernel#tile] does, step by step.
final class FloatTileCode {
    enum Argument {
        A0,
        A1,
        A2,
        A3,
        B,
        B_STRIP,
        AHEAD,
        DEPTH,
        C,
        C_ROW,
        ALPHA,
        COUNT;

        Address argument() {
            return at(RDI, Long.BYTES * ordinal());
        }
    }

    private static final Width WIDE = Width.BITS_512;
    private static final int LINE = WIDE.bytes();
    private static final int ROWS = Kernels.TILE_ROWS;
    private static final int STRIPS = Kernels.TILE_STRIPS;

    // Registers: the sums from 0 on, row by row, then the vectors of b.
    private static final int RIGHT = ROWS * STRIPS;
    private static final int LEFT = RIGHT + STRIPS;

    private FloatTileCode() {}

    static byte[] tile() {
        Register[] rows = {RSI, R8, R9, R10};
        Assembler code = new Assembler();
        code.push(RBX);
        code.push(R12);
        code.push(R13);
        for (int row = 0; row < ROWS; row++) {
            code.load(rows[row], Argument.values()[row].argument());
        }
        code.load(RDX, Argument.B.argument());
        code.load(R11, Argument.B_STRIP.argument());
        code.loadAddress(RAX, at(RDX, R11, 2));
        code.loadAddress(R12, at(RDX));
        code.add(R12, Argument.AHEAD.argument());
        code.loadAddress(R13, at(R12, R11, 2));
        code.load(RCX, Argument.DEPTH.argument());
        code.constant(RBX, 0);
        for (int sum = 0; sum < RIGHT; sum++) {
            code.vector(VPXORD, WIDE, sum, sum, sum);
        }
        int step = code.here();
        Address[] strips = {at(RDX), at(RDX, R11, 1), at(RAX), at(RAX, R11, 1)};
        Address[] ahead = {at(R12), at(R12, R11, 1), at(R13), at(R13, R11, 1)};
        for (int strip = 0; strip < STRIPS; strip++) {
            code.vector(VMOVUPS_LOAD, WIDE, RIGHT + strip, 0, strips[strip]);
            code.prefetch(ahead[strip]);
        }
        for (int row = 0; row < ROWS; row++) {
            code.vector(VPBROADCASTD, WIDE, LEFT + row, 0, at(rows[row], RBX, Float.BYTES));
            for (int strip = 0; strip < STRIPS; strip++) {
                code.vector(VFMADD231PS, WIDE, row * STRIPS + strip, LEFT + row, RIGHT + strip);
            }
        }
        for (Register pointer : new Register[] {RDX, RAX, R12, R13}) {
            code.add(pointer, LINE);
        }
        code.add(RBX, 1);
        code.decrement(RCX);
        code.jumpIfNotZero(step);
        code.vector(VPBROADCASTD, WIDE, LEFT, 0, Argument.ALPHA.argument());
        code.load(RAX, Argument.C.argument());
        for (int row = 0; row < ROWS; row++) {
            for (int strip = 0; strip < STRIPS; strip++) {
                int sum = row * STRIPS + strip;
                code.vector(VFMADD213PS, WIDE, sum, LEFT, at(RAX, strip * LINE));
                code.vector(VMOVUPS_STORE, WIDE, sum, 0, at(RAX, strip * LINE));
            }
            code.add(RAX, Argument.C_ROW.argument());
        }
        code.pop(R13);
        code.pop(R12);
        code.pop(RBX);
        code.returnToJava();
        return code.code();
    }
}

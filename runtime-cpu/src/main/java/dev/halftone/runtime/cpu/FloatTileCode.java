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
import static dev.halftone.runtime.cpu.assembly.Register.R14;
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

/// Writes the functions of [FloatTile]: what [TileKernel#tile] does, step by step.
final class FloatTileCode {
    enum Argument {
        A0,
        A1,
        A2,
        A3,
        B,
        B_STRIP,
        NEXT,
        NEXT_STRIP,
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

    // Registers: the sums from 0 on, row by row, then the vectors of b.
    private static final int RIGHT = ROWS * Kernels.TILE_STRIPS;
    private static final int LEFT = RIGHT + Kernels.TILE_STRIPS;

    private FloatTileCode() {}

    /// @param strips columns, in vectors: up to [Kernels#TILE_STRIPS]
    static byte[] tile(int strips) {
        Register[] rows = {RSI, R8, R9, R10};
        Assembler code = new Assembler();
        Register[] saved = {RBX, R12, R13, R14};
        for (Register register : saved) {
            code.push(register);
        }
        for (int row = 0; row < ROWS; row++) {
            code.load(rows[row], Argument.values()[row].argument());
        }
        code.load(RDX, Argument.B.argument());
        code.load(R11, Argument.B_STRIP.argument());
        code.loadAddress(RAX, at(RDX, R11, 2));
        code.load(R12, Argument.NEXT.argument());
        code.load(R14, Argument.NEXT_STRIP.argument());
        code.loadAddress(R13, at(R12, R14, 2));
        code.load(RCX, Argument.DEPTH.argument());
        code.constant(RBX, 0);
        for (int sum = 0; sum < ROWS * strips; sum++) {
            code.vector(VPXORD, WIDE, sum, sum, sum);
        }
        int step = code.here();
        Address[] right = {at(RDX), at(RDX, R11, 1), at(RAX), at(RAX, R11, 1)};
        Address[] next = {at(R12), at(R12, R14, 1), at(R13), at(R13, R14, 1)};
        for (int strip = 0; strip < strips; strip++) {
            code.vector(VMOVUPS_LOAD, WIDE, RIGHT + strip, 0, right[strip]);
        }
        for (Address line : next) {
            code.prefetch(line);
        }
        for (int row = 0; row < ROWS; row++) {
            code.vector(VPBROADCASTD, WIDE, LEFT + row, 0, at(rows[row], RBX, Float.BYTES));
            for (int strip = 0; strip < strips; strip++) {
                code.vector(VFMADD231PS, WIDE, row * strips + strip, LEFT + row, RIGHT + strip);
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
            for (int strip = 0; strip < strips; strip++) {
                int sum = row * strips + strip;
                code.vector(VFMADD213PS, WIDE, sum, LEFT, at(RAX, strip * LINE));
                code.vector(VMOVUPS_STORE, WIDE, sum, 0, at(RAX, strip * LINE));
            }
            code.add(RAX, Argument.C_ROW.argument());
        }
        for (int i = saved.length - 1; i >= 0; i--) {
            code.pop(saved[i]);
        }
        code.returnToJava();
        return code.code();
    }
}

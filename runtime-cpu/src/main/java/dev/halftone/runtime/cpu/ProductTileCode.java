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
import static dev.halftone.runtime.cpu.assembly.Register.R8;
import static dev.halftone.runtime.cpu.assembly.Register.R9;
import static dev.halftone.runtime.cpu.assembly.Register.RAX;
import static dev.halftone.runtime.cpu.assembly.Register.RCX;
import static dev.halftone.runtime.cpu.assembly.Register.RDI;
import static dev.halftone.runtime.cpu.assembly.Register.RDX;
import static dev.halftone.runtime.cpu.assembly.Register.RSI;

import dev.halftone.runtime.cpu.assembly.Address;
import dev.halftone.runtime.cpu.assembly.Assembler;
import dev.halftone.runtime.cpu.assembly.Register;
import dev.halftone.runtime.cpu.assembly.Width;

/// Writes the functions of [ProductTile]: each element is what [TileKernel#tile] makes of it, step by step.
final class ProductTileCode {
    /// Most rows: with two strips, as many sums as leave registers for both factors.
    static final int ROWS = 12;

    static final int STRIPS = 2;

    enum Argument {
        A,
        A_ROW,
        B,
        B_STRIP,
        FOURS,
        ONES,
        C,
        C_ROW,
        ALPHA,
        COUNT;

        Address argument() {
            return at(RDI, Long.BYTES * ordinal());
        }
    }

    /// Steps of the inner dimension without a jump between.
    static final int UNROLLED = 4;

    private static final Width WIDE = Width.BITS_512;
    private static final int LINE = WIDE.bytes();

    // Vectors: the sums from 0 on, row by row.
    private static final int RIGHT = ROWS * STRIPS;
    private static final int LEFT = RIGHT + STRIPS;
    private static final int LEFTS = 4; // in turn, so that rows overlap

    // Every third row's address; those between are one and two steps behind it.
    private static final Register[] THIRDS = {RSI, R8, R9, R10};

    private final Assembler code = new Assembler();
    private final int rows;

    private ProductTileCode(int rows) {
        this.rows = rows;
    }

    static byte[] tile(int rows) {
        return new ProductTileCode(rows).tile();
    }

    private byte[] tile() {
        int thirds = Math.ceilDiv(rows, 3);
        code.load(RCX, Argument.A_ROW.argument());
        code.loadAddress(RAX, at(RCX, RCX, 2));
        code.load(THIRDS[0], Argument.A.argument());
        for (int third = 1; third < thirds; third++) {
            code.loadAddress(THIRDS[third], at(THIRDS[third - 1], RAX, 1));
        }
        // What the sums are added to is long on its way when it is needed.
        code.load(RAX, Argument.C.argument());
        for (int row = 0; row < rows; row++) {
            for (int strip = 0; strip < STRIPS; strip++) {
                code.prefetch(at(RAX, strip * LINE));
            }
            code.add(RAX, Argument.C_ROW.argument());
        }
        code.load(RDX, Argument.B.argument());
        code.load(R11, Argument.B_STRIP.argument());
        for (int sum = 0; sum < rows * STRIPS; sum++) {
            code.vector(VPXORD, WIDE, sum, sum, sum);
        }
        steps(Argument.FOURS, UNROLLED);
        steps(Argument.ONES, 1);
        code.vector(VPBROADCASTD, WIDE, LEFT, 0, Argument.ALPHA.argument());
        code.load(RAX, Argument.C.argument());
        for (int row = 0; row < rows; row++) {
            for (int strip = 0; strip < STRIPS; strip++) {
                int sum = row * STRIPS + strip;
                code.vector(VFMADD213PS, WIDE, sum, LEFT, at(RAX, strip * LINE));
                code.vector(VMOVUPS_STORE, WIDE, sum, 0, at(RAX, strip * LINE));
            }
            code.add(RAX, Argument.C_ROW.argument());
        }
        code.returnToJava();
        return code.code();
    }

    /// @param times  how often; less than one is never
    /// @param unroll steps each time
    private void steps(Argument times, int unroll) {
        code.load(RAX, times.argument());
        code.decrement(RAX);
        int none = code.skipIfNegative();
        code.add(RAX, 1);
        int again = code.here();
        for (int step = 0; step < unroll; step++) {
            code.vector(VMOVUPS_LOAD, WIDE, RIGHT, 0, at(RDX, step * LINE));
            code.vector(VMOVUPS_LOAD, WIDE, RIGHT + 1, 0, new Address(RDX, R11, 1, step * LINE));
            for (int row = 0; row < rows; row++) {
                int left = LEFT + row % LEFTS;
                code.vector(VPBROADCASTD, WIDE, left, 0, left(row, step));
                for (int strip = 0; strip < STRIPS; strip++) {
                    code.vector(VFMADD231PS, WIDE, row * STRIPS + strip, left, RIGHT + strip);
                }
            }
        }
        for (int third = 0; third < Math.ceilDiv(rows, 3); third++) {
            code.add(THIRDS[third], unroll * Float.BYTES);
        }
        code.add(RDX, unroll * LINE);
        code.decrement(RAX);
        code.jumpIfNotZero(again);
        code.land(none);
    }

    private Address left(int row, int step) {
        Register third = THIRDS[row / 3];
        int offset = step * Float.BYTES;
        return row % 3 == 0 ? at(third, offset) : new Address(third, RCX, row % 3, offset);
    }
}

package dev.halftone.runtime.cpu;

import static dev.halftone.runtime.cpu.assembly.Address.at;
import static dev.halftone.runtime.cpu.assembly.Instruction.VCVTDQ2PS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VCVTPS2DQ;
import static dev.halftone.runtime.cpu.assembly.Instruction.VDIVPS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VFMADD213PS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMAXPS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMINPS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_LOAD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_STORE;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMULPS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPANDD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPBROADCASTD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPMAXSD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPMOVDB;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPXORD;
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

/// Writes the functions of [ByteTiles].
final class ByteTileCode {
    enum Rounding {
        FLOATS,
        STEPS,
        SCALE,
        DESTINATION,
        COUNT;

        Address argument() {
            return at(RDI, Long.BYTES * ordinal());
        }
    }

    enum Scaling {
        SUMS,
        ROW,
        ROWS,
        VECTORS,
        SCALES,
        FACTORS,
        BIAS,
        COUNT;

        Address argument() {
            return at(RDI, Long.BYTES * ordinal());
        }
    }

    private static final Width WIDE = Width.BITS_512;
    private static final int LINE = WIDE.bytes();
    private static final int LANES = LINE / Float.BYTES;

    /// Vectors of floats whose bytes are a row's share of a step.
    private static final int VECTORS = TileCode.ROW_BYTES / LANES;

    private static final int MAGNITUDE = 31;
    private static final int SCALE = 31;
    private static final int LEAST = 30;
    private static final int MOST = 29;
    private static final int STEP = 30;

    private ByteTileCode() {}

    /// The bits of the largest magnitude in each lane: what is no number, or infinite, is larger than any that is.
    static byte[] largest() {
        Assembler code = new Assembler();
        code.constant(WIDE, MAGNITUDE, Integer.MAX_VALUE);
        code.load(RSI, Rounding.FLOATS.argument());
        code.load(RDX, Rounding.DESTINATION.argument());
        code.load(RCX, Rounding.STEPS.argument());
        for (int i = 0; i < VECTORS; i++) {
            code.vector(VPXORD, WIDE, i, i, i);
        }
        int step = code.here();
        for (int i = 0; i < VECTORS; i++) {
            code.vector(VPANDD, WIDE, VECTORS + i, MAGNITUDE, at(RSI, i * LINE));
            code.vector(VPMAXSD, WIDE, i, i, VECTORS + i);
        }
        code.add(RSI, VECTORS * LINE);
        code.decrement(RCX);
        code.jumpIfNotZero(step);
        for (int i = 1; i < VECTORS; i++) {
            code.vector(VPMAXSD, WIDE, 0, 0, i);
        }
        code.vector(VMOVUPS_STORE, WIDE, 0, 0, at(RDX));
        code.returnToJava();
        return code.code();
    }

    /// `destination = clamp(x / scale)`, rounded to bytes, of one row.
    static byte[] round() {
        Assembler code = new Assembler();
        code.constant(WIDE, LEAST, Float.floatToRawIntBits(Byte.MIN_VALUE));
        code.constant(WIDE, MOST, Float.floatToRawIntBits(Byte.MAX_VALUE));
        code.vector(VPBROADCASTD, WIDE, SCALE, 0, Rounding.SCALE.argument());
        code.load(RSI, Rounding.FLOATS.argument());
        code.load(RDX, Rounding.DESTINATION.argument());
        code.load(RCX, Rounding.STEPS.argument());
        int step = code.here();
        for (int i = 0; i < VECTORS; i++) {
            code.vector(VMOVUPS_LOAD, WIDE, i, 0, at(RSI, i * LINE));
            code.vector(VDIVPS, WIDE, i, i, SCALE);
            code.vector(VMAXPS, WIDE, i, i, LEAST);
            code.vector(VMINPS, WIDE, i, i, MOST);
            code.vector(VCVTPS2DQ, WIDE, i, 0, i);
            code.vector(VPMOVDB, WIDE, i, 0, at(RDX, i * LANES));
        }
        code.add(RSI, VECTORS * LINE);
        code.add(RDX, TileCode.LEFT_STEP);
        code.decrement(RCX);
        code.jumpIfNotZero(step);
        code.returnToJava();
        return code.code();
    }

    /// `sums = sums * (factor * step) * scale + bias`, from whole numbers to floats, in the steps and the order of
    /// [IntegerKernel#scaleSums].
    static byte[] scale() {
        Assembler code = new Assembler();
        code.push(RBX);
        code.constant(WIDE, STEP, Float.floatToRawIntBits(IntegerKernel.STEP));
        code.load(RSI, Scaling.SUMS.argument());
        code.load(R10, Scaling.SCALES.argument());
        code.load(RBX, Scaling.ROWS.argument());
        int row = code.here();
        code.vector(VPBROADCASTD, WIDE, SCALE, 0, at(R10));
        code.load(R8, Scaling.FACTORS.argument());
        code.load(R9, Scaling.BIAS.argument());
        code.load(RCX, Scaling.VECTORS.argument());
        code.loadAddress(RAX, at(RSI));
        int vector = code.here();
        code.vector(VMULPS, WIDE, 1, STEP, at(R8));
        code.vector(VCVTDQ2PS, WIDE, 0, 0, at(RAX));
        code.vector(VMULPS, WIDE, 0, 0, 1);
        code.vector(VFMADD213PS, WIDE, 0, SCALE, at(R9));
        code.vector(VMOVUPS_STORE, WIDE, 0, 0, at(RAX));
        code.add(RAX, LINE);
        code.add(R8, LINE);
        code.add(R9, LINE);
        code.decrement(RCX);
        code.jumpIfNotZero(vector);
        code.add(R10, Float.BYTES);
        code.add(RSI, Scaling.ROW.argument());
        code.decrement(RBX);
        code.jumpIfNotZero(row);
        code.pop(RBX);
        code.returnToJava();
        return code.code();
    }
}

package dev.halftone.runtime.cpu;

import static dev.halftone.runtime.cpu.assembly.Address.at;
import static dev.halftone.runtime.cpu.assembly.Instruction.VADDPS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VDIVPS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VFMADD213PS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VFMADD231PS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMAXPS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMINPS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_LOAD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_STORE;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMULPS;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPADDD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPBROADCASTD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPSLLD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPXORD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VSUBPS;
import static dev.halftone.runtime.cpu.assembly.Register.R8;
import static dev.halftone.runtime.cpu.assembly.Register.RAX;
import static dev.halftone.runtime.cpu.assembly.Register.RCX;
import static dev.halftone.runtime.cpu.assembly.Register.RDI;
import static dev.halftone.runtime.cpu.assembly.Register.RDX;
import static dev.halftone.runtime.cpu.assembly.Register.RSI;

import dev.halftone.runtime.cpu.assembly.Address;
import dev.halftone.runtime.cpu.assembly.Assembler;
import dev.halftone.runtime.cpu.assembly.Width;

/// Writes the functions of [MachineVerbs], over whole vectors. Each does what its counterpart in [RowKernel] does, step
/// by step, so that results are the same to the bit.
final class VerbCode {
    enum Argument {
        X,
        Y,
        DESTINATION,
        VECTORS,
        FACTOR,
        SINES,
        COUNT;

        Address argument() {
            return at(RDI, Long.BYTES * ordinal());
        }
    }

    private static final Width WIDE = Width.BITS_512;
    private static final int LINE = WIDE.bytes();

    // Constants of a gate and of exponentials; the coefficients of the polynomial lie from COEFFICIENTS on, the highest
    // power first.
    private static final int SIGN = 31;
    private static final int LOWEST = 30;
    private static final int HIGHEST = 29;
    private static final int LOG2_E = 28;
    private static final int ROUND = 27;
    private static final int LN2_HIGH = 26;
    private static final int LN2_LOW = 25;
    private static final int GATE_SCALE = 24;
    private static final int LOWEST_GATE = 23;
    private static final int COEFFICIENTS = 10;

    private VerbCode() {}

    private static void constant(Assembler code, int register, float value) {
        code.constant(WIDE, register, Float.floatToRawIntBits(value));
    }

    private static void exponentialConstants(Assembler code, int power) {
        constant(code, LOWEST, Exponential.lowest(power));
        constant(code, HIGHEST, Exponential.highest(power));
        constant(code, LOG2_E, Exponential.LOG2_E);
        constant(code, ROUND, Exponential.round(power));
        constant(code, LN2_HIGH, -Exponential.LN2_HIGH);
        constant(code, LN2_LOW, -Exponential.LN2_LOW);
        float[] coefficients = Exponential.coefficients();
        for (int i = 0; i < coefficients.length; i++) {
            constant(code, COEFFICIENTS + i, coefficients[i]);
        }
    }

    /// `p = 2^power · exp(v)`, as [Exponential] does it; overwrites `v` and registers 2 and 3.
    private static void exponential(Assembler code, int v, int p) {
        int rounded = 2;
        int n = 3;
        // What is no number stays none as the second source only.
        code.vector(VMAXPS, WIDE, v, LOWEST, v);
        code.vector(VMINPS, WIDE, v, HIGHEST, v);
        code.vector(VPXORD, WIDE, n, n, n);
        code.vector(VADDPS, WIDE, rounded, ROUND, n);
        code.vector(VFMADD231PS, WIDE, rounded, v, LOG2_E);
        code.vector(VSUBPS, WIDE, n, rounded, ROUND);
        code.vector(VFMADD231PS, WIDE, v, n, LN2_HIGH);
        code.vector(VFMADD231PS, WIDE, v, n, LN2_LOW);
        code.vector(VPXORD, WIDE, p, p, p);
        code.vector(VADDPS, WIDE, p, COEFFICIENTS, p);
        int coefficients = Exponential.coefficients().length;
        for (int i = 1; i < coefficients; i++) {
            code.vector(VFMADD213PS, WIDE, p, v, COEFFICIENTS + i);
        }
        code.shift(VPSLLD, WIDE, rounded, rounded, 23);
        code.vector(VPADDD, WIDE, p, p, rounded);
    }

    /// `destination[lane] = max(x)` over one vector after the other.
    static byte[] maximum() {
        Assembler code = new Assembler();
        int largest = 0;
        code.constant(WIDE, largest, Float.floatToRawIntBits(Float.NEGATIVE_INFINITY));
        int loop = begin(code);
        code.vector(VMAXPS, WIDE, largest, largest, at(RSI));
        code.add(RSI, LINE);
        code.decrement(RAX);
        code.jumpIfNotZero(loop);
        code.vector(VMOVUPS_STORE, WIDE, largest, 0, at(RCX));
        code.returnToJava();
        return code.code();
    }

    /// `x = exp(x - factor)`, and `destination[lane]` the sum of one vector after the other.
    static byte[] exponentials() {
        Assembler code = new Assembler();
        int sums = 0;
        int v = 1;
        int p = 4;
        int shift = SIGN;
        exponentialConstants(code, 0);
        code.vector(VPBROADCASTD, WIDE, shift, 0, Argument.FACTOR.argument());
        code.vector(VPXORD, WIDE, sums, sums, sums);
        int loop = begin(code);
        code.vector(VMOVUPS_LOAD, WIDE, v, 0, at(RSI));
        code.vector(VSUBPS, WIDE, v, v, shift);
        exponential(code, v, p);
        code.vector(VMOVUPS_STORE, WIDE, p, 0, at(RSI));
        code.vector(VADDPS, WIDE, sums, p, sums);
        code.add(RSI, LINE);
        code.decrement(RAX);
        code.jumpIfNotZero(loop);
        code.vector(VMOVUPS_STORE, WIDE, sums, 0, at(RCX));
        code.returnToJava();
        return code.code();
    }

    /// `x, y = x·c - y·s, y·c + x·s`; cosines and sines lie at the destination and at [Argument#SINES].
    static byte[] rotate() {
        Assembler code = new Assembler();
        int a = 0;
        int b = 1;
        int c = 2;
        int s = 3;
        code.load(R8, Argument.SINES.argument());
        int loop = begin(code);
        code.vector(VMOVUPS_LOAD, WIDE, a, 0, at(RSI));
        code.vector(VMOVUPS_LOAD, WIDE, b, 0, at(RDX));
        code.vector(VMOVUPS_LOAD, WIDE, c, 0, at(RCX));
        code.vector(VMOVUPS_LOAD, WIDE, s, 0, at(R8));
        code.vector(VMULPS, WIDE, 4, a, c);
        code.vector(VMULPS, WIDE, 5, b, s);
        code.vector(VSUBPS, WIDE, 4, 4, 5);
        code.vector(VMULPS, WIDE, 5, b, c);
        code.vector(VMULPS, WIDE, 6, a, s);
        code.vector(VADDPS, WIDE, 5, 5, 6);
        code.vector(VMOVUPS_STORE, WIDE, 4, 0, at(RSI));
        code.vector(VMOVUPS_STORE, WIDE, 5, 0, at(RDX));
        code.add(R8, LINE);
        code.add(RCX, LINE);
        end(code, loop);
        return code.code();
    }

    /// `destination = x + y`
    static byte[] add() {
        Assembler code = new Assembler();
        int loop = begin(code);
        code.vector(VMOVUPS_LOAD, WIDE, 0, 0, at(RSI));
        code.vector(VADDPS, WIDE, 0, 0, at(RDX));
        code.vector(VMOVUPS_STORE, WIDE, 0, 0, at(RCX));
        code.add(RCX, LINE);
        end(code, loop);
        return code.code();
    }

    /// `destination = x * factor`
    static byte[] multiply() {
        Assembler code = new Assembler();
        code.vector(VPBROADCASTD, WIDE, 1, 0, Argument.FACTOR.argument());
        int loop = begin(code);
        code.vector(VMULPS, WIDE, 0, 1, at(RSI));
        code.vector(VMOVUPS_STORE, WIDE, 0, 0, at(RCX));
        code.add(RCX, LINE);
        end(code, loop);
        return code.code();
    }

    /// `destination = x / (1 + exp(-x)) * y`; see [RowKernel#gate] and [Exponential].
    static byte[] gate() {
        Assembler code = new Assembler();
        code.constant(WIDE, SIGN, Integer.MIN_VALUE);
        constant(code, GATE_SCALE, RowKernel.GATE_SCALE);
        constant(code, LOWEST_GATE, RowKernel.LOWEST_GATE);
        exponentialConstants(code, RowKernel.GATE_POWER);
        int loop = begin(code);
        int gate = 0;
        int v = 1;
        int p = 4;
        code.vector(VMOVUPS_LOAD, WIDE, gate, 0, at(RSI));
        code.vector(VPXORD, WIDE, v, gate, SIGN);
        exponential(code, v, p);
        int denominator = p;
        code.vector(VADDPS, WIDE, denominator, p, GATE_SCALE);
        code.vector(VMAXPS, WIDE, gate, LOWEST_GATE, gate);
        code.vector(VMULPS, WIDE, gate, gate, GATE_SCALE);
        code.vector(VDIVPS, WIDE, gate, gate, denominator);
        code.vector(VMULPS, WIDE, gate, gate, at(RDX));
        code.vector(VMOVUPS_STORE, WIDE, gate, 0, at(RCX));
        code.add(RCX, LINE);
        end(code, loop);
        return code.code();
    }

    /// `destination[lane] = sum of squares of x` over one vector after the other.
    static byte[] squares() {
        Assembler code = new Assembler();
        int sum = 0;
        int x = 1;
        code.vector(VPXORD, WIDE, sum, sum, sum);
        int loop = begin(code);
        code.vector(VMOVUPS_LOAD, WIDE, x, 0, at(RSI));
        code.vector(VFMADD231PS, WIDE, sum, x, x);
        code.add(RSI, LINE);
        code.decrement(RAX);
        code.jumpIfNotZero(loop);
        code.vector(VMOVUPS_STORE, WIDE, sum, 0, at(RCX));
        code.returnToJava();
        return code.code();
    }

    /// `destination = x * factor * y`
    static byte[] scale() {
        Assembler code = new Assembler();
        int factor = 0;
        int x = 1;
        code.vector(VPBROADCASTD, WIDE, factor, 0, Argument.FACTOR.argument());
        int loop = begin(code);
        code.vector(VMULPS, WIDE, x, factor, at(RSI));
        code.vector(VMULPS, WIDE, x, x, at(RDX));
        code.vector(VMOVUPS_STORE, WIDE, x, 0, at(RCX));
        code.add(RCX, LINE);
        end(code, loop);
        return code.code();
    }

    /// @return where the loop begins
    private static int begin(Assembler code) {
        code.load(RSI, Argument.X.argument());
        code.load(RDX, Argument.Y.argument());
        code.load(RCX, Argument.DESTINATION.argument());
        code.load(RAX, Argument.VECTORS.argument());
        return code.here();
    }

    private static void end(Assembler code, int loop) {
        code.add(RSI, LINE);
        code.add(RDX, LINE);
        code.decrement(RAX);
        code.jumpIfNotZero(loop);
        code.returnToJava();
    }
}

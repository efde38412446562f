package dev.halftone.runtime.cpu;

import static dev.halftone.runtime.cpu.assembly.Address.at;
import static dev.halftone.runtime.cpu.assembly.Instruction.VMOVUPS_STORE;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPBROADCASTD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPDPBUSD;
import static dev.halftone.runtime.cpu.assembly.Instruction.VPRORD;
import static dev.halftone.runtime.cpu.assembly.Register.R10;
import static dev.halftone.runtime.cpu.assembly.Register.R11;
import static dev.halftone.runtime.cpu.assembly.Register.R8;
import static dev.halftone.runtime.cpu.assembly.Register.RAX;
import static dev.halftone.runtime.cpu.assembly.Register.RCX;
import static dev.halftone.runtime.cpu.assembly.Register.RDI;
import static dev.halftone.runtime.cpu.assembly.Register.RDX;
import static dev.halftone.runtime.cpu.assembly.Register.RSI;

import dev.halftone.runtime.cpu.assembly.Address;
import dev.halftone.runtime.cpu.assembly.Assembler;
import dev.halftone.runtime.cpu.assembly.Width;

/// Writes the functions of [ByteSums]: 8-bit codes times inputs of one signed byte each, four of every row side by side
/// for every word of codes.
final class ByteSumCode {
    /// Most rows of one pass over the weights.
    static final int ROWS = 8;

    enum Argument {
        WORDS,
        STRIP_STEP,
        WORDS_PER_STRIP,
        INPUTS,
        STARTS,
        SUMS,
        SUMS_STEP,
        SUMS_ROW,
        COUNT;

        Address argument() {
            return at(RDI, Long.BYTES * ordinal());
        }
    }

    private static final Width WIDE = Width.BITS_512;

    private ByteSumCode() {}

    /// Strips that are read side by side, as [DigitCode#strips]: as many as there are registers for the sums.
    static int strips(int rows) {
        return rows <= 6 ? 4 : 2;
    }

    /// `sums[row][strip] = starts[row] + sum of code * input`, in 32 bits that wrap.
    static byte[] sums(int rows, int strips) {
        Assembler code = new Assembler();
        int codes = rows * strips;
        int input = codes + strips;
        code.load(R11, Argument.STARTS.argument());
        for (int sum = 0; sum < codes; sum++) {
            code.vector(VPBROADCASTD, WIDE, sum, 0, at(R11, sum / strips * Integer.BYTES));
        }
        code.load(RSI, Argument.WORDS.argument());
        code.load(RDX, Argument.STRIP_STEP.argument());
        code.loadAddress(RCX, at(RDX, RDX, 2));
        code.load(R10, Argument.INPUTS.argument());
        code.load(RAX, Argument.WORDS_PER_STRIP.argument());
        int word = code.here();
        for (int strip = 0; strip < strips; strip++) {
            Address words = DigitCode.strip(RSI, RDX, RCX, strip);
            code.prefetch(new Address(words.base(), words.index(), words.scale(), DigitCode.AHEAD * WIDE.bytes()));
            code.shift(VPRORD, WIDE, codes + strip, words, WeightForm.CODES8.shift());
        }
        for (int row = 0; row < rows; row++) {
            code.vector(VPBROADCASTD, WIDE, input, 0, at(R10, row * Integer.BYTES));
            for (int strip = 0; strip < strips; strip++) {
                code.vector(VPDPBUSD, WIDE, row * strips + strip, codes + strip, input);
            }
        }
        code.add(RSI, WIDE.bytes());
        code.add(R10, rows * Integer.BYTES);
        code.decrement(RAX);
        code.jumpIfNotZero(word);
        code.load(R8, Argument.SUMS.argument());
        code.load(RDX, Argument.SUMS_STEP.argument());
        code.loadAddress(RCX, at(RDX, RDX, 2));
        for (int row = 0; row < rows; row++) {
            for (int strip = 0; strip < strips; strip++) {
                code.vector(VMOVUPS_STORE, WIDE, row * strips + strip, 0, DigitCode.strip(R8, RDX, RCX, strip));
            }
            code.add(R8, Argument.SUMS_ROW.argument());
        }
        code.returnToJava();
        return code.code();
    }
}

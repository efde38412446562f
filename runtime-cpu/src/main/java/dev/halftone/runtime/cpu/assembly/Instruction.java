package dev.halftone.runtime.cpu.assembly;

/// Vector instructions as AVX-512 encodes them, under the names of the processor's manual, with what sets each apart.
public enum Instruction {
    /// `destination = memory`
    VMOVUPS_LOAD(1, 0, 0, 0x10, Share.WHOLE),
    /// `memory = register`
    VMOVUPS_STORE(1, 0, 0, 0x11, Share.WHOLE),
    VADDPD(1, 1, 1, 0x58, Share.WHOLE),
    VADDPS(1, 0, 0, 0x58, Share.WHOLE),
    /// Larger of float32 numbers; the second source, if one of the two is no number.
    VMAXPS(1, 0, 0, 0x5F, Share.WHOLE),
    /// Smaller of float32 numbers; the second source, if one of the two is no number.
    VMINPS(1, 0, 0, 0x5D, Share.WHOLE),
    VMULPD(1, 1, 1, 0x59, Share.WHOLE),
    VMULPS(1, 0, 0, 0x59, Share.WHOLE),
    VDIVPS(1, 0, 0, 0x5E, Share.WHOLE),
    VSUBPS(1, 0, 0, 0x5C, Share.WHOLE),
    /// Whole numbers to float32.
    VCVTDQ2PS(1, 0, 0, 0x5B, Share.WHOLE),
    /// float32 to the nearest whole numbers, ties to even.
    VCVTPS2DQ(1, 1, 0, 0x5B, Share.WHOLE),
    /// Whole numbers to float64; reads half of the width it writes.
    VCVTDQ2PD(1, 2, 0, 0xE6, Share.HALF),
    /// float32 to float64; reads half of the width it writes.
    VCVTPS2PD(1, 0, 0, 0x5A, Share.HALF),
    /// float64 to the nearest float32; writes half of the width it reads.
    VCVTPD2PS(1, 1, 1, 0x5A, Share.WHOLE),
    VPADDD(1, 1, 0, 0xFE, Share.WHOLE),
    VPSUBD(1, 1, 0, 0xFA, Share.WHOLE),
    VPANDD(1, 1, 0, 0xDB, Share.WHOLE),
    /// Bits of the second source that the first has not.
    VPANDND(1, 1, 0, 0xDF, Share.WHOLE),
    VPORD(1, 1, 0, 0xEB, Share.WHOLE),
    VPXORD(1, 1, 0, 0xEF, Share.WHOLE),
    /// Of every 128 bits: four words of 32 bits in the order of the immediate.
    VPSHUFD(1, 1, 0, 0x70, Share.WHOLE),
    /// Of every 128 bits: the lower two words of 32 bits of both sources, in turn.
    VPUNPCKLDQ(1, 1, 0, 0x62, Share.WHOLE),
    /// The upper two.
    VPUNPCKHDQ(1, 1, 0, 0x6A, Share.WHOLE),
    /// Of every 128 bits: the lower 64 of both sources.
    VPUNPCKLQDQ(1, 1, 1, 0x6C, Share.WHOLE),
    /// The upper 64.
    VPUNPCKHQDQ(1, 1, 1, 0x6D, Share.WHOLE),
    /// Stores the low 32 bits.
    VMOVD_STORE(1, 1, 0, 0x7E, Share.WORD),
    /// `destination = source rotated right by the immediate`; of [Assembler#shift].
    VPRORD(1, 1, 0, 0x72, Share.WHOLE, 0),
    /// `destination = source shifted left by the immediate`; of [Assembler#shift].
    VPSLLD(1, 1, 0, 0x72, Share.WHOLE, 6),
    /// `destination = source shifted right by the immediate, signed`; of [Assembler#shift].
    VPSRAD(1, 1, 0, 0x72, Share.WHOLE, 4),
    /// Bytes of the first source in the order that the second names.
    VPSHUFB(2, 1, 0, 0x00, Share.WHOLE),
    /// 32 bits of the second source, wherever the first one's numbers say.
    VPERMD(2, 1, 0, 0x36, Share.WHOLE),
    /// 16 bits of the second source, wherever the first one's numbers say.
    VPERMW(2, 1, 1, 0x8D, Share.WHOLE),
    /// float32 to the nearest bfloat16: the second source's in the lower half, the first one's in the upper.
    VCVTNE2PS2BF16(2, 3, 0, 0x72, Share.WHOLE),
    /// The low byte of every 32 bits, side by side. What is written stands last.
    VPMOVDB(2, 2, 0, 0x31, Share.QUARTER),
    /// Larger of signed whole numbers.
    VPMAXSD(2, 1, 0, 0x3D, Share.WHOLE),
    /// Four unsigned bytes of the first source times four signed ones of the second, added to every 32 bits.
    VPDPBUSD(2, 1, 0, 0x50, Share.WHOLE),
    /// 32 bits from memory, everywhere.
    VPBROADCASTD(2, 1, 0, 0x58, Share.WORD),
    /// `destination = first * 2^(second rounded down)`
    VSCALEFPS(2, 1, 0, 0x2C, Share.WHOLE),
    /// `destination = destination * first + second`
    VFMADD213PS(2, 1, 0, 0xA8, Share.WHOLE),
    /// `destination += first * second`
    VFMADD231PS(2, 1, 0, 0xB8, Share.WHOLE),
    /// `destination -= first * second`
    VFNMADD231PS(2, 1, 0, 0xBC, Share.WHOLE),
    /// float32 to the nearest whole number of float32, with an immediate of 0.
    VRNDSCALEPS(3, 1, 0, 0x08, Share.WHOLE),
    /// Twice two of the four 128 bits of each source, as the immediate says.
    VSHUFI32X4(3, 1, 0, 0x43, Share.WHOLE),
    /// The 128 bits that the immediate names. What is written stands last.
    VEXTRACTI32X4(3, 1, 0, 0x39, Share.QUARTER),
    /// The 256 bits that the immediate names. What is written stands last.
    VEXTRACTI64X4(3, 1, 1, 0x3B, Share.HALF),
    /// Stores the 32 bits that the immediate names.
    VPEXTRD(3, 1, 0, 0x16, Share.WORD);

    /// How much memory an instruction reads or writes, of its width.
    enum Share {
        WHOLE,
        HALF,
        QUARTER,
        WORD;

        int bytes(Width width) {
            return switch (this) {
                case WHOLE -> width.bytes();
                case HALF -> width.bytes() / 2;
                case QUARTER -> width.bytes() / 4;
                case WORD -> Integer.BYTES;
            };
        }
    }

    final int map;
    final int prefix;
    final int wide; // the bit W
    final int code;
    final Share share;
    final int extension; // of the code, in the place of a register; -1 for none

    Instruction(int map, int prefix, int wide, int code, Share share) {
        this(map, prefix, wide, code, share, -1);
    }

    Instruction(int map, int prefix, int wide, int code, Share share, int extension) {
        this.map = map;
        this.prefix = prefix;
        this.wide = wide;
        this.code = code;
        this.share = share;
        this.extension = extension;
    }
}

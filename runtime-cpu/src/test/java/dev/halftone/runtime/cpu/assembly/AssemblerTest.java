package dev.halftone.runtime.cpu.assembly;

import static dev.halftone.runtime.cpu.assembly.Address.at;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.HexFormat;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

/// Bytes as GNU `as` 2.40 writes them for the line beside each, with `{evex}` where a shorter form exists.
class AssemblerTest {
    private static void assertBytes(String expected, Consumer<Assembler> instruction) {
        Assembler assembler = new Assembler();
        instruction.accept(assembler);
        assertEquals(expected, HexFormat.of().formatHex(assembler.code()));
    }

    @Test
    void movesGeneralRegisters() {
        // push rbx
        assertBytes("53", a -> a.push(Register.RBX));
        // push r15
        assertBytes("4157", a -> a.push(Register.R15));
        // pop r12
        assertBytes("415c", a -> a.pop(Register.R12));
        // pop rbp
        assertBytes("5d", a -> a.pop(Register.RBP));
        // mov rsi, [rdi]
        assertBytes("488b37", a -> a.load(Register.RSI, at(Register.RDI)));
        // mov r11, [rdi+64]
        assertBytes("4c8b5f40", a -> a.load(Register.R11, at(Register.RDI, 64)));
        // mov rax, [r13]
        assertBytes("498b4500", a -> a.load(Register.RAX, at(Register.R13)));
        // mov rax, [r12+256]
        assertBytes("498b842400010000", a -> a.load(Register.RAX, at(Register.R12, 256)));
        // mov rax, [rsp+8]
        assertBytes("488b442408", a -> a.load(Register.RAX, at(Register.RSP, 8)));
        // lea r14, [r13+r13*2]
        assertBytes("4f8d746d00", a -> a.loadAddress(Register.R14, at(Register.R13, Register.R13, 2)));
        // lea rcx, [rdx+rdx*2]
        assertBytes("488d0c52", a -> a.loadAddress(Register.RCX, at(Register.RDX, Register.RDX, 2)));
        // add rax, [rdi+120]
        assertBytes("48034778", a -> a.add(Register.RAX, at(Register.RDI, 120)));
        // add r10, 0x12345
        assertBytes("4981c245230100", a -> a.add(Register.R10, 0x12345));
        // dec rbx
        assertBytes("48ffcb", a -> a.decrement(Register.RBX));
        // prefetcht0 [rsi+rcx+2048]
        assertBytes("0f188c0e00080000", a -> a.prefetch(new Address(Register.RSI, Register.RCX, 1, 2048)));
        // prefetcht0 [r9]
        assertBytes("410f1809", a -> a.prefetch(at(Register.R9)));
    }

    @Test
    void movesVectors() {
        // vmovups zmm3, [r12+r13*2]
        assertBytes(
                "62917c48101c6c",
                a -> a.vector(Instruction.VMOVUPS_LOAD, Width.BITS_512, 3, 0, at(Register.R12, Register.R13, 2)));
        // vmovups zmm21, [rsi+128]
        assertBytes(
                "62e17c48106e02",
                a -> a.vector(Instruction.VMOVUPS_LOAD, Width.BITS_512, 21, 0, at(Register.RSI, 128)));
        // vmovups zmm9, [rsi+100]
        assertBytes(
                "62717c48108e64000000",
                a -> a.vector(Instruction.VMOVUPS_LOAD, Width.BITS_512, 9, 0, at(Register.RSI, 100)));
        // vmovups [rdx], ymm0
        assertBytes("62f17c281102", a -> a.vector(Instruction.VMOVUPS_STORE, Width.BITS_256, 0, 0, at(Register.RDX)));
        // vmovups xmm4, [r11]
        assertBytes("62d17c081023", a -> a.vector(Instruction.VMOVUPS_LOAD, Width.BITS_128, 4, 0, at(Register.R11)));
        // vmovd [rdx+4], xmm19
        assertBytes(
                "62e17d087e5a01", a -> a.vector(Instruction.VMOVD_STORE, Width.BITS_128, 19, 0, at(Register.RDX, 4)));
        // vpextrd [rdx+r8+8], xmm3, 1
        assertBytes(
                "62b37d08165c020201",
                a -> a.vector(
                        Instruction.VPEXTRD, Width.BITS_128, 3, 0, new Address(Register.RDX, Register.R8, 1, 8), 1));
        // vpbroadcastd zmm16, [r10+4]
        assertBytes(
                "62c27d48584201", a -> a.vector(Instruction.VPBROADCASTD, Width.BITS_512, 16, 0, at(Register.R10, 4)));
        // vpbroadcastd ymm1, [r9]
        assertBytes("62d27d285809", a -> a.vector(Instruction.VPBROADCASTD, Width.BITS_256, 1, 0, at(Register.R9)));
    }

    @Test
    void dividesAndTakesTheSmaller() {
        // vdivps zmm3, zmm19, zmm4
        assertBytes("62f164405edc", a -> a.vector(Instruction.VDIVPS, Width.BITS_512, 3, 19, 4));
        // vminps zmm2, zmm20, zmm2
        assertBytes("62f15c405dd2", a -> a.vector(Instruction.VMINPS, Width.BITS_512, 2, 20, 2));
    }

    @Test
    void computesWithWholeNumbers() {
        // vpxord zmm27, zmm27, zmm27
        assertBytes("62012540efdb", a -> a.vector(Instruction.VPXORD, Width.BITS_512, 27, 27, 27));
        // vpandd ymm1, ymm31, [rsi]
        assertBytes("62f10520db0e", a -> a.vector(Instruction.VPANDD, Width.BITS_256, 1, 31, at(Register.RSI)));
        // vpandd zmm12, zmm12, zmm31
        assertBytes("62111d48dbe7", a -> a.vector(Instruction.VPANDD, Width.BITS_512, 12, 12, 31));
        // vpaddd ymm2, ymm2, ymm31
        assertBytes("62916d28fed7", a -> a.vector(Instruction.VPADDD, Width.BITS_256, 2, 2, 31));
        // vpmaxsd ymm0, ymm0, ymm1
        assertBytes("62f27d283dc1", a -> a.vector(Instruction.VPMAXSD, Width.BITS_256, 0, 0, 1));
        // vprord zmm12, [rsi+rdx], 19
        assertBytes(
                "62f11d4872041613",
                a -> a.shift(Instruction.VPRORD, Width.BITS_512, 12, at(Register.RSI, Register.RDX, 1), 19));
        // vprord zmm25, zmm26, 23
        assertBytes("6291354072c217", a -> a.shift(Instruction.VPRORD, Width.BITS_512, 25, 26, 23));
        // vpslld zmm9, [rsi], 16
        assertBytes("62f13548723610", a -> a.shift(Instruction.VPSLLD, Width.BITS_512, 9, at(Register.RSI), 16));
        // vpsrad ymm2, ymm2, 8
        assertBytes("62f16d2872e208", a -> a.shift(Instruction.VPSRAD, Width.BITS_256, 2, 2, 8));
        // vpshufb xmm3, xmm3, xmm4
        assertBytes("62f2650800dc", a -> a.vector(Instruction.VPSHUFB, Width.BITS_128, 3, 3, 4));
        // vpmovdb xmm3, ymm18
        assertBytes("62e27e2831d3", a -> a.vector(Instruction.VPMOVDB, Width.BITS_256, 18, 0, 3));
        // vpsubd ymm5, ymm19, ymm4
        assertBytes("62f16520faec", a -> a.vector(Instruction.VPSUBD, Width.BITS_256, 5, 19, 4));
        // vpandnd ymm5, ymm3, ymm5
        assertBytes("62f16528dfed", a -> a.vector(Instruction.VPANDND, Width.BITS_256, 5, 3, 5));
        // vpshufd xmm2, xmm1, 0x4e
        assertBytes("62f17d0870d14e", a -> a.vector(Instruction.VPSHUFD, Width.BITS_128, 2, 0, 1, 0x4E));
        // vpermd ymm0, ymm23, ymm0
        assertBytes("62f2452036c0", a -> a.vector(Instruction.VPERMD, Width.BITS_256, 0, 23, 0));
        // vpbroadcastd ymm1, xmm1
        assertBytes("62f27d2858c9", a -> a.vector(Instruction.VPBROADCASTD, Width.BITS_256, 1, 0, 1));
        // vextracti32x4 xmm2, ymm1, 1
        assertBytes("62f37d2839ca01", a -> a.vector(Instruction.VEXTRACTI32X4, Width.BITS_256, 1, 0, 2, 1));
        // vextracti64x4 ymm8, zmm7, 1
        assertBytes("62d3fd483bf801", a -> a.vector(Instruction.VEXTRACTI64X4, Width.BITS_512, 7, 0, 8, 1));
        // vpdpbusd zmm0, zmm12, zmm16
        assertBytes("62b21d4850c0", a -> a.vector(Instruction.VPDPBUSD, Width.BITS_512, 0, 12, 16));
        // vpdpbusd zmm23, zmm24, [r10+20]{1to16}
        assertBytes(
                "62c23d50507a05", a -> a.broadcast(Instruction.VPDPBUSD, Width.BITS_512, 23, 24, at(Register.R10, 20)));
        // vpdpbusd zmm23, zmm24, [r10+1000]{1to16}
        assertBytes(
                "62c23d5050bae8030000",
                a -> a.broadcast(Instruction.VPDPBUSD, Width.BITS_512, 23, 24, at(Register.R10, 1000)));
    }

    @Test
    void computesWithFloats() {
        // vmulpd xmm7, xmm7, xmm8
        assertBytes("62d1c50859f8", a -> a.vector(Instruction.VMULPD, Width.BITS_128, 7, 7, 8));
        // vcvtps2pd xmm8, xmm6
        assertBytes("62717c085ac6", a -> a.vector(Instruction.VCVTPS2PD, Width.BITS_128, 8, 0, 6));
        // vcvtpd2ps xmm7, xmm7
        assertBytes("62f1fd085aff", a -> a.vector(Instruction.VCVTPD2PS, Width.BITS_128, 7, 0, 7));
        // vpmovdb [rdx+16], zmm3
        assertBytes("62f27e48315a01", a -> a.vector(Instruction.VPMOVDB, Width.BITS_512, 3, 0, at(Register.RDX, 16)));
        // vcvtdq2ps zmm0, [rax]
        assertBytes("62f17c485b00", a -> a.vector(Instruction.VCVTDQ2PS, Width.BITS_512, 0, 0, at(Register.RAX)));
        // vcvtdq2ps zmm8, zmm8
        assertBytes("62517c485bc0", a -> a.vector(Instruction.VCVTDQ2PS, Width.BITS_512, 8, 0, 8));
        // vcvtps2dq ymm2, ymm2
        assertBytes("62f17d285bd2", a -> a.vector(Instruction.VCVTPS2DQ, Width.BITS_256, 2, 0, 2));
        // vcvtdq2pd zmm3, ymm2
        assertBytes("62f17e48e6da", a -> a.vector(Instruction.VCVTDQ2PD, Width.BITS_512, 3, 0, 2));
        // vaddpd zmm0, zmm0, zmm3
        assertBytes("62f1fd4858c3", a -> a.vector(Instruction.VADDPD, Width.BITS_512, 0, 0, 3));
        // vmulps zmm4, zmm4, [r11+12]{1to16}
        assertBytes("62d15c58596303", a -> a.broadcast(Instruction.VMULPS, Width.BITS_512, 4, 4, at(Register.R11, 12)));
        // vmulps ymm2, ymm1, [rsi]
        assertBytes("62f174285916", a -> a.vector(Instruction.VMULPS, Width.BITS_256, 2, 1, at(Register.RSI)));
        // vsubps zmm24, zmm24, zmm30
        assertBytes("62013c405cc6", a -> a.vector(Instruction.VSUBPS, Width.BITS_512, 24, 24, 30));
        // vfmadd231ps zmm25, zmm3, [r8+r12]
        assertBytes(
                "62026548b80c20",
                a -> a.vector(Instruction.VFMADD231PS, Width.BITS_512, 25, 3, at(Register.R8, Register.R12, 1)));
        // vfnmadd231ps zmm3, zmm24, [r11+28]{1to16}
        assertBytes(
                "62d23d50bc5b07",
                a -> a.broadcast(Instruction.VFNMADD231PS, Width.BITS_512, 3, 24, at(Register.R11, 28)));
    }

    @Test
    void multipliesTiles() {
        // ldtilecfg [rax]
        assertBytes("c4e2784900", a -> a.configureTiles(at(Register.RAX)));
        // ldtilecfg [r13]
        assertBytes("c4c278494500", a -> a.configureTiles(at(Register.R13)));
        // tilerelease
        assertBytes("c4e27849c0", a -> a.releaseTiles());
        // tilezero tmm2
        assertBytes("c4e27b49d0", a -> a.zeroTile(2));
        // tileloadd tmm6, [rdx+r15*1]
        assertBytes("c4a27b4b343a", a -> a.loadTile(6, at(Register.RDX, Register.R15, 1)));
        // tileloadd tmm4, [rcx+rbp*1]
        assertBytes("c4e27b4b2429", a -> a.loadTile(4, at(Register.RCX, Register.RBP, 1)));
        // tilestored [rcx+r15*1], tmm1
        assertBytes("c4a27a4b0c39", a -> a.storeTile(1, at(Register.RCX, Register.R15, 1)));
        // tdpbsud tmm1, tmm4, tmm6
        assertBytes("c4e24a5ecc", a -> a.multiplyTiles(1, 4, 6));
        // mov r15, 64
        assertBytes("49c7c740000000", a -> a.constant(Register.R15, 64));
    }

    @Test
    void roundsToBFloat16() {
        // vpord zmm8, zmm8, zmm30
        assertBytes("62113d48ebc6", a -> a.vector(Instruction.VPORD, Width.BITS_512, 8, 8, 30));
        // vpermw zmm8, zmm29, zmm8
        assertBytes("625295408dc0", a -> a.vector(Instruction.VPERMW, Width.BITS_512, 8, 29, 8));
        // vcvtne2ps2bf16 zmm8, zmm9, zmm8
        assertBytes("6252374872c0", a -> a.vector(Instruction.VCVTNE2PS2BF16, Width.BITS_512, 8, 9, 8));
    }

    @Test
    void setsConstantsAndReturns() {
        // mov eax, 0x0F0F0F0F; vpbroadcastd zmm31, eax
        assertBytes("b80f0f0f0f62627d487cf8", a -> a.constant(Width.BITS_512, 31, 0x0F0F_0F0F));
        // vzeroupper; ret
        assertBytes("c5f877c3", Assembler::returnToJava);
    }

    @Test
    void jumpsBack() {
        // dec rax, then to its own beginning
        assertBytes("48ffc80f85f7ffffff", a -> {
            int place = a.here();
            a.decrement(Register.RAX);
            a.jumpIfNotZero(place);
        });
    }

    @Test
    void jumpsForward() {
        // js over mov rax, [rdi]
        assertBytes("0f8803000000488b07", a -> {
            int skip = a.skipIfNegative();
            a.load(Register.RAX, at(Register.RDI));
            a.land(skip);
        });
        // jne to the end of two more instructions, one of which jumps there as well
        assertBytes("0f850a0000000f880400000049ff4d00", a -> {
            int outer = a.skipIfNotZero();
            int inner = a.skipIfNegative();
            a.decrement(at(Register.R13));
            a.land(inner);
            a.land(outer);
        });
    }

    @Test
    void changesMemoryAndMasksAddresses() {
        // mov [rdi+160], r13
        assertBytes("4c89afa0000000", a -> a.store(Register.R13, at(Register.RDI, 160)));
        // mov [rdi+8], rax
        assertBytes("48894708", a -> a.store(Register.RAX, at(Register.RDI, 8)));
        // and rcx, -4097
        assertBytes("4881e1ffefffff", a -> a.and(Register.RCX, ~4096));
        // and r12, -8193
        assertBytes("4981e4ffdfffff", a -> a.and(Register.R12, ~8192));
        // dec qword ptr [rdi+136]
        assertBytes("48ff8f88000000", a -> a.decrement(at(Register.RDI, 136)));
        // dec qword ptr [r13]
        assertBytes("49ff4d00", a -> a.decrement(at(Register.R13)));
    }

    @Test
    void refusesAddressesThatHaveNoEncoding() {
        assertThrows(IllegalArgumentException.class, () -> at(Register.RAX, Register.RSP, 1));
        assertThrows(IllegalArgumentException.class, () -> at(Register.RAX, Register.RCX, 3));
    }

    /// What softmaxes and transposing take.
    @Test
    void movesAndScalesFloats() {
        // vaddps zmm4, zmm4, zmm20
        assertBytes("62b15c4858e4", a -> a.vector(Instruction.VADDPS, Width.BITS_512, 4, 4, 20));
        // vmaxps zmm1, zmm30, zmm2
        assertBytes("62f10c405fca", a -> a.vector(Instruction.VMAXPS, Width.BITS_512, 1, 30, 2));
        // vscalefps zmm3, zmm4, zmm5
        assertBytes("62f25d482cdd", a -> a.vector(Instruction.VSCALEFPS, Width.BITS_512, 3, 4, 5));
        // vfmadd213ps zmm6, zmm7, zmm29
        assertBytes("62924548a8f5", a -> a.vector(Instruction.VFMADD213PS, Width.BITS_512, 6, 7, 29));
        // vrndscaleps zmm8, zmm9, 0
        assertBytes("62537d4808c100", a -> a.vector(Instruction.VRNDSCALEPS, Width.BITS_512, 8, 0, 9, 0));
        // vpunpckldq zmm16, zmm0, zmm1
        assertBytes("62e17d4862c1", a -> a.vector(Instruction.VPUNPCKLDQ, Width.BITS_512, 16, 0, 1));
        // vpunpckhdq zmm17, zmm0, zmm1
        assertBytes("62e17d486ac9", a -> a.vector(Instruction.VPUNPCKHDQ, Width.BITS_512, 17, 0, 1));
        // vpunpcklqdq zmm0, zmm16, zmm18
        assertBytes("62b1fd406cc2", a -> a.vector(Instruction.VPUNPCKLQDQ, Width.BITS_512, 0, 16, 18));
        // vpunpckhqdq zmm31, zmm26, zmm9
        assertBytes("6241ad406df9", a -> a.vector(Instruction.VPUNPCKHQDQ, Width.BITS_512, 31, 26, 9));
        // vshufi32x4 zmm20, zmm3, zmm12, 0x88
        assertBytes("62c3654843e488", a -> a.vector(Instruction.VSHUFI32X4, Width.BITS_512, 20, 3, 12, 0x88));
        // vshufi32x4 zmm1, zmm21, zmm29, 0xdd
        assertBytes("6293554043cddd", a -> a.vector(Instruction.VSHUFI32X4, Width.BITS_512, 1, 21, 29, 0xDD));
        // vcvtne2ps2bf16 zmm3, zmm2, [rsi+64]
        assertBytes(
                "62f26f48725e01",
                a -> a.vector(Instruction.VCVTNE2PS2BF16, Width.BITS_512, 3, 2, at(Register.RSI, 64)));
        // tdpbssd tmm2, tmm5, tmm6
        assertBytes("c4e24b5ed5", a -> a.multiplySignedTiles(2, 5, 6));
        // tdpbf16ps tmm2, tmm5, tmm6
        assertBytes("c4e24a5cd5", a -> a.multiplyBFloat16Tiles(2, 5, 6));
        // tileloadd tmm5, [rsi+r8*1+1024]
        assertBytes("c4a27b4bac0600040000", a -> a.loadTile(5, new Address(Register.RSI, Register.R8, 1, 1024)));
        // tilestored [r10+r11*1+64], tmm3
        assertBytes("c4827a4b5c1a40", a -> a.storeTile(3, new Address(Register.R10, Register.R11, 1, 64)));
    }
}

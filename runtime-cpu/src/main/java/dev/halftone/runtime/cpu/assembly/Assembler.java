package dev.halftone.runtime.cpu.assembly;

import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.List;

/// Writes x86-64 instructions one after another
/// ([Intel's manual](https://www.intel.com/content/www/us/en/developer/articles/technical/intel-sdm.html), volume 2).
/// Vector registers are numbers from 0 to 31.
public final class Assembler {
    private static final int BROADCAST = 1 << 4;

    /// @param from where the instruction behind the jump begins
    private record Jump(int from, int target) {}

    private final ByteArrayOutputStream code = new ByteArrayOutputStream();
    private final List<Jump> forwards = new ArrayList<>();

    /// Where the next instruction will begin: a target for [#jumpIfNotZero].
    public int here() {
        return code.size();
    }

    public byte[] code() {
        byte[] bytes = code.toByteArray();
        for (Jump jump : forwards) {
            int distance = jump.target - jump.from;
            for (int i = 0; i < Integer.BYTES; i++) {
                bytes[jump.from - Integer.BYTES + i] = (byte) (distance >>> 8 * i);
            }
        }
        return bytes;
    }

    public void push(Register register) {
        shortForm(0x50, register);
    }

    public void pop(Register register) {
        shortForm(0x58, register);
    }

    private void shortForm(int operation, Register register) {
        if (register.ordinal() >= 8) {
            code.write(0x41);
        }
        code.write(operation + register.ordinal() % 8);
    }

    /// `destination = memory`, 64 bits.
    public void load(Register destination, Address memory) {
        general(0x8B, destination.ordinal(), memory);
    }

    /// `memory = source`, 64 bits.
    public void store(Register source, Address memory) {
        general(0x89, source.ordinal(), memory);
    }

    /// `destination = ` the address itself.
    public void loadAddress(Register destination, Address address) {
        general(0x8D, destination.ordinal(), address);
    }

    /// `destination += memory`
    public void add(Register destination, Address memory) {
        general(0x03, destination.ordinal(), memory);
    }

    /// `destination = value`
    public void constant(Register destination, int value) {
        general(0xC7, 0, destination);
        write32(value);
    }

    public void add(Register destination, int value) {
        general(0x81, 0, destination);
        write32(value);
    }

    /// `destination &= value`, which is extended by its sign.
    public void and(Register destination, int value) {
        general(0x81, 4, destination);
        write32(value);
    }

    /// Sets the zero flag when `register` becomes 0, the sign flag when it becomes less.
    public void decrement(Register register) {
        general(0xFF, 1, register);
    }

    /// See [#decrement(Register)]; 64 bits in memory.
    public void decrement(Address memory) {
        general(0xFF, 1, memory);
    }

    /// To an earlier place.
    public void jumpIfNotZero(int target) {
        code.write(0x0F);
        code.write(0x85);
        write32(target - (here() + Integer.BYTES));
    }

    /// To a place that is not written yet.
    ///
    /// @return what [#land] takes when it is
    public int skipIfNegative() {
        return skip(0x88);
    }

    /// See [#skipIfNegative].
    public int skipIfNotZero() {
        return skip(0x85);
    }

    private int skip(int condition) {
        code.write(0x0F);
        code.write(condition);
        write32(0);
        return here();
    }

    /// Makes the next instruction the target of a jump forward.
    public void land(int skip) {
        forwards.add(new Jump(skip, here()));
    }

    public void prefetch(Address memory) {
        rex(0, 1, memory);
        code.write(0x0F);
        code.write(0x18);
        operand(1, memory, 1);
    }

    /// Clears the upper parts of the vector registers, which older code is slowed down by, and returns.
    public void returnToJava() {
        code.write(0xC5);
        code.write(0xF8);
        code.write(0x77);
        code.write(0xC3);
    }

    /// 32 bits everywhere in a vector register. Overwrites [Register#RAX].
    public void constant(Width width, int destination, int value) {
        code.write(0xB8);
        write32(value);
        evex(2, 1, 0, width, 0, destination, 0, 0, 0);
        code.write(0x7C);
        code.write(0xC0 | destination % 8 << 3);
    }

    /// @param first 0, if the instruction has but one source
    public void vector(Instruction instruction, Width width, int destination, int first, int second) {
        evex(instruction, width, 0, destination, first, second % 16 / 8, second / 16);
        code.write(instruction.code);
        code.write(0xC0 | destination % 8 << 3 | second % 8);
    }

    /// With the second source, or what is written, in memory.
    ///
    /// @param register the one that is not in memory
    public void vector(Instruction instruction, Width width, int register, int first, Address memory) {
        memory(instruction, width, 0, register, first, memory, instruction.share.bytes(width));
    }

    /// With 32 bits from memory everywhere in the second source.
    public void broadcast(Instruction instruction, Width width, int destination, int first, Address memory) {
        memory(instruction, width, BROADCAST, destination, first, memory, Integer.BYTES);
    }

    /// With an immediate behind.
    public void vector(Instruction instruction, Width width, int register, int first, Address memory, int immediate) {
        vector(instruction, width, register, first, memory);
        code.write(immediate);
    }

    /// With an immediate behind.
    public void vector(Instruction instruction, Width width, int destination, int first, int second, int immediate) {
        vector(instruction, width, destination, first, second);
        code.write(immediate);
    }

    /// A shift or rotation by `bits`.
    public void shift(Instruction instruction, Width width, int destination, int source, int bits) {
        vector(instruction, width, instruction.extension, destination, source);
        code.write(bits);
    }

    /// The same, of what lies in memory.
    public void shift(Instruction instruction, Width width, int destination, Address source, int bits) {
        vector(instruction, width, instruction.extension, destination, source);
        code.write(bits);
    }

    /// Says how many rows, and bytes of each, every tile has: 64 bytes of memory.
    public void configureTiles(Address memory) {
        vex(0, 0, memory);
        code.write(0x49);
        operand(0, memory, 1);
    }

    public void releaseTiles() {
        vex(0, 0, null);
        code.write(0x49);
        code.write(0xC0);
    }

    public void zeroTile(int tile) {
        vex(3, 0, null);
        code.write(0x49);
        code.write(0xC0 | tile << 3);
    }

    /// @param memory of the first row, with the bytes from one row to the next for its index
    public void loadTile(int tile, Address memory) {
        tile(3, tile, memory);
    }

    /// @param memory see [#loadTile]
    public void storeTile(int tile, Address memory) {
        tile(2, tile, memory);
    }

    private void tile(int prefix, int tile, Address memory) {
        vex(prefix, 0, memory);
        code.write(0x4B);
        operand(tile, memory, 1);
    }

    /// `sums += a·b` of signed bytes `a` and unsigned bytes `b`, four rows of which lie side by side in every 32 bits.
    public void multiplyTiles(int sums, int a, int b) {
        vex(2, b, null);
        code.write(0x5E);
        code.write(0xC0 | sums << 3 | a);
    }

    /// `sums += a·b` of signed bytes, four rows of `b` side by side in every 32 bits.
    public void multiplySignedTiles(int sums, int a, int b) {
        vex(3, b, null);
        code.write(0x5E);
        code.write(0xC0 | sums << 3 | a);
    }

    /// `sums += a·b` of bfloat16, two rows of `b` side by side in every 32 bits; the sums are float32.
    public void multiplyBFloat16Tiles(int sums, int a, int b) {
        vex(2, b, null);
        code.write(0x5C);
        code.write(0xC0 | sums << 3 | a);
    }

    /// The three bytes before the code of an instruction on tiles.
    private void vex(int prefix, int second, Address memory) {
        int b = memory == null ? 0 : memory.base().ordinal() / 8;
        int x = memory == null || memory.index() == null ? 0 : memory.index().ordinal() / 8;
        code.write(0xC4);
        code.write(0x80 | (1 - x) << 6 | (1 - b) << 5 | 2);
        code.write((~second & 15) << 3 | prefix);
    }

    private void memory(
            Instruction instruction, Width width, int flags, int register, int first, Address memory, int unit) {
        int index = memory.index() == null ? 0 : memory.index().ordinal() / 8;
        evex(instruction, width, flags, register, first, memory.base().ordinal() / 8, index);
        code.write(instruction.code);
        operand(register % 8, memory, unit);
    }

    private void evex(Instruction instruction, Width width, int flags, int register, int first, int b, int x) {
        evex(instruction.map, instruction.prefix, instruction.wide, width, flags, register, first, b, x);
    }

    /// The four bytes before the code of an instruction. Register numbers in them are inverted.
    ///
    /// @param b bit 3 of the number of the base, or of the second source
    /// @param x bit 3 of the number of the index, or bit 4 of that of the second source
    private void evex(int map, int prefix, int wide, Width width, int flags, int register, int first, int b, int x) {
        code.write(0x62);
        code.write((~register & 8) << 4 | (1 - x) << 6 | (1 - b) << 5 | (~register & 16) | map);
        code.write(wide << 7 | (~first & 15) << 3 | 4 | prefix);
        code.write(width.ordinal() << 5 | flags | (~first & 16) >> 1);
    }

    private void general(int operation, int register, Register operand) {
        code.write(0x48 | register / 8 << 2 | operand.ordinal() / 8);
        code.write(operation);
        code.write(0xC0 | register % 8 << 3 | operand.ordinal() % 8);
    }

    private void general(int operation, int register, Address memory) {
        rex(0x48, register, memory);
        code.write(operation);
        operand(register % 8, memory, 1);
    }

    /// @param flags 0, if the byte may be left out
    private void rex(int flags, int register, Address memory) {
        int index = memory.index() == null ? 0 : memory.index().ordinal() / 8;
        int rex = flags | register / 8 << 2 | index << 1 | memory.base().ordinal() / 8;
        if (rex != 0) {
            code.write(rex | 0x40);
        }
    }

    /// The bytes that name a register and a place in memory.
    ///
    /// @param unit what a displacement of one byte counts in
    private void operand(int register, Address memory, int unit) {
        int base = memory.base().ordinal() % 8;
        boolean indexed = memory.index() != null || base == 4;
        int displacement = memory.displacement();
        boolean fitsByte = displacement % unit == 0 && (byte) (displacement / unit) == displacement / unit;
        // A base numbered 5 or 13 always takes a displacement.
        int mode = displacement == 0 && base != 5 ? 0 : fitsByte ? 1 : 2;
        code.write(mode << 6 | register << 3 | (indexed ? 4 : base));
        if (indexed) {
            int index = memory.index() == null ? 4 : memory.index().ordinal() % 8;
            code.write(Integer.numberOfTrailingZeros(memory.scale()) << 6 | index << 3 | base);
        }
        if (mode == 1) {
            code.write(displacement / unit);
        } else if (mode == 2) {
            write32(displacement);
        }
    }

    private void write32(int value) {
        for (int shift = 0; shift < 32; shift += 8) {
            code.write(value >>> shift);
        }
    }
}

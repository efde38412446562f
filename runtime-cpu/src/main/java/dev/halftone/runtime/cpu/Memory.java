package dev.halftone.runtime.cpu;

import static dev.halftone.core.tensor.AllMemory.ALL;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;

/// A block of zeroed native memory on a cache line's boundary, and access to such memory by absolute address.
///
/// With the system property `halftone.cpu.checked` every access is looked up among the living blocks and fails with an
/// [IndexOutOfBoundsException] outside of them; without it, nothing is checked.
final class Memory implements AutoCloseable {
    static final boolean CHECKED = Boolean.getBoolean("halftone.cpu.checked");
    static final long LINE = 64;

    // Copying zeroes allocates nothing; filling needs a slice.
    private static final MemorySegment ZEROES = Arena.global().allocate(1 << 14, LINE);

    private static final ConcurrentSkipListMap<Long, Long> LIVING = new ConcurrentSkipListMap<>();
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED;
    private static final ValueLayout.OfDouble DOUBLE = ValueLayout.JAVA_DOUBLE_UNALIGNED;

    private final MemorySegment block;
    private final long address;
    private final long bytes;
    private volatile boolean open = true;

    private Memory(long bytes) {
        this.bytes = Math.max(LINE, bytes);
        block = NativeHeap.allocate(Math.addExact(this.bytes, LINE - 1));
        address = Math.ceilDiv(block.address(), LINE) * LINE;
        if (CHECKED) {
            LIVING.put(address, this.bytes);
        }
    }

    static Memory ofBytes(long bytes) {
        return new Memory(bytes);
    }

    static Memory ofFloats(long count) {
        return new Memory(Math.multiplyExact(count, Float.BYTES));
    }

    /// `memory` if it has room for `bytes`, else another in its place; what it held is lost then.
    static Memory grown(Memory memory, long bytes) {
        if (memory.bytes >= bytes) {
            return memory;
        }
        memory.close();
        return ofBytes(bytes);
    }

    long address() {
        return address;
    }

    long bytes() {
        return bytes;
    }

    boolean isOpen() {
        return open;
    }

    /// Frees the block; a second call does nothing.
    @Override
    public void close() {
        if (open) {
            open = false;
            if (CHECKED) {
                LIVING.remove(address);
            }
            NativeHeap.free(block);
        }
    }

    static float getFloat(long address) {
        if (CHECKED) {
            check(address, Float.BYTES);
        }
        return ALL.get(FLOAT, address);
    }

    static void putFloat(long address, float value) {
        if (CHECKED) {
            check(address, Float.BYTES);
        }
        ALL.set(FLOAT, address, value);
    }

    static int getInt(long address) {
        if (CHECKED) {
            check(address, Integer.BYTES);
        }
        return ALL.get(INT, address);
    }

    static void putInt(long address, int value) {
        if (CHECKED) {
            check(address, Integer.BYTES);
        }
        ALL.set(INT, address, value);
    }

    static double getDouble(long address) {
        if (CHECKED) {
            check(address, Double.BYTES);
        }
        return ALL.get(DOUBLE, address);
    }

    static void putLong(long address, long value) {
        if (CHECKED) {
            check(address, Long.BYTES);
        }
        ALL.set(LONG, address, value);
    }

    static void putShort(long address, short value) {
        if (CHECKED) {
            check(address, Short.BYTES);
        }
        ALL.set(SHORT, address, value);
    }

    static void copyFloats(long source, long destination, long count) {
        if (CHECKED) {
            check(source, count * Float.BYTES);
            check(destination, count * Float.BYTES);
        }
        MemorySegment.copy(ALL, source, ALL, destination, count * Float.BYTES);
    }

    static void copyFloats(float[] source, int offset, long destination, int count) {
        if (CHECKED) {
            check(destination, (long) count * Float.BYTES);
        }
        MemorySegment.copy(source, offset, ALL, FLOAT, destination, count);
    }

    static void copyFloats(long source, float[] destination, int offset, int count) {
        if (CHECKED) {
            check(source, (long) count * Float.BYTES);
        }
        MemorySegment.copy(ALL, FLOAT, source, destination, offset, count);
    }

    static void copyBytes(byte[] source, long destination, int count) {
        if (CHECKED) {
            check(destination, count);
        }
        MemorySegment.copy(source, 0, ALL, ValueLayout.JAVA_BYTE, destination, count);
    }

    static void zeroFloats(long destination, long count) {
        if (CHECKED) {
            check(destination, count * Float.BYTES);
        }
        long bytes = count * Float.BYTES;
        for (long done = 0; done < bytes; done += ZEROES.byteSize()) {
            MemorySegment.copy(ZEROES, 0, ALL, destination + done, Math.min(ZEROES.byteSize(), bytes - done));
        }
    }

    /// Fails unless one living block holds all `bytes` from `address` on.
    static void check(long address, long bytes) {
        Map.Entry<Long, Long> block = LIVING.floorEntry(address);
        if (bytes > 0 && (block == null || address + bytes > block.getKey() + block.getValue())) {
            throw new IndexOutOfBoundsException(bytes + " bytes at 0x" + Long.toHexString(address)
                    + " lie in no living block"
                    + (block == null
                            ? ""
                            : "; the nearest holds " + block.getValue() + " bytes at 0x"
                                    + Long.toHexString(block.getKey())));
        }
    }
}

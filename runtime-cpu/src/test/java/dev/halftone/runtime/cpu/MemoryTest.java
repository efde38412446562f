package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.ReferenceBackend;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

class MemoryTest {
    @Test
    void startsOnACacheLineAndHoldsZeroes() {
        try (Memory memory = Memory.ofFloats(100)) {
            assertEquals(0, memory.address() % Memory.LINE);
            for (int i = 0; i < 100; i++) {
                assertEquals(0f, Memory.getFloat(memory.address() + 4L * i));
            }
        }
    }

    /// Such a block comes in pages of its own.
    @Test
    void largeBlocksHoldZeroesToo() {
        for (int round = 0; round < 3; round++) {
            try (Memory memory = Memory.ofBytes((9 << 20) + 4)) {
                assertEquals(0, memory.address() % Memory.LINE);
                assertEquals((9 << 20) + 4, memory.bytes());
                for (long i = 0; i < memory.bytes(); i += 4) {
                    assertEquals(0, Memory.getInt(memory.address() + i));
                    Memory.putInt(memory.address() + i, -1);
                }
            }
        }
    }

    @Test
    void asksForMoreThanThereIs() {
        assertThrows(OutOfMemoryError.class, () -> Memory.ofBytes(1L << 60));
        assertThrows(ArithmeticException.class, () -> Memory.ofBytes(Long.MAX_VALUE));
    }

    @Test
    void checksEveryAccessInTheCheckedMode() {
        Assumptions.assumeTrue(Memory.CHECKED, "not in the checked mode");
        Memory memory = Memory.ofFloats(16);
        long end = memory.address() + 64;
        assertThrows(IndexOutOfBoundsException.class, () -> Memory.getFloat(end));
        assertThrows(IndexOutOfBoundsException.class, () -> Memory.getFloat(end - 3));
        assertThrows(IndexOutOfBoundsException.class, () -> Memory.putFloat(memory.address() - 4, 1));
        assertThrows(IndexOutOfBoundsException.class, () -> Memory.zeroFloats(memory.address(), 17));
        memory.close();
        memory.close();
        assertThrows(IndexOutOfBoundsException.class, () -> Memory.getInt(end - 4));
    }

    @Test
    void matricesOfOthersAndFreedOnesAreRefused() {
        try (Backend backend = TestBackends.open(1);
                Backend other = new ReferenceBackend();
                Matrix theirs = other.allocate(2, 2);
                Matrix ours = backend.allocate(2, 2)) {
            assertThrows(IllegalArgumentException.class, () -> backend.add(theirs, ours));
            Matrix freed = backend.allocate(2, 2);
            Matrix view = freed.rows(0, 1);
            view.close();
            backend.copy(freed, ours);
            freed.close();
            assertThrows(IllegalStateException.class, () -> backend.copy(freed, ours));
            assertThrows(IllegalStateException.class, () -> backend.copy(view, ours.rows(0, 1)));
        }
    }
}

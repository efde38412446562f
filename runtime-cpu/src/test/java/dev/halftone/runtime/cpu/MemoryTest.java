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

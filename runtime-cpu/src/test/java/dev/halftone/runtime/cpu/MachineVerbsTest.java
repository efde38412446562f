package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The results of the vector kernels, bit for bit.
class MachineVerbsTest {
    private static final int MOST = 200;

    private MachineVerbs verbs;

    @BeforeEach
    void requireMachineCode() {
        TestBackends.requireMachineCode();
        verbs = DigitKernels.load().verbs();
    }

    private static Memory random(long seed) {
        Random random = new Random(seed);
        Memory memory = Memory.ofFloats(MOST);
        for (int i = 0; i < MOST; i++) {
            Memory.putFloat(memory.address() + (long) i * Float.BYTES, (float) random.nextGaussian() * 3);
        }
        return memory;
    }

    private static void assertSame(Memory expected, Memory found) {
        for (long at = 0; at < (long) MOST * Float.BYTES; at += Float.BYTES) {
            assertEquals(Memory.getInt(expected.address() + at), Memory.getInt(found.address() + at), "byte " + at);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {5, 16, 64, 83, 160})
    void treatsRowsAsTheVectorKernelsDo(int count) {
        try (Memory x = random(1);
                Memory y = random(2);
                Memory expected = random(3);
                Memory found = random(3);
                Memory room = Memory.ofFloats(2 * MOST)) {
            RowKernel.add(x.address(), expected.address(), count);
            verbs.add(x.address(), found.address(), count, room.address());
            assertSame(expected, found);
            RowKernel.scale(x.address(), 0.37f, expected.address(), count);
            verbs.multiply(x.address(), 0.37f, found.address(), count, room.address());
            assertSame(expected, found);
            RowKernel.gate(x.address(), y.address(), expected.address(), count, room.address());
            verbs.gate(x.address(), y.address(), found.address(), count, room.address());
            assertSame(expected, found);
            RowKernel.normalize(x.address(), y.address(), 1e-5f, count, expected.address(), room.address());
            verbs.normalize(x.address(), y.address(), 1e-5f, count, found.address(), room.address());
            assertSame(expected, found);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {7, 16, 32, 48})
    void rotatesAsTheVectorKernelsDo(int half) {
        try (Memory cosines = random(1);
                Memory sines = random(2);
                Memory expected = random(3);
                Memory found = random(3);
                Memory room = Memory.ofFloats(MachineVerbs.ARGUMENTS)) {
            RowKernel.rotate(expected.address(), half, cosines.address(), sines.address());
            verbs.rotate(found.address(), half, cosines.address(), sines.address(), room.address());
            assertSame(expected, found);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 8, 12})
    void weighsScoresAsTheVectorKernelsDo(int vectors) {
        int count = vectors * 16;
        try (Memory expected = random(3);
                Memory found = random(3);
                Memory room = Memory.ofFloats(16 + MachineVerbs.ARGUMENTS)) {
            Memory.putFloat(expected.address(), -1e30f);
            Memory.putFloat(found.address(), -1e30f);
            float maximum = RowKernel.maximum(expected.address(), count);
            assertEquals(maximum, verbs.maximum(found.address(), vectors, room.address()));
            float sum = RowKernel.exponentials(expected.address(), count, maximum, room.address());
            assertEquals(sum, verbs.exponentials(found.address(), vectors, maximum, room.address()));
            assertSame(expected, found);
        }
    }
}

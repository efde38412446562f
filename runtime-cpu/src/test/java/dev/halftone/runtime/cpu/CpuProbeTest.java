package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.compute.MachineProbe;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class CpuProbeTest {
    private Kernels kernels;

    @BeforeEach
    void chooseKernels() {
        TestBackends.requireWidth();
        kernels = VectorWidth.kernels();
    }

    /// Vectors left over after four equal streams are read too.
    @Test
    void readsEveryVectorOnce() {
        int vectors = 4 * 5 + 3;
        int floats = vectors * kernels.lanes();
        try (Memory memory = Memory.ofFloats(floats);
                Memory scratch = Memory.ofFloats(kernels.lanes())) {
            double expected = 0;
            for (int i = 0; i < floats; i++) {
                Memory.putFloat(memory.address() + 4L * i, i % 7);
                expected += i % 7;
            }
            assertEquals((float) expected, kernels.read(memory.address(), vectors, scratch.address()));
        }
    }

    @Test
    void multipliesAndAddsAsOftenAsItSays() {
        try (Memory scratch = Memory.ofFloats(kernels.lanes())) {
            float expected = 100 * Kernels.MULTIPLY_ADDS * kernels.lanes();
            assertEquals(expected, kernels.multiplyAdd(100, scratch.address()));
        }
    }

    @Test
    void tellsSpeedsOfSmallAndOddBlocks() {
        try (CpuBackend backend = TestBackends.open(3)) {
            for (long bytes : new long[] {0, 100, 1_000_003}) {
                try (MachineProbe probe = backend.probe(bytes).orElseThrow()) {
                    assertTrue(probe.readingSpeed() > 0);
                    assertTrue(probe.multiplyAddSpeed() > 0);
                }
            }
        }
    }
}

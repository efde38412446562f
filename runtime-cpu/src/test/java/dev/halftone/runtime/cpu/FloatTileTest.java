package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// The results of the vector kernel, bit for bit.
class FloatTileTest {
    @ParameterizedTest
    @CsvSource({"1, 4, 1, 1", "2, 1, 5, 0.125", "3, 3, 64, -0.3", "4, 2, 128, 1", "4, 4, 64, 1"})
    void multipliesAsTheVectorKernelDoes(int rows, int strips, int depth, float alpha) {
        TestBackends.requireMachineCode();
        Random random = new Random(3);
        long aRow = (depth + 3) * 4L;
        long bStrip = (depth + 1) * Memory.LINE;
        long cRow = (Kernels.TILE_STRIPS + 1) * Memory.LINE;
        try (Memory a = Memory.ofBytes(rows * aRow);
                Memory b = Memory.ofBytes(Kernels.TILE_STRIPS * bStrip);
                Memory expected = Memory.ofBytes(Kernels.TILE_ROWS * cRow);
                Memory found = Memory.ofBytes(Kernels.TILE_ROWS * cRow);
                Memory arguments = Memory.ofFloats(FloatTile.ARGUMENTS)) {
            for (Memory memory : new Memory[] {a, b, expected}) {
                for (long at = 0; at < memory.bytes(); at += Float.BYTES) {
                    Memory.putFloat(memory.address() + at, (float) random.nextGaussian());
                }
            }
            Memory.copyFloats(expected.address(), found.address(), (int) (found.bytes() / Float.BYTES));
            try (Memory whole = Memory.ofBytes(expected.bytes())) {
                Memory.copyFloats(expected.address(), whole.address(), (int) (whole.bytes() / Float.BYTES));
                TileKernel.tile(a.address(), aRow, rows, b.address(), bStrip, depth, whole.address(), cRow, alpha);
                for (int row = 0; row < Kernels.TILE_ROWS; row++) {
                    Memory.copyFloats(
                            whole.address() + row * cRow,
                            expected.address() + row * cRow,
                            strips * (int) Memory.LINE / Float.BYTES);
                }
            }
            DigitKernels.load()
                    .floatTile()
                    .multiply(
                            a.address(),
                            aRow,
                            rows,
                            b.address(),
                            bStrip,
                            strips,
                            0,
                            bStrip,
                            depth,
                            found.address(),
                            cRow,
                            alpha,
                            arguments.address());
            for (long at = 0; at < found.bytes(); at += Integer.BYTES) {
                assertEquals(Memory.getInt(expected.address() + at), Memory.getInt(found.address() + at), "byte " + at);
            }
        }
    }
}

package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/// The results of the vector kernels, bit for bit.
class ProductTileTest {
    private final Random random = new Random(3);

    @BeforeEach
    void requireMachineCode() {
        TestBackends.requireMachineCode();
    }

    private Memory random(long bytes) {
        Memory memory = Memory.ofBytes(bytes);
        for (long at = 0; at < bytes; at += Float.BYTES) {
            Memory.putFloat(memory.address() + at, (float) random.nextGaussian());
        }
        return memory;
    }

    private static void assertSame(Memory expected, Memory found) {
        for (long at = 0; at < found.bytes(); at += Integer.BYTES) {
            assertEquals(Memory.getInt(expected.address() + at), Memory.getInt(found.address() + at), "byte " + at);
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 1", "2, 3, 0.125", "3, 4, -1", "5, 7, 1", "8, 64, -0.3", "11, 130, 1", "12, 512, 1"})
    void multipliesAsTheVectorKernelDoes(int rows, int depth, float alpha) {
        long aRow = (depth + 3) * 4L;
        long bStrip = (depth + 1) * Memory.LINE;
        long cRow = 3 * Memory.LINE;
        try (Memory a = random(rows * aRow);
                Memory b = random(ProductTile.STRIPS * bStrip);
                Memory expected = random(rows * cRow);
                Memory found = Memory.ofBytes(expected.bytes());
                Memory one = Memory.ofBytes(Kernels.TILE_ROWS * Memory.LINE);
                Memory arguments = Memory.ofFloats(ProductTile.ARGUMENTS)) {
            Memory.copyFloats(expected.address(), found.address(), (int) (found.bytes() / Float.BYTES));
            for (int row = 0; row < rows; row++) {
                for (int strip = 0; strip < ProductTile.STRIPS; strip++) {
                    long c = expected.address() + row * cRow + strip * Memory.LINE;
                    long strips = b.address() + strip * bStrip;
                    Memory.copyFloats(c, one.address(), 16);
                    VectorWidth.kernels()
                            .narrowTile(
                                    a.address() + row * aRow,
                                    aRow,
                                    1,
                                    strips,
                                    depth,
                                    one.address(),
                                    Memory.LINE,
                                    alpha);
                    Memory.copyFloats(one.address(), c, 16);
                }
            }
            DigitKernels.load()
                    .productTile()
                    .multiply(
                            a.address(),
                            aRow,
                            rows,
                            b.address(),
                            bStrip,
                            depth,
                            found.address(),
                            cRow,
                            alpha,
                            arguments.address());
            assertSame(expected, found);
        }
    }

    /// Rows, columns and depths that fill no tile, no panel and no block.
    @ParameterizedTest
    @EnumSource(Gemm.Part.class)
    void leavesProductsAsTheyWere(Gemm.Part part) {
        compare(131, 700, 203, part);
    }

    @Test
    void leavesProductsOfManyRowsAsTheyWere() {
        compare(1500, 513, 64, Gemm.Part.ALL);
    }

    private void compare(int rows, int depth, int columns, Gemm.Part part) {
        Kernels kernels = VectorWidth.kernels();
        long aRow = depth * 4L;
        long bRow = columns * 4L;
        long cRow = (columns + 16) * 4L;
        try (WorkerPool pool = new WorkerPool(2);
                Scratch scratch = new Scratch(2);
                Memory a = random(rows * aRow);
                Memory b = random(depth * bRow);
                Memory expected = random(rows * cRow);
                Memory found = Memory.ofBytes(expected.bytes())) {
            Memory.copyFloats(expected.address(), found.address(), (int) (found.bytes() / Float.BYTES));
            for (Memory c : new Memory[] {expected, found}) {
                ProductTile tile = c == found ? DigitKernels.load().productTile() : null;
                Panels panels = new MatrixPanels(kernels).of(b.address(), bRow, columns);
                new Gemm(kernels, tile, pool, scratch)
                        .accumulate(a.address(), aRow, rows, panels, depth, columns, c.address(), cRow, -1, part);
            }
            assertSame(expected, found);
        }
    }
}

package dev.halftone.runtime.cpu;

import static dev.halftone.core.tensor.AllMemory.ALL;
import static dev.halftone.runtime.cpu.Lanes.BYTES;
import static dev.halftone.runtime.cpu.Lanes.FLOATS;
import static dev.halftone.runtime.cpu.Lanes.ORDER;
import static dev.halftone.runtime.cpu.Lanes.at;
import static dev.halftone.runtime.cpu.Memory.getFloat;
import static jdk.incubator.vector.FloatVector.broadcast;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;

import jdk.incubator.vector.FloatVector;

/// The register tile of every matrix product: sixteen accumulators hide the latency of the multiply-add, and four
/// rows by four vectors is the largest tile whose body the compiler still inlines whole (6 x 4 and 8 x 3 lose
/// half). Steps are constants, because only then does the compiler check the bounds of a loop's addresses before
/// the loop: with variable ones the checks are two fifths of its instructions. That is why there are several tiles
/// with the same sums, one for each way in which the sides lie; what they share cannot be a method, since a vector that
/// crosses a call becomes an object.
final class TileKernel {
    private TileKernel() {}

    /// See [Kernels#tile].
    static void tile(long a, long aRow, int rows, long b, long bStrip, int depth, long c, long cRow, float alpha) {
        FloatVector c00 = FloatVector.zero(FLOATS);
        FloatVector c01 = FloatVector.zero(FLOATS);
        FloatVector c02 = FloatVector.zero(FLOATS);
        FloatVector c03 = FloatVector.zero(FLOATS);
        FloatVector c10 = FloatVector.zero(FLOATS);
        FloatVector c11 = FloatVector.zero(FLOATS);
        FloatVector c12 = FloatVector.zero(FLOATS);
        FloatVector c13 = FloatVector.zero(FLOATS);
        FloatVector c20 = FloatVector.zero(FLOATS);
        FloatVector c21 = FloatVector.zero(FLOATS);
        FloatVector c22 = FloatVector.zero(FLOATS);
        FloatVector c23 = FloatVector.zero(FLOATS);
        FloatVector c30 = FloatVector.zero(FLOATS);
        FloatVector c31 = FloatVector.zero(FLOATS);
        FloatVector c32 = FloatVector.zero(FLOATS);
        FloatVector c33 = FloatVector.zero(FLOATS);
        long a1 = a + Math.min(1, rows - 1) * aRow;
        long a2 = a + Math.min(2, rows - 1) * aRow;
        long a3 = a + Math.min(3, rows - 1) * aRow;
        for (int k = 0; k < depth; k++) {
            long ak = (long) k * Float.BYTES;
            long bk = b + (long) k * BYTES;
            FloatVector b0 = fromMemorySegment(FLOATS, ALL, at(bk), ORDER);
            FloatVector b1 = fromMemorySegment(FLOATS, ALL, at(bk + bStrip), ORDER);
            FloatVector b2 = fromMemorySegment(FLOATS, ALL, at(bk + 2 * bStrip), ORDER);
            FloatVector b3 = fromMemorySegment(FLOATS, ALL, at(bk + 3 * bStrip), ORDER);
            FloatVector x0 = broadcast(FLOATS, getFloat(a + ak));
            c00 = b0.fma(x0, c00);
            c01 = b1.fma(x0, c01);
            c02 = b2.fma(x0, c02);
            c03 = b3.fma(x0, c03);
            FloatVector x1 = broadcast(FLOATS, getFloat(a1 + ak));
            c10 = b0.fma(x1, c10);
            c11 = b1.fma(x1, c11);
            c12 = b2.fma(x1, c12);
            c13 = b3.fma(x1, c13);
            FloatVector x2 = broadcast(FLOATS, getFloat(a2 + ak));
            c20 = b0.fma(x2, c20);
            c21 = b1.fma(x2, c21);
            c22 = b2.fma(x2, c22);
            c23 = b3.fma(x2, c23);
            FloatVector x3 = broadcast(FLOATS, getFloat(a3 + ak));
            c30 = b0.fma(x3, c30);
            c31 = b1.fma(x3, c31);
            c32 = b2.fma(x3, c32);
            c33 = b3.fma(x3, c33);
        }
        FloatVector factor = broadcast(FLOATS, alpha);
        c00.fma(factor, fromMemorySegment(FLOATS, ALL, at(c), ORDER)).intoMemorySegment(ALL, at(c), ORDER);
        c01.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + BYTES), ORDER);
        c02.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 2 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * BYTES), ORDER);
        c03.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 3 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * BYTES), ORDER);
        c10.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + cRow), ORDER))
                .intoMemorySegment(ALL, at(c + cRow), ORDER);
        c11.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + cRow + BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + cRow + BYTES), ORDER);
        c12.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + cRow + 2 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + cRow + 2 * BYTES), ORDER);
        c13.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + cRow + 3 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + cRow + 3 * BYTES), ORDER);
        c20.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 2 * cRow), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * cRow), ORDER);
        c21.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 2 * cRow + BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * cRow + BYTES), ORDER);
        c22.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 2 * cRow + 2 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * cRow + 2 * BYTES), ORDER);
        c23.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 2 * cRow + 3 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * cRow + 3 * BYTES), ORDER);
        c30.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 3 * cRow), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * cRow), ORDER);
        c31.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 3 * cRow + BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * cRow + BYTES), ORDER);
        c32.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 3 * cRow + 2 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * cRow + 2 * BYTES), ORDER);
        c33.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 3 * cRow + 3 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * cRow + 3 * BYTES), ORDER);
    }

    /// See [Kernels#packedTile].
    static void packedTile(long a, long b, int depth, long c, long cRow, float alpha) {
        FloatVector c00 = FloatVector.zero(FLOATS);
        FloatVector c01 = FloatVector.zero(FLOATS);
        FloatVector c02 = FloatVector.zero(FLOATS);
        FloatVector c03 = FloatVector.zero(FLOATS);
        FloatVector c10 = FloatVector.zero(FLOATS);
        FloatVector c11 = FloatVector.zero(FLOATS);
        FloatVector c12 = FloatVector.zero(FLOATS);
        FloatVector c13 = FloatVector.zero(FLOATS);
        FloatVector c20 = FloatVector.zero(FLOATS);
        FloatVector c21 = FloatVector.zero(FLOATS);
        FloatVector c22 = FloatVector.zero(FLOATS);
        FloatVector c23 = FloatVector.zero(FLOATS);
        FloatVector c30 = FloatVector.zero(FLOATS);
        FloatVector c31 = FloatVector.zero(FLOATS);
        FloatVector c32 = FloatVector.zero(FLOATS);
        FloatVector c33 = FloatVector.zero(FLOATS);
        for (int k = 0; k < depth; k++) {
            long ak = a + (long) k * Kernels.TILE_ROWS * Float.BYTES;
            long bk = b + (long) k * Kernels.TILE_STRIPS * BYTES;
            FloatVector b0 = fromMemorySegment(FLOATS, ALL, at(bk), ORDER);
            FloatVector b1 = fromMemorySegment(FLOATS, ALL, at(bk + BYTES), ORDER);
            FloatVector b2 = fromMemorySegment(FLOATS, ALL, at(bk + 2 * BYTES), ORDER);
            FloatVector b3 = fromMemorySegment(FLOATS, ALL, at(bk + 3 * BYTES), ORDER);
            FloatVector x0 = broadcast(FLOATS, getFloat(ak));
            c00 = b0.fma(x0, c00);
            c01 = b1.fma(x0, c01);
            c02 = b2.fma(x0, c02);
            c03 = b3.fma(x0, c03);
            FloatVector x1 = broadcast(FLOATS, getFloat(ak + Float.BYTES));
            c10 = b0.fma(x1, c10);
            c11 = b1.fma(x1, c11);
            c12 = b2.fma(x1, c12);
            c13 = b3.fma(x1, c13);
            FloatVector x2 = broadcast(FLOATS, getFloat(ak + 2 * Float.BYTES));
            c20 = b0.fma(x2, c20);
            c21 = b1.fma(x2, c21);
            c22 = b2.fma(x2, c22);
            c23 = b3.fma(x2, c23);
            FloatVector x3 = broadcast(FLOATS, getFloat(ak + 3 * Float.BYTES));
            c30 = b0.fma(x3, c30);
            c31 = b1.fma(x3, c31);
            c32 = b2.fma(x3, c32);
            c33 = b3.fma(x3, c33);
        }
        FloatVector factor = broadcast(FLOATS, alpha);
        c00.fma(factor, fromMemorySegment(FLOATS, ALL, at(c), ORDER)).intoMemorySegment(ALL, at(c), ORDER);
        c01.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + BYTES), ORDER);
        c02.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 2 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * BYTES), ORDER);
        c03.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 3 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * BYTES), ORDER);
        c10.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + cRow), ORDER))
                .intoMemorySegment(ALL, at(c + cRow), ORDER);
        c11.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + cRow + BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + cRow + BYTES), ORDER);
        c12.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + cRow + 2 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + cRow + 2 * BYTES), ORDER);
        c13.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + cRow + 3 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + cRow + 3 * BYTES), ORDER);
        c20.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 2 * cRow), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * cRow), ORDER);
        c21.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 2 * cRow + BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * cRow + BYTES), ORDER);
        c22.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 2 * cRow + 2 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * cRow + 2 * BYTES), ORDER);
        c23.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 2 * cRow + 3 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * cRow + 3 * BYTES), ORDER);
        c30.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 3 * cRow), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * cRow), ORDER);
        c31.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 3 * cRow + BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * cRow + BYTES), ORDER);
        c32.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 3 * cRow + 2 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * cRow + 2 * BYTES), ORDER);
        c33.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 3 * cRow + 3 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * cRow + 3 * BYTES), ORDER);
    }

    /// See [Kernels#columnTile].
    static void columnTile(long a, long b, long bStrip, int depth, long c, long cRow) {
        FloatVector c00 = FloatVector.zero(FLOATS);
        FloatVector c01 = FloatVector.zero(FLOATS);
        FloatVector c02 = FloatVector.zero(FLOATS);
        FloatVector c03 = FloatVector.zero(FLOATS);
        FloatVector c10 = FloatVector.zero(FLOATS);
        FloatVector c11 = FloatVector.zero(FLOATS);
        FloatVector c12 = FloatVector.zero(FLOATS);
        FloatVector c13 = FloatVector.zero(FLOATS);
        FloatVector c20 = FloatVector.zero(FLOATS);
        FloatVector c21 = FloatVector.zero(FLOATS);
        FloatVector c22 = FloatVector.zero(FLOATS);
        FloatVector c23 = FloatVector.zero(FLOATS);
        FloatVector c30 = FloatVector.zero(FLOATS);
        FloatVector c31 = FloatVector.zero(FLOATS);
        FloatVector c32 = FloatVector.zero(FLOATS);
        FloatVector c33 = FloatVector.zero(FLOATS);
        for (int k = 0; k < depth; k++) {
            long ak = (long) k * BYTES;
            long bk = b + (long) k * BYTES;
            FloatVector b0 = fromMemorySegment(FLOATS, ALL, at(bk), ORDER);
            FloatVector b1 = fromMemorySegment(FLOATS, ALL, at(bk + bStrip), ORDER);
            FloatVector b2 = fromMemorySegment(FLOATS, ALL, at(bk + 2 * bStrip), ORDER);
            FloatVector b3 = fromMemorySegment(FLOATS, ALL, at(bk + 3 * bStrip), ORDER);
            FloatVector x0 = broadcast(FLOATS, getFloat(a + ak));
            c00 = b0.fma(x0, c00);
            c01 = b1.fma(x0, c01);
            c02 = b2.fma(x0, c02);
            c03 = b3.fma(x0, c03);
            FloatVector x1 = broadcast(FLOATS, getFloat(a + ak + Float.BYTES));
            c10 = b0.fma(x1, c10);
            c11 = b1.fma(x1, c11);
            c12 = b2.fma(x1, c12);
            c13 = b3.fma(x1, c13);
            FloatVector x2 = broadcast(FLOATS, getFloat(a + ak + 2 * Float.BYTES));
            c20 = b0.fma(x2, c20);
            c21 = b1.fma(x2, c21);
            c22 = b2.fma(x2, c22);
            c23 = b3.fma(x2, c23);
            FloatVector x3 = broadcast(FLOATS, getFloat(a + ak + 3 * Float.BYTES));
            c30 = b0.fma(x3, c30);
            c31 = b1.fma(x3, c31);
            c32 = b2.fma(x3, c32);
            c33 = b3.fma(x3, c33);
        }
        c00.add(fromMemorySegment(FLOATS, ALL, at(c), ORDER)).intoMemorySegment(ALL, at(c), ORDER);
        c01.add(fromMemorySegment(FLOATS, ALL, at(c + BYTES), ORDER)).intoMemorySegment(ALL, at(c + BYTES), ORDER);
        c02.add(fromMemorySegment(FLOATS, ALL, at(c + 2 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * BYTES), ORDER);
        c03.add(fromMemorySegment(FLOATS, ALL, at(c + 3 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * BYTES), ORDER);
        c10.add(fromMemorySegment(FLOATS, ALL, at(c + cRow), ORDER)).intoMemorySegment(ALL, at(c + cRow), ORDER);
        c11.add(fromMemorySegment(FLOATS, ALL, at(c + cRow + BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + cRow + BYTES), ORDER);
        c12.add(fromMemorySegment(FLOATS, ALL, at(c + cRow + 2 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + cRow + 2 * BYTES), ORDER);
        c13.add(fromMemorySegment(FLOATS, ALL, at(c + cRow + 3 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + cRow + 3 * BYTES), ORDER);
        c20.add(fromMemorySegment(FLOATS, ALL, at(c + 2 * cRow), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * cRow), ORDER);
        c21.add(fromMemorySegment(FLOATS, ALL, at(c + 2 * cRow + BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * cRow + BYTES), ORDER);
        c22.add(fromMemorySegment(FLOATS, ALL, at(c + 2 * cRow + 2 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * cRow + 2 * BYTES), ORDER);
        c23.add(fromMemorySegment(FLOATS, ALL, at(c + 2 * cRow + 3 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * cRow + 3 * BYTES), ORDER);
        c30.add(fromMemorySegment(FLOATS, ALL, at(c + 3 * cRow), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * cRow), ORDER);
        c31.add(fromMemorySegment(FLOATS, ALL, at(c + 3 * cRow + BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * cRow + BYTES), ORDER);
        c32.add(fromMemorySegment(FLOATS, ALL, at(c + 3 * cRow + 2 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * cRow + 2 * BYTES), ORDER);
        c33.add(fromMemorySegment(FLOATS, ALL, at(c + 3 * cRow + 3 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * cRow + 3 * BYTES), ORDER);
    }

    /// See [Kernels#narrowTile].
    static void narrowTile(long a, long aRow, int rows, long b, int depth, long c, long cRow, float alpha) {
        FloatVector c00 = FloatVector.zero(FLOATS);
        FloatVector c10 = FloatVector.zero(FLOATS);
        FloatVector c20 = FloatVector.zero(FLOATS);
        FloatVector c30 = FloatVector.zero(FLOATS);
        long a1 = a + Math.min(1, rows - 1) * aRow;
        long a2 = a + Math.min(2, rows - 1) * aRow;
        long a3 = a + Math.min(3, rows - 1) * aRow;
        for (int k = 0; k < depth; k++) {
            long ak = (long) k * Float.BYTES;
            long bk = b + (long) k * BYTES;
            FloatVector b0 = fromMemorySegment(FLOATS, ALL, at(bk), ORDER);
            FloatVector x0 = broadcast(FLOATS, getFloat(a + ak));
            c00 = b0.fma(x0, c00);
            FloatVector x1 = broadcast(FLOATS, getFloat(a1 + ak));
            c10 = b0.fma(x1, c10);
            FloatVector x2 = broadcast(FLOATS, getFloat(a2 + ak));
            c20 = b0.fma(x2, c20);
            FloatVector x3 = broadcast(FLOATS, getFloat(a3 + ak));
            c30 = b0.fma(x3, c30);
        }
        FloatVector factor = broadcast(FLOATS, alpha);
        c00.fma(factor, fromMemorySegment(FLOATS, ALL, at(c), ORDER)).intoMemorySegment(ALL, at(c), ORDER);
        c10.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + cRow), ORDER))
                .intoMemorySegment(ALL, at(c + cRow), ORDER);
        c20.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 2 * cRow), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * cRow), ORDER);
        c30.fma(factor, fromMemorySegment(FLOATS, ALL, at(c + 3 * cRow), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * cRow), ORDER);
    }
}

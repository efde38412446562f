package dev.halftone.runtime.cpu;

import static dev.halftone.core.tensor.AllMemory.ALL;
import static dev.halftone.runtime.cpu.IntegerKernel.START;
import static dev.halftone.runtime.cpu.IntegerKernel.START_BITS;
import static dev.halftone.runtime.cpu.Lanes.BYTES;
import static dev.halftone.runtime.cpu.Lanes.FLOATS;
import static dev.halftone.runtime.cpu.Lanes.INTS;
import static dev.halftone.runtime.cpu.Lanes.ORDER;
import static dev.halftone.runtime.cpu.Lanes.at;
import static dev.halftone.runtime.cpu.Memory.getFloat;
import static jdk.incubator.vector.FloatVector.broadcast;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;
import static jdk.incubator.vector.IntVector.fromMemorySegment;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;

/// The tile of [TileKernel] for integers held in floats; see [IntegerKernel] for why nothing is rounded.
final class IntegerTileKernel {
    private IntegerTileKernel() {}

    /// See [Kernels#integerTile].
    static void tile(long a, long aRow, int rows, long b, long bStrip, int depth, long c, long cRow) {
        FloatVector c00 = broadcast(FLOATS, START);
        FloatVector c01 = c00;
        FloatVector c02 = c00;
        FloatVector c03 = c00;
        FloatVector c10 = c00;
        FloatVector c11 = c00;
        FloatVector c12 = c00;
        FloatVector c13 = c00;
        FloatVector c20 = c00;
        FloatVector c21 = c00;
        FloatVector c22 = c00;
        FloatVector c23 = c00;
        FloatVector c30 = c00;
        FloatVector c31 = c00;
        FloatVector c32 = c00;
        FloatVector c33 = c00;
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
        IntVector start = IntVector.broadcast(INTS, START_BITS);
        c00.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c), ORDER))
                .intoMemorySegment(ALL, at(c), ORDER);
        c01.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c + BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + BYTES), ORDER);
        c02.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c + 2 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * BYTES), ORDER);
        c03.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c + 3 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * BYTES), ORDER);
        c10.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c + cRow), ORDER))
                .intoMemorySegment(ALL, at(c + cRow), ORDER);
        c11.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c + cRow + BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + cRow + BYTES), ORDER);
        c12.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c + cRow + 2 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + cRow + 2 * BYTES), ORDER);
        c13.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c + cRow + 3 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + cRow + 3 * BYTES), ORDER);
        c20.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c + 2 * cRow), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * cRow), ORDER);
        c21.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c + 2 * cRow + BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * cRow + BYTES), ORDER);
        c22.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c + 2 * cRow + 2 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * cRow + 2 * BYTES), ORDER);
        c23.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c + 2 * cRow + 3 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * cRow + 3 * BYTES), ORDER);
        c30.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c + 3 * cRow), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * cRow), ORDER);
        c31.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c + 3 * cRow + BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * cRow + BYTES), ORDER);
        c32.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c + 3 * cRow + 2 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * cRow + 2 * BYTES), ORDER);
        c33.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c + 3 * cRow + 3 * BYTES), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * cRow + 3 * BYTES), ORDER);
    }

    /// See [Kernels#narrowIntegerTile].
    static void narrowTile(long a, long aRow, int rows, long b, int depth, long c, long cRow) {
        FloatVector c00 = broadcast(FLOATS, START);
        FloatVector c10 = c00;
        FloatVector c20 = c00;
        FloatVector c30 = c00;
        long a1 = a + Math.min(1, rows - 1) * aRow;
        long a2 = a + Math.min(2, rows - 1) * aRow;
        long a3 = a + Math.min(3, rows - 1) * aRow;
        for (int k = 0; k < depth; k++) {
            long ak = (long) k * Float.BYTES;
            FloatVector b0 = fromMemorySegment(FLOATS, ALL, at(b + (long) k * BYTES), ORDER);
            FloatVector x0 = broadcast(FLOATS, getFloat(a + ak));
            c00 = b0.fma(x0, c00);
            FloatVector x1 = broadcast(FLOATS, getFloat(a1 + ak));
            c10 = b0.fma(x1, c10);
            FloatVector x2 = broadcast(FLOATS, getFloat(a2 + ak));
            c20 = b0.fma(x2, c20);
            FloatVector x3 = broadcast(FLOATS, getFloat(a3 + ak));
            c30 = b0.fma(x3, c30);
        }
        IntVector start = IntVector.broadcast(INTS, START_BITS);
        c00.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c), ORDER))
                .intoMemorySegment(ALL, at(c), ORDER);
        c10.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c + cRow), ORDER))
                .intoMemorySegment(ALL, at(c + cRow), ORDER);
        c20.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c + 2 * cRow), ORDER))
                .intoMemorySegment(ALL, at(c + 2 * cRow), ORDER);
        c30.reinterpretAsInts()
                .sub(start)
                .add(fromMemorySegment(INTS, ALL, at(c + 3 * cRow), ORDER))
                .intoMemorySegment(ALL, at(c + 3 * cRow), ORDER);
    }
}

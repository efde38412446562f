package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.Matrix;
import java.util.Objects;

/// Row-major floats in native memory, `stride` floats from one row to the next.
final class CpuMatrix implements Matrix {
    /// Rows a multiple of this apart begin in few places of a cache, and drive each other out of it.
    private static final int CROWDED_BYTES = 1024;

    private final Memory memory;
    private final boolean owner;
    private final long address;
    private final int rows;
    private final int columns;
    private final int stride;

    private CpuMatrix(Memory memory, boolean owner, long address, int rows, int columns, int stride) {
        this.memory = memory;
        this.owner = owner;
        this.address = address;
        this.rows = rows;
        this.columns = columns;
        this.stride = stride;
    }

    static CpuMatrix allocate(int rows, int columns) {
        if (rows < 1 || columns < 1) {
            throw new IllegalArgumentException("a matrix [" + rows + ", " + columns + "] has no elements");
        }
        boolean crowded = rows > 1 && (long) columns * Float.BYTES % CROWDED_BYTES == 0;
        int stride = crowded ? columns + (int) Memory.LINE / Float.BYTES : columns;
        Memory memory = Memory.ofFloats((long) rows * stride);
        return new CpuMatrix(memory, true, memory.address(), rows, columns, stride);
    }

    /// @throws IllegalArgumentException if `matrix` comes from another backend
    /// @throws IllegalStateException    if its memory has been freed
    static CpuMatrix of(Matrix matrix) {
        if (!(matrix instanceof CpuMatrix ours)) {
            throw new IllegalArgumentException("a matrix of another backend: " + matrix);
        }
        if (!ours.memory.isOpen()) {
            throw new IllegalStateException("the memory of this matrix has been freed: " + matrix);
        }
        return ours;
    }

    @Override
    public int rows() {
        return rows;
    }

    @Override
    public int columns() {
        return columns;
    }

    int stride() {
        return stride;
    }

    /// Bytes from one row to the next.
    long rowBytes() {
        return (long) stride * Float.BYTES;
    }

    long address() {
        return address;
    }

    long row(int row) {
        assert row >= 0 && row < rows;
        return address + row * rowBytes();
    }

    long at(int row, int column) {
        return row(row) + (long) column * Float.BYTES;
    }

    @Override
    public CpuMatrix view(int firstRow, int viewRows, int firstColumn, int viewColumns) {
        Objects.checkFromIndexSize(firstRow, viewRows, rows);
        Objects.checkFromIndexSize(firstColumn, viewColumns, columns);
        long start = address + ((long) firstRow * stride + firstColumn) * Float.BYTES;
        return new CpuMatrix(memory, false, start, viewRows, viewColumns, stride);
    }

    @Override
    public CpuMatrix everyNth(int first, int step) {
        Objects.checkIndex(first, rows);
        int taken = Math.ceilDiv(rows - first, step);
        return new CpuMatrix(memory, false, row(first), taken, columns, Math.multiplyExact(stride, step));
    }

    @Override
    public void close() {
        if (owner) {
            memory.close();
        }
    }

    @Override
    public String toString() {
        return "CpuMatrix[" + rows + ", " + columns + "]";
    }
}

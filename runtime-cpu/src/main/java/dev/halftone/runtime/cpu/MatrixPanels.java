package dev.halftone.runtime.cpu;

/// A row-major matrix, or the transpose of one, as right-hand side. Mutable, so that a factorisation makes one and
/// moves
/// it along.
final class MatrixPanels implements Panels {
    private final Kernels kernels;
    private final int lanes;
    private long address;
    private long rowBytes;
    private int columns;
    private boolean transposed;

    MatrixPanels(Kernels kernels) {
        this.kernels = kernels;
        this.lanes = kernels.lanes();
    }

    /// Element `(k, column)` lies at `address + k * rowBytes + column * 4`.
    MatrixPanels of(long newAddress, long newRowBytes, int newColumns) {
        address = newAddress;
        rowBytes = newRowBytes;
        columns = newColumns;
        transposed = false;
        return this;
    }

    /// Element `(k, column)` lies at `address + column * rowBytes + k * 4`.
    MatrixPanels ofTransposed(long newAddress, long newRowBytes, int newColumns) {
        of(newAddress, newRowBytes, newColumns);
        transposed = true;
        return this;
    }

    @Override
    public void fill(int strip, int first, int count, long destination) {
        int column = strip * lanes;
        int valid = Math.min(lanes, columns - column);
        long vector = (long) lanes * Float.BYTES;
        if (valid < lanes) {
            Memory.zeroFloats(destination, (long) count * lanes);
        }
        if (transposed) {
            for (int lane = 0; lane < valid; lane++) {
                long from = address + (column + lane) * rowBytes + (long) first * Float.BYTES;
                long to = destination + (long) lane * Float.BYTES;
                for (int k = 0; k < count; k++) {
                    Memory.putFloat(to + k * vector, Memory.getFloat(from + (long) k * Float.BYTES));
                }
            }
        } else {
            long from = address + first * rowBytes + (long) column * Float.BYTES;
            if (valid == lanes) {
                kernels.copyStrip(from, rowBytes, count, destination);
                return;
            }
            for (int k = 0; k < count; k++) {
                Memory.copyFloats(from + k * rowBytes, destination + k * vector, valid);
            }
        }
    }
}

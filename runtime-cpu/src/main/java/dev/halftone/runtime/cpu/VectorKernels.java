package dev.halftone.runtime.cpu;

/// The kernels on vectors of the width of [Lanes]. Nothing but this class and those it calls touches the vector module.
final class VectorKernels implements Kernels {
    @Override
    public String name() {
        return Lanes.FLOATS.vectorBitSize() + "-bit vectors";
    }

    @Override
    public int lanes() {
        return Lanes.COUNT;
    }

    @Override
    public void tile(long a, long aRow, int rows, long b, long bStrip, int depth, long c, long cRow, float alpha) {
        TileKernel.tile(a, aRow, rows, b, bStrip, depth, c, cRow, alpha);
    }

    @Override
    public void packedTile(long a, long b, int depth, long c, long cRow, float alpha) {
        TileKernel.packedTile(a, b, depth, c, cRow, alpha);
    }

    @Override
    public void narrowTile(long a, long aRow, int rows, long b, int depth, long c, long cRow, float alpha) {
        TileKernel.narrowTile(a, aRow, rows, b, depth, c, cRow, alpha);
    }

    @Override
    public void columnTile(long a, long b, long bStrip, int depth, long c, long cRow) {
        TileKernel.columnTile(a, b, bStrip, depth, c, cRow);
    }

    @Override
    public void multiplyRow(PackedWeight weight, float[] x, float[] sums, int from, int to, long y) {
        int quarter = Math.ceilDiv(to - from, 4);
        int last = to - 1;
        for (int strip = from; strip < from + quarter; strip++) {
            int second = Math.min(strip + quarter, last);
            int third = Math.min(strip + 2 * quarter, last);
            int fourth = Math.min(strip + 3 * quarter, last);
            switch (weight.form) {
                case CODES4 -> Codes4Kernel.multiplyRow(weight, x, sums, strip, second, third, fourth, y);
                case CODES8 -> Codes8Kernel.multiplyRow(weight, x, sums, strip, second, third, fourth, y);
                case BFLOAT16 -> BFloat16Kernel.multiplyRow(weight, x, strip, second, third, fourth, y);
                case FLOAT32 -> Float32Kernel.multiplyRow(weight, x, strip, second, third, fourth, y);
            }
        }
    }

    /// Two strips far apart, for the same reason; the later blocks of rows find them in cache.
    @Override
    public void multiplyRows(
            PackedWeight weight, float[] x, float[] sums, int blocks, int from, int to, long y, long yRow) {
        int half = Math.ceilDiv(to - from, 2);
        for (int strip = from; strip < from + half; strip++) {
            int second = Math.min(strip + half, to - 1);
            for (int block = 0; block < blocks; block++) {
                long rows = y + (long) block * ROWS * yRow;
                switch (weight.form) {
                    case CODES4 -> Codes4Kernel.multiplyFourRows(weight, x, sums, block, strip, second, rows, yRow);
                    case CODES8 -> Codes8Kernel.multiplyFourRows(weight, x, sums, block, strip, second, rows, yRow);
                    case BFLOAT16 -> BFloat16Kernel.multiplyFourRows(weight, x, block, strip, second, rows, yRow);
                    case FLOAT32 -> Float32Kernel.multiplyFourRows(weight, x, block, strip, second, rows, yRow);
                }
            }
        }
    }

    @Override
    public void restore(PackedWeight weight, int strip, int first, int count, long destination) {
        switch (weight.form) {
            case CODES4 -> Codes4Kernel.restore(weight, strip, first, count, destination);
            case CODES8 -> Codes8Kernel.restore(weight, strip, first, count, destination);
            case BFLOAT16 -> BFloat16Kernel.restore(weight, strip, first, count, destination);
            case FLOAT32 -> Float32Kernel.restore(weight, strip, first, count, destination);
        }
    }

    @Override
    public void sumRow(PackedWeight weight, float[] x, int total, int from, int to, long sums) {
        // As stored, codes count from 0 and stand for 256 more.
        int excess = (256 + weight.middle()) * total;
        int quarter = Math.ceilDiv(to - from, 4);
        int last = to - 1;
        for (int strip = from; strip < from + quarter; strip++) {
            int second = Math.min(strip + quarter, last);
            int third = Math.min(strip + 2 * quarter, last);
            int fourth = Math.min(strip + 3 * quarter, last);
            IntegerKernel.sumRow(weight, x, excess, strip, second, third, fourth, sums);
        }
    }

    @Override
    public void sumFourRows(PackedWeight weight, float[] x, int first, int from, int to, long sums, long sumsRow) {
        int half = Math.ceilDiv(to - from, 2);
        for (int strip = from; strip < from + half; strip++) {
            IntegerKernel.sumFourRows(weight, x, first, strip, Math.min(strip + half, to - 1), sums, sumsRow);
        }
    }

    @Override
    public void centre(PackedWeight weight, int strip, int first, int count, long destination) {
        IntegerKernel.centre(weight, strip, first, count, destination);
    }

    @Override
    public void integerTile(long a, long aRow, int rows, long b, long bStrip, int depth, long c, long cRow) {
        IntegerTileKernel.tile(a, aRow, rows, b, bStrip, depth, c, cRow);
    }

    @Override
    public void narrowIntegerTile(long a, long aRow, int rows, long b, int depth, long c, long cRow) {
        IntegerTileKernel.narrowTile(a, aRow, rows, b, depth, c, cRow);
    }

    @Override
    public void scaleSums(long sums, float scale, long factors, long bias, int count, long destination) {
        IntegerKernel.scaleSums(sums, scale, factors, bias, count, destination);
    }

    @Override
    public void copyStrip(long from, long rowBytes, int count, long destination) {
        Float32Kernel.copyStrip(from, rowBytes, count, destination);
    }

    @Override
    public void widen(long from, int words, long destination) {
        PairKernel.widen(from, words, destination);
    }

    @Override
    public void spread(long from, int count, long destination, long step) {
        PairKernel.spread(from, count, destination, step);
    }

    @Override
    public void addIntegers(long x, long sum, int count) {
        PairKernel.addIntegers(x, sum, count);
    }

    @Override
    public void bytes(PackedWeight weight, int strip, int first, int count, long destination, long step) {
        PairKernel.bytes(weight, strip, first, count, destination, step);
    }

    @Override
    public void roundPairs(long low, long high, long step, int count, long destination, long destinationStep) {
        PairKernel.roundPairs(low, high, step, count, destination, destinationStep);
    }

    @Override
    public void normalize(long x, long weight, float epsilon, int count, long destination, long scratch) {
        RowKernel.normalize(x, weight, epsilon, count, destination, scratch);
    }

    @Override
    public void rotate(long x, int half, long cosines, long sines) {
        RowKernel.rotate(x, half, cosines, sines);
    }

    @Override
    public void gate(long gate, long up, long destination, int count, long scratch) {
        RowKernel.gate(gate, up, destination, count, scratch);
    }

    @Override
    public void add(long x, long sum, int count) {
        RowKernel.add(x, sum, count);
    }

    @Override
    public void scale(long x, float factor, long destination, int count) {
        RowKernel.scale(x, factor, destination, count);
    }

    @Override
    public float maximum(long x, int count) {
        return RowKernel.maximum(x, count);
    }

    @Override
    public float exponentials(long x, int count, float maximum, long scratch) {
        return RowKernel.exponentials(x, count, maximum, scratch);
    }

    @Override
    public float read(long from, int vectors, long scratch) {
        return MachineKernel.read(from, vectors, scratch);
    }

    @Override
    public float multiplyAdd(int steps, long scratch) {
        return MachineKernel.multiplyAdd(steps, scratch);
    }
}

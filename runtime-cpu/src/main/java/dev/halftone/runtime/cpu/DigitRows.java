package dev.halftone.runtime.cpu;

/// Rows as digits, for the [DigitKernels].
final class DigitRows implements PreparedRows, AutoCloseable {
    private static final int ARGUMENTS = DigitTileCode.Argument.COUNT.ordinal(); // more than any other function has

    private final DigitKernels kernels;
    private final WorkerPool pool;
    private final Memory[] arguments; // of each worker, [ARGUMENTS] longs

    // Each worker's own.
    private final Memory[] scratch;
    private final RowArranger arranger;

    private Memory digits = Memory.ofBytes(0); // [blocks], see DigitKernels
    private Memory constants = Memory.ofBytes(0); // [blocks]

    private final WorkerPool.Task cutRows = this::cutRows; // bound once: a region allocates nothing
    private PackedWeight weight;
    private CpuMatrix x;
    private int blockRows;

    DigitRows(DigitKernels kernels, WorkerPool pool) {
        this.kernels = kernels;
        this.pool = pool;
        arguments = new Memory[pool.threads()];
        arranger = new RowArranger(pool.threads());
        scratch = new Memory[pool.threads()];
        for (int worker = 0; worker < pool.threads(); worker++) {
            arguments[worker] = Memory.ofBytes((long) ARGUMENTS * Long.BYTES);
            scratch[worker] = Memory.ofBytes(DigitKernels.scratchBytes());
        }
    }

    /// Whether they multiply this weight.
    boolean take(PackedWeight candidate) {
        return DigitKernels.take(candidate);
    }

    @Override
    public int written(int rows) {
        return rows;
    }

    @Override
    public boolean isShared(PackedWeight one, PackedWeight other) {
        return DigitKernels.isAlike(one, other);
    }

    @Override
    public void prepare(PackedWeight[] weights, int count, CpuMatrix newX) {
        weight = weights[0];
        x = newX;
        blockRows = kernels.blockRows(weight, x.rows());
        digits = Memory.grown(digits, DigitKernels.digitBytes(weight, x.rows()));
        constants = Memory.grown(constants, DigitKernels.constantBytes(weight, x.rows()));
        arranger.require(weight);
        if (x.rows() == 1) {
            cutRows(0, 0, 1);
        } else {
            pool.split(x.rows(), cutRows);
        }
    }

    private void cutRows(int worker, int from, int to) {
        for (int i = from; i < to; i++) {
            int block = i / blockRows * blockRows;
            kernels.cut(
                    weight,
                    arranger.arrange(worker, weight, x, i),
                    i - block,
                    rows(block),
                    x.rows(),
                    digits(block),
                    constants(block),
                    arguments[worker].address());
        }
    }

    /// Rows of the block that begins with row `block`.
    private int rows(int block) {
        return Math.min(blockRows, x.rows() - block);
    }

    private long digits(int block) {
        return digits.address() + DigitKernels.digitBytes(weight, block);
    }

    private long constants(int block) {
        return constants.address() + DigitKernels.constantBytes(weight, block);
    }

    /// All rows before the next strips, so that these are read from memory once.
    @Override
    public void multiply(int worker, PackedWeight multiplied, int from, int to, long y, long yRow) {
        int step = x.rows() <= blockRows ? to - from : 1;
        for (int strip = from; strip < to; strip += step) {
            for (int block = 0; block < x.rows(); block += blockRows) {
                kernels.multiply(
                        multiplied,
                        digits(block),
                        constants(block),
                        rows(block),
                        x.rows(),
                        strip,
                        strip + step,
                        y + block * yRow,
                        yRow,
                        scratch[worker].address(),
                        arguments[worker].address());
            }
        }
    }

    @Override
    public void close() {
        arranger.close();
        for (int worker = 0; worker < arguments.length; worker++) {
            arguments[worker].close();
            scratch[worker].close();
        }
        digits.close();
        constants.close();
    }
}

package dev.halftone.runtime.cpu;

/// Rows of floats as [RowProducts] multiply them by weights in bfloat16.
final class BFloat16Rows implements PreparedRows, AutoCloseable {
    private static final int ARGUMENTS = RowCode.Argument.COUNT.ordinal();

    private final RowProducts products;
    private final WorkerPool pool;
    private final Memory[] arguments; // of each worker, [ARGUMENTS] longs

    // Each worker's own.
    private final float[][] row;
    private final float[][] arranged;

    private Memory inputs = Memory.ofBytes(0); // [blocks][paddedInputs][rows of the block]

    private final WorkerPool.Task place = this::place; // bound once: a region allocates nothing
    private PackedWeight weight;
    private CpuMatrix x;

    BFloat16Rows(RowProducts products, WorkerPool pool) {
        this.products = products;
        this.pool = pool;
        arguments = new Memory[pool.threads()];
        row = new float[pool.threads()][0];
        arranged = new float[pool.threads()][0];
        for (int worker = 0; worker < pool.threads(); worker++) {
            arguments[worker] = Memory.ofBytes((long) ARGUMENTS * Long.BYTES);
        }
    }

    /// Whether they multiply this weight.
    boolean take(PackedWeight candidate) {
        return candidate.form == WeightForm.BFLOAT16 && products.take(candidate);
    }

    @Override
    public int written(int rows) {
        return rows;
    }

    @Override
    public boolean isShared(PackedWeight one, PackedWeight other) {
        return one.sharesPreparation(other);
    }

    @Override
    public void prepare(PackedWeight[] weights, int count, CpuMatrix newX) {
        weight = weights[0];
        x = newX;
        inputs = Memory.grown(inputs, RowProducts.inputBytes(weight, x.rows()));
        for (int worker = 0; worker < row.length; worker++) {
            row[worker] = Scratch.grown(row[worker], weight.inputs);
            arranged[worker] = Scratch.grown(arranged[worker], weight.paddedInputs());
        }
        if (x.rows() == 1) {
            place(0, 0, 1);
        } else {
            pool.split(x.rows(), place);
        }
    }

    private void place(int worker, int from, int to) {
        int padded = weight.paddedInputs();
        for (int i = from; i < to; i++) {
            int block = i / RowCode.ROWS * RowCode.ROWS;
            int rows = rows(block);
            float[] values = row[worker];
            Memory.copyFloats(x.row(i), values, 0, weight.inputs);
            if (weight.columns != null) {
                Preparation.arrange(weight, values, arranged[worker], 0, 1);
                values = arranged[worker];
            }
            long first = inputs(block) + (long) (i - block) * Float.BYTES;
            if (rows == 1) {
                Memory.copyFloats(values, 0, first, padded);
                continue;
            }
            for (int k = 0; k < padded; k++) {
                Memory.putFloat(first + (long) k * rows * Float.BYTES, values[k]);
            }
        }
    }

    /// Rows of the block that begins with row `block`.
    private int rows(int block) {
        return Math.min(RowCode.ROWS, x.rows() - block);
    }

    private long inputs(int block) {
        return inputs.address() + RowProducts.inputBytes(weight, block);
    }

    /// All rows before the next strips, so that these are read from memory once.
    @Override
    public void multiply(int worker, PackedWeight multiplied, int from, int to, long y, long yRow) {
        int step = x.rows() <= RowCode.ROWS ? to - from : PackedWeight.SIDE_BY_SIDE;
        for (int strip = from; strip < to; strip += step) {
            int end = Math.min(to, strip + step);
            for (int block = 0; block < x.rows(); block += RowCode.ROWS) {
                products.multiply(
                        multiplied,
                        inputs(block),
                        multiplied.bias(0),
                        rows(block),
                        strip,
                        end,
                        y + block * yRow,
                        yRow,
                        arguments[worker].address());
            }
        }
    }

    @Override
    public void close() {
        for (Memory memory : arguments) {
            memory.close();
        }
        inputs.close();
    }
}

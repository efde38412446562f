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
            int rows = RowProducts.blockRows(block, x.rows());
            float[] values = row[worker];
            Memory.copyFloats(x.row(i), values, 0, weight.inputs);
            if (weight.columns != null) {
                Preparation.arrange(weight, values, arranged[worker], 0, 1);
                values = arranged[worker];
            }
            long first = inputs.address() + RowProducts.inputBytes(weight, block) + (long) (i - block) * Float.BYTES;
            if (rows == 1) {
                Memory.copyFloats(values, 0, first, padded);
                continue;
            }
            for (int k = 0; k < padded; k++) {
                Memory.putFloat(first + (long) k * rows * Float.BYTES, values[k]);
            }
        }
    }

    @Override
    public void multiply(int worker, PackedWeight multiplied, int from, int to, long y, long yRow) {
        long bias = multiplied.bias(0);
        long own = arguments[worker].address();
        products.multiply(multiplied, inputs.address(), bias, x.rows(), from, to, y, yRow, own);
    }

    @Override
    public void close() {
        for (Memory memory : arguments) {
            memory.close();
        }
        inputs.close();
    }
}

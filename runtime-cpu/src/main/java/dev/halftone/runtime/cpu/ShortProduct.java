package dev.halftone.runtime.cpu;

/// A linear over many rows by [ShortKernels]: the workers cut the rows into digits, then each unpacks one panel of
/// outputs at a time and multiplies all rows by it. An element of the result comes of the same operations whoever
/// computes it.
final class ShortProduct implements AutoCloseable {
    /// Of an unpacked panel: a quarter of a second-level cache.
    private static final long PANEL_BYTES = 512 << 10;

    /// Panels of each worker, if there are outputs enough, so that all end together.
    private static final int PANELS = 4;

    private final ShortKernels kernels;
    private final WorkerPool pool;
    private final RowArranger arranger;

    // Each worker's own.
    private final Memory[] panels;
    private final Memory[] arguments;
    private final Memory[] edges; // a block of rows by the strips of a tile

    private Memory digits = Memory.ofBytes(0); // [blocks]
    private Memory constants = Memory.ofBytes(0); // [blocks]

    private final WorkerPool.Task cutBlocks = this::cutBlocks;
    private final WorkerPool.Task multiplyPanels = this::multiplyPanels;
    private PackedWeight weight;
    private CpuMatrix x;
    private CpuMatrix y;
    private int panel; // strips

    ShortProduct(ShortKernels kernels, WorkerPool pool) {
        this.kernels = kernels;
        this.pool = pool;
        arranger = new RowArranger(pool.threads());
        panels = new Memory[pool.threads()];
        arguments = new Memory[pool.threads()];
        edges = new Memory[pool.threads()];
        for (int worker = 0; worker < pool.threads(); worker++) {
            panels[worker] = Memory.ofBytes(0);
            arguments[worker] = Memory.ofBytes((long) ShortKernels.ARGUMENTS * Long.BYTES);
            edges[worker] = Memory.ofBytes(ShortCode.ROWS * edgeRow());
        }
    }

    private static long edgeRow() {
        return ShortCode.STRIPS * Memory.LINE;
    }

    /// `y = x·Wᵀ + bias`, for a weight that [DigitKernels#take] takes.
    ///
    /// @param again whether the last product was one by the same `x`, which has not changed since
    void multiply(PackedWeight newWeight, CpuMatrix newX, CpuMatrix newY, boolean again) {
        boolean cut = again && DigitKernels.isAlike(weight, newWeight);
        weight = newWeight;
        x = newX;
        y = newY;
        int fair = weight.strips / (PANELS * pool.threads());
        int fitting = (int) (PANEL_BYTES / ShortKernels.stripBytes(weight));
        panel = Math.max(1, Math.min(fair, fitting) / ShortCode.STRIPS) * ShortCode.STRIPS;
        for (int worker = 0; worker < panels.length; worker++) {
            panels[worker] = Memory.grown(panels[worker], panel * ShortKernels.stripBytes(weight));
        }
        if (!cut) {
            digits = Memory.grown(digits, ShortKernels.digitBytes(weight, x.rows()));
            constants = Memory.grown(constants, ShortKernels.constantBytes(weight, x.rows()));
            arranger.require(weight);
            pool.splitFreely(blocks(), 1, cutBlocks);
        }
        pool.splitFreely(Math.ceilDiv(weight.strips, panel), 1, multiplyPanels);
    }

    private int blocks() {
        return Math.ceilDiv(x.rows(), ShortCode.ROWS);
    }

    /// Rows of the block that begins with row `block`.
    private int rows(int block) {
        return Math.min(ShortCode.ROWS, x.rows() - block);
    }

    private long digits(int block) {
        return digits.address() + ShortKernels.digitBytes(weight, block);
    }

    private long constants(int block) {
        return constants.address() + ShortKernels.constantBytes(weight, block);
    }

    private void cutBlocks(int worker, int from, int to) {
        for (int block = from * ShortCode.ROWS; block < Math.min(x.rows(), to * ShortCode.ROWS); ) {
            int rows = rows(block);
            for (int i = 0; i < rows; i++) {
                long row = arranger.arrange(worker, weight, x, block + i);
                kernels.cut(weight, row, i, rows, digits(block), constants(block), arguments[worker].address());
            }
            block += rows;
        }
    }

    private void multiplyPanels(int worker, int from, int to) {
        long own = arguments[worker].address();
        for (int task = from; task < to; task++) {
            int first = task * panel;
            int end = Math.min(weight.strips, first + panel);
            long bytes = ShortKernels.stripBytes(weight);
            for (int strip = first; strip < end; strip++) {
                kernels.unpack(weight, strip, panels[worker].address() + (strip - first) * bytes, own);
            }
            for (int block = 0; block < x.rows(); block += ShortCode.ROWS) {
                for (int strip = first; strip < end; strip += ShortCode.STRIPS) {
                    int strips = Math.min(ShortCode.STRIPS, end - strip);
                    multiply(worker, panels[worker].address() + (strip - first) * bytes, block, strip, strips);
                }
            }
        }
    }

    private void multiply(int worker, long codes, int block, int strip, int strips) {
        int rows = rows(block);
        int column = strip * weight.lanes;
        int width = Math.min(strips * weight.lanes, weight.outputs - column);
        boolean whole = width == strips * weight.lanes;
        long edge = edges[worker].address();
        kernels.multiply(
                weight,
                codes,
                digits(block),
                constants(block),
                rows,
                strip,
                strips,
                whole ? y.at(block, column) : edge,
                whole ? y.rowBytes() : edgeRow(),
                arguments[worker].address());
        for (int i = 0; i < rows && !whole; i++) {
            Memory.copyFloats(edge + i * edgeRow(), y.at(block + i, column), width);
        }
    }

    @Override
    public void close() {
        arranger.close();
        digits.close();
        constants.close();
        for (int worker = 0; worker < panels.length; worker++) {
            panels[worker].close();
            arguments[worker].close();
            edges[worker].close();
        }
    }
}

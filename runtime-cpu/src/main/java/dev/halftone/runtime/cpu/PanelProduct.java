package dev.halftone.runtime.cpu;

import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.runtime.cpu.OneDnn.Numbers;
import java.util.Arrays;

/// A linear over many rows by [OneDnn]: the workers first restore the weight, a bounded part at a time, and bring the
/// activations into order; then each multiplies blocks of rows by panels of outputs, alone. Neither depends on how many
/// workers there are, so neither does the result.
///
/// Inputs that are rounded to integers go in as unsigned bytes, 128 too large; what that adds to the sums of a column
/// is taken off before they are scaled. The sums are exact, so the result is that of [IntegerProduct], bit for
/// bit.
///
/// In bfloat16, two inputs that lie as many places apart as a vector has lanes share a word: see [PairKernel].
final class PanelProduct implements WorkerPool.Task, AutoCloseable {
    /// Outputs of one product: two blocks, so that a call's cost does not show.
    private static final int PANEL = 2 * OneDnn.BLOCK;

    /// Rows of one product: as many as leave a panel's worth of both sides in a second-level cache.
    private static final int MOST_ROWS = 256;

    /// Below this, products have any number of rows; above, powers of two, so that there are few different ones.
    private static final int LEAST_ROWS = 16;

    /// Restored weights at a time.
    private static final long MOST_BYTES = 16 << 20;

    /// Inputs of a strip that are restored at a time.
    private static final int CHUNK = 256;

    private final Kernels kernels;
    private final WorkerPool pool;
    private final Scratch scratch;
    private final OneDnn oneDnn;
    private final int lanes;
    private final float[][] rows;
    private final float[][] arranged;
    private Memory left = Memory.ofBytes(Memory.LINE);
    private Memory right = Memory.ofBytes(Memory.LINE);
    private Memory offsets = Memory.ofBytes(Memory.LINE); // of each restored column, an integer
    private Memory middle = Memory.ofBytes(Memory.LINE); // one row of activations that are all 128
    private int middleLength;
    private final byte[][] bytes;
    private float[] scales = new float[0]; // of each row that is rounded to integers

    private Numbers numbers;
    private PackedWeight weight;
    private ActivationScheme activations;
    private CpuMatrix x;
    private CpuMatrix y;
    private int depth;
    private boolean direct; // the activations are taken where they lie
    private boolean preparing;
    private int firstBlock; // of those restored
    private int blocks;
    private OneDnnProduct columnSums; // of one block, for integers
    private int rowTasks;
    private int pieces;
    private int[] pieceRow = new int[8];
    private OneDnnProduct[][] products = new OneDnnProduct[8][2]; // for a whole panel, and for the last

    PanelProduct(Kernels kernels, WorkerPool pool, Scratch scratch, OneDnn oneDnn) {
        this.kernels = kernels;
        this.pool = pool;
        this.scratch = scratch;
        this.oneDnn = oneDnn;
        lanes = kernels.lanes();
        rows = new float[pool.threads()][0];
        arranged = new float[pool.threads()][0];
        bytes = new byte[pool.threads()][0];
    }

    /// Whose products these are.
    String name() {
        return oneDnn.name();
    }

    /// Whether there are kernels for these numbers on this processor.
    boolean takes(Numbers candidate) {
        return oneDnn.multiplies(candidate);
    }

    /// Whether integers can be multiplied by this weight: codes of 8 bits with the middle one for zero, and one scale
    /// for an output.
    boolean takesIntegers(PackedWeight candidate) {
        return oneDnn.multiplies(Numbers.UNSIGNED8)
                && candidate.form == WeightForm.CODES8
                && candidate.groups == 1
                && candidate.centreStep() == 0
                && Memory.getFloat(candidate.centres(0)) == 1.5f;
    }

    /// `y = x·Wᵀ + bias` with every row of `x` rounded to integers as `scheme` says.
    void multiply(ActivationScheme scheme, PackedWeight newWeight, CpuMatrix newX, CpuMatrix newY) {
        activations = scheme;
        product(Numbers.UNSIGNED8, newWeight, newX, newY);
    }

    /// `y = x·Wᵀ + bias`, both sides rounded to `newNumbers` before, which are floats.
    void multiply(Numbers newNumbers, PackedWeight newWeight, CpuMatrix newX, CpuMatrix newY) {
        activations = ActivationScheme.NONE;
        product(newNumbers, newWeight, newX, newY);
    }

    private void product(Numbers newNumbers, PackedWeight newWeight, CpuMatrix newX, CpuMatrix newY) {
        oneDnn.trim();
        numbers = newNumbers;
        weight = newWeight;
        x = newX;
        y = newY;
        depth = Math.ceilDiv(weight.paddedInputs(), numbers.depthStep) * numbers.depthStep;
        direct = numbers == Numbers.FLOAT32 && weight.columns == null && depth == weight.inputs;
        int wantedBlocks = Math.ceilDiv(weight.outputs, OneDnn.BLOCK);
        int mostBlocks = (int) Math.max(2, MOST_BYTES / blockBytes() / 2 * 2);
        reserve(Math.min(wantedBlocks, mostBlocks));
        describe();
        rowTasks = direct ? 0 : Math.ceilDiv(x.rows(), LEAST_ROWS);
        for (firstBlock = 0; firstBlock < wantedBlocks; firstBlock += mostBlocks) {
            blocks = Math.min(mostBlocks, wantedBlocks - firstBlock);
            preparing = true;
            pool.splitFreely(blocks + rowTasks, 1, this);
            rowTasks = 0;
            preparing = false;
            pool.splitFreely(Math.ceilDiv(blocks * OneDnn.BLOCK, PANEL) * pieces, 1, this);
        }
    }

    private long blockBytes() {
        return (long) depth * OneDnn.BLOCK * numbers.bytes;
    }

    private void reserve(int mostBlocks) {
        right = grown(right, mostBlocks * blockBytes());
        if (!direct) {
            left = grown(left, (long) x.rows() * depth * numbers.bytes);
        }
        scratch.require(Math.max(depth, (long) CHUNK * lanes));
        if (numbers == Numbers.UNSIGNED8) {
            reserveForIntegers(mostBlocks);
        }
        if (weight.columns != null || numbers == Numbers.UNSIGNED8) {
            for (int worker = 0; worker < rows.length; worker++) {
                rows[worker] = grown(rows[worker], weight.inputs);
                arranged[worker] = grown(arranged[worker], weight.paddedInputs());
            }
        }
    }

    private void reserveForIntegers(int mostBlocks) {
        offsets = grown(offsets, (long) mostBlocks * OneDnn.BLOCK * Integer.BYTES);
        scales = grown(scales, x.rows());
        for (int worker = 0; worker < bytes.length; worker++) {
            if (bytes[worker].length < depth) {
                bytes[worker] = new byte[depth];
            }
        }
        if (middleLength < depth) {
            middleLength = depth;
            middle = grown(middle, depth);
            byte[] row = new byte[depth];
            Arrays.fill(row, (byte) 128);
            Memory.copyBytes(row, middle.address(), depth);
        }
        columnSums = oneDnn.multiplyUnsigned8(1, depth, OneDnn.BLOCK, depth, OneDnn.BLOCK);
    }

    private static Memory grown(Memory memory, long bytes) {
        if (memory.bytes() >= bytes) {
            return memory;
        }
        memory.close();
        return Memory.ofBytes(bytes);
    }

    private static float[] grown(float[] array, int length) {
        return array.length >= length ? array : new float[length];
    }

    /// Cuts the rows into pieces and has a product for each.
    private void describe() {
        int last = weight.outputs % PANEL == 0 ? PANEL : weight.outputs % PANEL;
        pieces = 0;
        int size = MOST_ROWS;
        for (int row = 0; row < x.rows(); row += size) {
            while (size > x.rows() - row && size > LEAST_ROWS) {
                size /= 2;
            }
            if (size > x.rows() - row) {
                size = x.rows() - row;
            }
            if (pieces == pieceRow.length) {
                pieceRow = Arrays.copyOf(pieceRow, 2 * pieces);
                products = Arrays.copyOf(products, 2 * pieces);
                for (int i = pieces; i < products.length; i++) {
                    products[i] = new OneDnnProduct[2];
                }
            }
            pieceRow[pieces] = row;
            long leftRow = direct ? x.stride() : depth;
            products[pieces][0] =
                    oneDnn.product(numbers, size, depth, Math.min(PANEL, weight.outputs), leftRow, y.stride());
            products[pieces][1] = oneDnn.product(numbers, size, depth, last, leftRow, y.stride());
            pieces++;
        }
    }

    @Override
    public void run(int worker, int from, int to) {
        for (int task = from; task < to; task++) {
            if (!preparing) {
                multiply(worker, task / pieces, task % pieces);
            } else if (task < blocks) {
                restore(scratch.of(worker), firstBlock + task, right.address() + task * blockBytes());
                if (numbers == Numbers.UNSIGNED8) {
                    offset(worker, task);
                }
            } else {
                int row = (task - blocks) * LEAST_ROWS;
                for (int i = row; i < Math.min(x.rows(), row + LEAST_ROWS); i++) {
                    prepare(worker, i);
                }
            }
        }
    }

    private void multiply(int worker, int panel, int piece) {
        int column = firstBlock * OneDnn.BLOCK + panel * PANEL;
        OneDnnProduct product = products[piece][column + PANEL > weight.outputs ? 1 : 0];
        int row = pieceRow[piece];
        long a = direct ? x.row(row) : left.address() + (long) row * depth * numbers.bytes;
        long b = right.address() + (long) panel * PANEL * depth * numbers.bytes;
        long bias = weight.bias(0) + (long) column * Float.BYTES;
        if (numbers != Numbers.UNSIGNED8) {
            product.run(worker, a, b, y.at(row, column), bias);
            return;
        }
        long offset = offsets.address() + (long) panel * PANEL * Integer.BYTES;
        product.run(worker, a, b, y.at(row, column), 0);
        long factors = weight.factors(column / lanes);
        for (int i = row; i < row + product.rows(); i++) {
            kernels.addIntegers(offset, y.at(i, column), product.columns());
            kernels.scaleSums(y.at(i, column), scales[i], factors, bias, product.columns(), y.at(i, column));
        }
    }

    /// One block of outputs, from the weight's strips.
    private void restore(long floats, int block, long destination) {
        int stripsOfBlock = OneDnn.BLOCK / lanes;
        int firstStrip = block * stripsOfBlock;
        int endStrip = Math.min(weight.strips, firstStrip + stripsOfBlock);
        int padded = weight.paddedInputs();
        if (endStrip - firstStrip < stripsOfBlock || padded < depth) {
            Memory.zeroFloats(destination, blockBytes() / Float.BYTES);
        }
        for (int strip = firstStrip; strip < endStrip; strip++) {
            long column = destination + (long) (strip - firstStrip) * weight.vectorBytes();
            if (numbers == Numbers.UNSIGNED8) {
                kernels.bytes(weight, strip, 0, weight.wordsPerStrip(), column, (long) OneDnn.BLOCK * Integer.BYTES);
                continue;
            }
            for (int k = 0; k < padded; k += CHUNK) {
                int count = Math.min(CHUNK, padded - k);
                kernels.restore(weight, strip, k / weight.form.fields, count / weight.form.fields, floats);
                place(floats, count, column + (long) k / numbers.together * OneDnn.BLOCK * Float.BYTES);
            }
        }
    }

    /// What 128 in every input would add to the columns of a restored block, negated.
    private void offset(int worker, int block) {
        long sums = offsets.address() + (long) block * OneDnn.BLOCK * Integer.BYTES;
        columnSums.run(worker, middle.address(), right.address() + block * blockBytes(), sums, 0);
        for (int column = 0; column < OneDnn.BLOCK; column++) {
            long at = sums + (long) column * Integer.BYTES;
            Memory.putInt(at, -Memory.getInt(at));
        }
    }

    private void place(long floats, int count, long destination) {
        long step = (long) OneDnn.BLOCK * Float.BYTES;
        if (numbers == Numbers.FLOAT32) {
            kernels.spread(floats, count, destination, step);
            return;
        }
        int vector = weight.vectorBytes();
        int both = 2 * lanes;
        int whole = Math.ceilDiv(count, both) * both;
        Memory.zeroFloats(floats + (long) count * vector, (long) (whole - count) * lanes);
        for (int k = 0; k < whole; k += both) {
            long low = floats + (long) k * vector;
            long high = low + (long) lanes * vector;
            kernels.roundPairs(low, high, vector, lanes, destination + k / 2 * step, step);
        }
    }

    /// One row of activations.
    private void prepare(int worker, int row) {
        if (numbers == Numbers.UNSIGNED8) {
            prepareIntegers(worker, row);
            return;
        }
        long from = x.row(row);
        int count = weight.inputs;
        if (weight.columns != null) {
            count = weight.paddedInputs();
            Memory.copyFloats(from, rows[worker], 0, weight.inputs);
            Preparation.arrange(weight, rows[worker], arranged[worker], 0, 1);
        }
        long to = left.address() + (long) row * depth * numbers.bytes;
        long floats = numbers == Numbers.FLOAT32 ? to : scratch.of(worker);
        if (weight.columns != null) {
            Memory.copyFloats(arranged[worker], 0, floats, count);
        } else if (count < depth || numbers == Numbers.FLOAT32) {
            Memory.copyFloats(from, floats, count);
        } else {
            floats = from;
        }
        if (count < depth) {
            Memory.zeroFloats(floats + (long) count * Float.BYTES, depth - count);
        }
        if (numbers == Numbers.BFLOAT16) {
            int vector = weight.vectorBytes();
            kernels.roundPairs(floats, floats + vector, 2L * vector, depth / 2 / lanes, to, vector);
        }
    }

    /// One row of activations, rounded to integers.
    private void prepareIntegers(int worker, int row) {
        float[] codes = rows[worker];
        Memory.copyFloats(x.row(row), codes, 0, weight.inputs);
        scales[row] = activations.scaleOf(codes, 0, weight.inputs);
        ActivationScheme.round(codes, 0, weight.inputs, scales[row], codes);
        if (weight.columns != null) {
            Preparation.arrange(weight, codes, arranged[worker], 0, 1);
            codes = arranged[worker];
        }
        byte[] shifted = bytes[worker];
        int count = weight.paddedInputs();
        for (int i = 0; i < count; i++) {
            shifted[i] = (byte) ((int) codes[i] + 128);
        }
        // What follows meets zeros of the weight.
        Memory.copyBytes(shifted, left.address() + (long) row * depth, depth);
    }

    @Override
    public void close() {
        left.close();
        right.close();
        offsets.close();
        middle.close();
        oneDnn.close();
    }
}

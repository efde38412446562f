package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.tensor.BFloat16;
import java.util.Random;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class BFloat16TilesTest {
    private static final int ROWS = BFloat16Tiles.ROWS;
    private static final int INPUTS = BFloat16Tiles.INPUTS;
    private static final int COLUMNS = BFloat16Tiles.COLUMNS;

    private BFloat16Tiles tiles;

    @BeforeEach
    void requireTiles() {
        TestBackends.requireMachineCode();
        tiles = BFloat16Tiles.load();
        Assumptions.assumeTrue(tiles != null, "no tiles for bfloat16 here");
    }

    private static Memory random(long count, long seed) {
        Random random = new Random(seed);
        Memory memory = Memory.ofFloats(count);
        for (long i = 0; i < count; i++) {
            Memory.putFloat(memory.address() + i * Float.BYTES, (float) random.nextGaussian());
        }
        return memory;
    }

    private static float at(Memory memory, long index) {
        return Memory.getFloat(memory.address() + index * Float.BYTES);
    }

    private static double rounded(Memory memory, long index) {
        return BFloat16.toFloat(BFloat16.fromFloat(at(memory, index)));
    }

    @ParameterizedTest
    @CsvSource({"1, 1, false", "2, 3, false", "5, 2, true"})
    void multiplies(int steps, int blocks, boolean adds) {
        int depth = steps * INPUTS;
        int columns = blocks * COLUMNS;
        long rowBytes = columns * 4L + 64;
        long blockBytes = (long) steps * BFloat16Tiles.RIGHT_STEP;
        try (Memory a = random((long) ROWS * depth, 1);
                Memory b = random((long) depth * columns, 2);
                Memory result = random(ROWS * (columns + 16L), 3);
                Memory before = random(ROWS * (columns + 16L), 3);
                Memory left = Memory.ofBytes((long) steps * BFloat16Tiles.LEFT_STEP);
                Memory right = Memory.ofBytes(blocks * blockBytes);
                Memory arguments = Memory.ofBytes(BFloat16Tiles.ARGUMENT_BYTES)) {
            for (int row = 0; row < ROWS; row++) {
                long to = left.address() + (long) row * BFloat16Tiles.LEFT_ROW;
                tiles.placeRow(a.address() + row * depth * 4L, steps, to, arguments.address());
            }
            for (int column = 0; column < columns; column += 16) {
                long to = right.address() + column / COLUMNS * blockBytes + column % COLUMNS * 4L;
                tiles.placeColumns(b.address() + column * 4L, columns * 4L, depth, to, arguments.address());
            }
            tiles.multiply(
                    left.address(),
                    right.address(),
                    blockBytes,
                    steps,
                    blocks,
                    result.address(),
                    rowBytes,
                    adds,
                    arguments.address());
            for (int row = 0; row < ROWS; row++) {
                for (int column = 0; column < columns; column++) {
                    long index = row * (columns + 16L) + column;
                    double expected = adds ? at(before, index) : 0;
                    double magnitude = Math.abs(expected);
                    for (int k = 0; k < depth; k++) {
                        double term = rounded(a, (long) row * depth + k) * rounded(b, (long) k * columns + column);
                        expected += term;
                        magnitude += Math.abs(term);
                    }
                    assertEquals(expected, at(result, index), 6e-7 * magnitude, "row " + row + ", column " + column);
                }
                // Nothing is written beside the columns.
                for (int i = columns; i < columns + 16; i++) {
                    assertEquals(at(before, row * (columns + 16L) + i), at(result, row * (columns + 16L) + i));
                }
            }
        }
    }

    /// `xᵀ` by way of the right side is what rows of `xᵀ` become on the left side.
    @Test
    void transposes() {
        int steps = 3;
        int count = steps * INPUTS - 1; // the last word holds one row and a zero
        try (Memory x = random((long) count * ROWS, 4);
                Memory transposed = Memory.ofFloats((long) ROWS * steps * INPUTS);
                Memory right = Memory.ofBytes((long) steps * BFloat16Tiles.RIGHT_STEP);
                Memory expected = Memory.ofBytes((long) steps * BFloat16Tiles.LEFT_STEP);
                Memory found = Memory.ofBytes((long) steps * BFloat16Tiles.LEFT_STEP);
                Memory arguments = Memory.ofBytes(BFloat16Tiles.ARGUMENT_BYTES)) {
            for (int column = 0; column < ROWS; column++) {
                for (int row = 0; row < count; row++) {
                    long to = transposed.address() + ((long) column * steps * INPUTS + row) * 4;
                    Memory.putFloat(to, at(x, (long) row * ROWS + column));
                }
                tiles.placeRow(
                        transposed.address() + column * steps * INPUTS * 4L,
                        steps,
                        expected.address() + (long) column * BFloat16Tiles.LEFT_ROW,
                        arguments.address());
            }
            for (int half = 0; half < 2; half++) {
                long words = right.address() + half * 64;
                tiles.placeColumns(x.address() + half * 64, ROWS * 4L, count, words, arguments.address());
                long to = found.address() + half * 16L * BFloat16Tiles.LEFT_ROW;
                tiles.transpose(words, steps, to, arguments.address());
            }
            for (long at = 0; at < (long) steps * BFloat16Tiles.LEFT_STEP; at += 4) {
                assertEquals(Memory.getInt(expected.address() + at), Memory.getInt(found.address() + at), "byte " + at);
            }
        }
    }

    @Test
    void weighsScores() {
        int steps = 5;
        int count = steps * INPUTS;
        long scoreRow = count * 4L + 64;
        float factor = 1.7f;
        try (Memory scores = Memory.ofBytes(ROWS * scoreRow);
                Memory weights = Memory.ofBytes((long) steps * BFloat16Tiles.LEFT_STEP);
                Memory maxima = random(ROWS * 16, 6);
                Memory totals = random(ROWS * 16, 7);
                Memory shifts = Memory.ofFloats(ROWS);
                Memory arguments = Memory.ofBytes(BFloat16Tiles.ARGUMENT_BYTES)) {
            Random random = new Random(5);
            double[] largest = new double[ROWS];
            double[] expected = new double[ROWS];
            for (int row = 0; row < ROWS; row++) {
                largest[row] = kernelMaximum(maxima, row);
                expected[row] = Lanes.sum(totals.address() + row * 64L);
                for (int i = 0; i < count; i++) {
                    float score =
                            i == 100 ? -1e30f : i == 101 ? Float.NEGATIVE_INFINITY : (float) random.nextGaussian() * 8;
                    Memory.putFloat(scores.address() + row * scoreRow + i * 4L, score);
                    largest[row] = Math.max(largest[row], score);
                }
            }
            tiles.raiseMaxima(scores.address(), scoreRow, steps, maxima.address(), arguments.address());
            for (int row = 0; row < ROWS; row++) {
                assertEquals(largest[row], kernelMaximum(maxima, row));
                Memory.putFloat(shifts.address() + row * 4L, (float) (-largest[row] * factor));
            }
            tiles.exponentials(
                    scores.address(),
                    scoreRow,
                    steps,
                    factor,
                    shifts.address(),
                    weights.address(),
                    totals.address(),
                    arguments.address());
            for (int row = 0; row < ROWS; row++) {
                for (int i = 0; i < count; i++) {
                    double score = Memory.getFloat(scores.address() + row * scoreRow + i * 4L);
                    double weight = Math.max(Math.pow(2, score * factor + at(shifts, row)), 0x1p-120);
                    expected[row] += weight;
                    double found = weight(weights, row, i);
                    assertEquals(weight, found, weight * (0x1p-8 + 3e-5), "row " + row + ", score " + score);
                }
                float total = Lanes.sum(totals.address() + row * 64L);
                assertEquals(expected[row], total, 2e-5, "row " + row);
            }
        }
    }

    private static float kernelMaximum(Memory vectors, int row) {
        return new VectorKernels().maximum(vectors.address() + row * 64L, 16);
    }

    private static float weight(Memory weights, int row, int input) {
        long place = weights.address()
                + (long) (input / INPUTS) * BFloat16Tiles.LEFT_STEP
                + (long) row * BFloat16Tiles.LEFT_ROW
                + input % INPUTS / 2 * 4L;
        int word = Memory.getInt(place);
        return BFloat16.toFloat((short) (input % 2 == 0 ? word : word >>> 16));
    }

    @Test
    void keepsWhatIsNoNumber() {
        try (Memory scores = Memory.ofFloats((long) ROWS * INPUTS);
                Memory weights = Memory.ofBytes(BFloat16Tiles.LEFT_STEP);
                Memory maxima = Memory.ofFloats(ROWS * 16);
                Memory totals = Memory.ofFloats(ROWS * 16);
                Memory shifts = Memory.ofFloats(ROWS);
                Memory arguments = Memory.ofBytes(BFloat16Tiles.ARGUMENT_BYTES)) {
            Memory.putFloat(scores.address() + INPUTS * 4L, Float.NaN);
            tiles.raiseMaxima(scores.address(), INPUTS * 4L, 1, maxima.address(), arguments.address());
            assertEquals(0, kernelMaximum(maxima, 1));
            tiles.exponentials(
                    scores.address(),
                    INPUTS * 4L,
                    1,
                    1,
                    shifts.address(),
                    weights.address(),
                    totals.address(),
                    arguments.address());
            assertTrue(Float.isNaN(Lanes.sum(totals.address() + 64)));
            assertTrue(Float.isNaN(weight(weights, 1, 0)));
            assertEquals(INPUTS, Lanes.sum(totals.address()));
        }
    }
}

package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.halftone.core.tensor.AllMemory;
import dev.halftone.core.tensor.BFloat16;
import dev.halftone.runtime.cpu.OneDnn.Numbers;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class OneDnnTest {
    private static final int WORKERS = 4;

    private OneDnn oneDnn;

    @BeforeEach
    void open() throws OneDnnUnavailable {
        TestBackends.requireOneDnn();
        oneDnn = new OneDnn(WORKERS);
    }

    @AfterEach
    void close() {
        if (oneDnn != null) {
            oneDnn.close();
        }
    }

    /// Small whole numbers: every sum is exact in all kinds, whatever its order.
    private static int[] numbers(Random random, int count, int bound) {
        return random.ints(count, -bound, bound + 1).toArray();
    }

    private static void put(Numbers numbers, long address, long index, int value) {
        switch (numbers) {
            case FLOAT32 -> Memory.putFloat(address + index * 4, value);
            case BFLOAT16 -> AllMemory.ALL.set(ValueLayout.JAVA_SHORT, address + index * 2, BFloat16.fromFloat(value));
            case UNSIGNED8 -> AllMemory.ALL.set(ValueLayout.JAVA_BYTE, address + index, (byte) value);
        }
    }

    /// Place of row `k` and `column` in the right-hand side.
    private static long place(Numbers numbers, int depth, int k, int column) {
        long block = (long) column / OneDnn.BLOCK * depth * OneDnn.BLOCK;
        long word = (long) (k / numbers.together) * OneDnn.BLOCK + column % OneDnn.BLOCK;
        return block + word * numbers.together + k % numbers.together;
    }

    private final class Case implements AutoCloseable {
        final Numbers numbers;
        final int rows;
        final int depth;
        final int columns;
        final int aRow;
        final int cRow;
        final int[] a;
        final int[] b;
        final int[] bias;
        final Memory left;
        final Memory right;
        final Memory addends;
        final Memory result;

        Case(Numbers numbers, int rows, int depth, int columns, int gap, Random random) {
            this.numbers = numbers;
            this.rows = rows;
            this.depth = depth;
            this.columns = columns;
            aRow = depth + gap;
            cRow = columns + gap;
            int bound = numbers.bytes == 1 ? 127 : 15;
            a = numbers == Numbers.UNSIGNED8
                    ? random.ints(rows * depth, 0, 256).toArray()
                    : numbers(random, rows * depth, bound);
            b = numbers(random, depth * columns, bound);
            bias = numbers.bytes == 1 ? new int[columns] : numbers(random, columns, 100);
            left = Memory.ofBytes((long) rows * aRow * numbers.bytes);
            int blocks = Math.ceilDiv(columns, OneDnn.BLOCK);
            right = Memory.ofBytes((long) blocks * OneDnn.BLOCK * depth * numbers.bytes);
            addends = Memory.ofFloats(columns);
            result = Memory.ofFloats((long) rows * cRow);
            for (int i = 0; i < rows; i++) {
                for (int k = 0; k < depth; k++) {
                    put(numbers, left.address(), (long) i * aRow + k, a[i * depth + k]);
                }
            }
            for (int k = 0; k < depth; k++) {
                for (int j = 0; j < columns; j++) {
                    put(numbers, right.address(), place(numbers, depth, k, j), b[k * columns + j]);
                }
            }
            for (int j = 0; j < columns; j++) {
                Memory.putFloat(addends.address() + j * 4L, bias[j]);
            }
            for (int i = 0; i < rows * cRow; i++) {
                Memory.putInt(result.address() + i * 4L, 12345);
            }
        }

        OneDnnProduct product() {
            return switch (numbers) {
                case FLOAT32 -> oneDnn.multiplyFloat32(rows, depth, columns, aRow, cRow);
                case BFLOAT16 -> oneDnn.multiplyBFloat16(rows, depth, columns, aRow, cRow);
                case UNSIGNED8 -> oneDnn.multiplyUnsigned8(rows, depth, columns, aRow, cRow);
            };
        }

        void run(OneDnnProduct product, int worker) {
            product.run(worker, left.address(), right.address(), result.address(), addends.address());
        }

        void check() {
            for (int i = 0; i < rows; i++) {
                for (int j = 0; j < columns; j++) {
                    int sum = bias[j];
                    for (int k = 0; k < depth; k++) {
                        sum += a[i * depth + k] * b[k * columns + j];
                    }
                    long at = result.address() + ((long) i * cRow + j) * 4;
                    double found = numbers.bytes == 1 ? Memory.getInt(at) : Memory.getFloat(at);
                    assertEquals(sum, found, "row " + i + ", column " + j);
                }
                for (int j = columns; j < cRow; j++) {
                    assertEquals(12345, Memory.getInt(result.address() + ((long) i * cRow + j) * 4), "beside row " + i);
                }
            }
        }

        @Override
        public void close() {
            left.close();
            right.close();
            addends.close();
            result.close();
        }
    }

    @ParameterizedTest
    @CsvSource({"1,64,1,0", "3,64,17,0", "16,128,64,3", "33,192,65,0", "64,64,128,5", "129,576,130,0", "256,1536,128,1"
    })
    void multipliesEveryKindOfNumbers(int rows, int depth, int columns, int gap) {
        for (Numbers numbers : Numbers.values()) {
            if (!oneDnn.multiplies(numbers)) {
                continue;
            }
            try (Case one = new Case(numbers, rows, depth, columns, gap, new Random(rows))) {
                one.run(one.product(), 0);
                one.check();
            }
        }
    }

    /// Sums beyond 2²⁴ and odd, which no float holds.
    @ParameterizedTest
    @CsvSource({"UNSIGNED8, 255, -128", "UNSIGNED8, 255, 127"})
    void addsTheLargestBytesExactly(Numbers numbers, int left, int right) {
        assumeTrue(oneDnn.multiplies(numbers), "the processor adds products of bytes in 16 bits");
        int depth = 2048;
        try (Case one = new Case(numbers, 20, depth, 70, 0, new Random(1))) {
            Arrays.fill(one.a, left);
            Arrays.fill(one.b, right);
            for (int row = 0; row < 20; row++) {
                one.a[row * depth + row] = 1;
            }
            for (int column = 0; column < 70; column += 2) {
                one.b[column] = 1;
            }
            for (int i = 0; i < 20 * depth; i++) {
                put(numbers, one.left.address(), i, one.a[i]);
            }
            for (int k = 0; k < depth; k++) {
                for (int j = 0; j < 70; j++) {
                    put(numbers, one.right.address(), place(numbers, depth, k, j), one.b[k * 70 + j]);
                }
            }
            one.run(one.product(), 0);
            one.check();
        }
    }

    @ParameterizedTest
    @EnumSource(Numbers.class)
    void servesSeveralThreadsAtATime(Numbers numbers) throws InterruptedException {
        assumeTrue(oneDnn.multiplies(numbers), "no kernel for " + numbers.word());
        Case[] cases = new Case[WORKERS];
        for (int i = 0; i < WORKERS; i++) {
            cases[i] = new Case(numbers, 64, 256, 128, 0, new Random(i));
        }
        OneDnnProduct shared = cases[0].product();
        Thread[] threads = new Thread[WORKERS];
        for (int i = 0; i < WORKERS; i++) {
            int worker = i;
            threads[i] = new Thread(() -> {
                for (int repetition = 0; repetition < 50; repetition++) {
                    cases[worker].run(shared, worker);
                }
            });
            threads[i].start();
        }
        for (Thread thread : threads) {
            thread.join();
        }
        for (Case one : cases) {
            one.check();
            one.close();
        }
    }

    @Test
    void describesAProductOnce() {
        OneDnnProduct first = oneDnn.multiplyFloat32(32, 64, 64, 64, 64);
        assertSame(first, oneDnn.multiplyFloat32(32, 64, 64, 64, 64));
        assertTrue(first != oneDnn.multiplyFloat32(32, 64, 64, 64, 70));
    }

    @Test
    void staysUsableWhenMoreShapesComeThanItKeeps() {
        for (int rows = 1; rows < 600; rows++) {
            oneDnn.trim();
            oneDnn.multiplyFloat32(rows, 16, 8, 16, 8);
        }
        try (Case one = new Case(Numbers.FLOAT32, 5, 64, 8, 0, new Random(2))) {
            one.run(one.product(), WORKERS - 1);
            one.check();
        }
    }

    @Test
    void namesItsVersionAndKernel() {
        assertTrue(oneDnn.name().matches("oneDNN 3\\.\\d+\\.\\d+"), oneDnn.name());
        String kernel = oneDnn.multiplyFloat32(32, 64, 64, 64, 64).implementation();
        assertTrue(kernel.matches("\\w+:\\w+"), kernel);
    }
}

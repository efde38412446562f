package dev.halftone.runtime.cpu;

import dev.halftone.core.tensor.BFloat16;

/// The kernels in plain loops: the twin of [VectorKernels] for a JVM without the vector module, and for tests.
final class ScalarKernels implements Kernels {
    private static final int LANES = 8;
    private static final long VECTOR = LANES * (long) Float.BYTES;

    @Override
    public String name() {
        return "plain loops";
    }

    @Override
    public int lanes() {
        return LANES;
    }

    private static long at(long address, int index) {
        return address + (long) index * Float.BYTES;
    }

    @Override
    public void tile(long a, long aRow, int rows, long b, long bStrip, int depth, long c, long cRow, float alpha) {
        for (int strip = 0; strip < TILE_STRIPS; strip++) {
            narrowTile(a, aRow, rows, b + strip * bStrip, depth, c + strip * VECTOR, cRow, alpha);
        }
    }

    @Override
    public void packedTile(long a, long b, int depth, long c, long cRow, float alpha) {
        long step = TILE_STRIPS * VECTOR;
        for (int strip = 0; strip < TILE_STRIPS; strip++) {
            long from = b + strip * VECTOR;
            long to = c + strip * VECTOR;
            narrowTile(a, Float.BYTES, TILE_ROWS * Float.BYTES, TILE_ROWS, from, step, depth, to, cRow, alpha);
        }
    }

    @Override
    public void narrowTile(long a, long aRow, int rows, long b, int depth, long c, long cRow, float alpha) {
        narrowTile(a, aRow, Float.BYTES, rows, b, VECTOR, depth, c, cRow, alpha);
    }

    @Override
    public void columnTile(long a, long b, long bStrip, int depth, long c, long cRow) {
        for (int strip = 0; strip < TILE_STRIPS; strip++) {
            long to = c + strip * VECTOR;
            narrowTile(a, Float.BYTES, VECTOR, TILE_ROWS, b + strip * bStrip, VECTOR, depth, to, cRow, 1f);
        }
    }

    private static void narrowTile(
            long a, long aRow, long aStep, int rows, long b, long bStep, int depth, long c, long cRow, float alpha) {
        for (int row = 0; row < TILE_ROWS; row++) {
            long from = a + Math.min(row, rows - 1) * aRow;
            float c0 = 0;
            float c1 = 0;
            float c2 = 0;
            float c3 = 0;
            float c4 = 0;
            float c5 = 0;
            float c6 = 0;
            float c7 = 0;
            for (int k = 0; k < depth; k++) {
                float x = Memory.getFloat(from + k * aStep);
                long bk = b + k * bStep;
                c0 += x * Memory.getFloat(bk + 0);
                c1 += x * Memory.getFloat(bk + 4);
                c2 += x * Memory.getFloat(bk + 8);
                c3 += x * Memory.getFloat(bk + 12);
                c4 += x * Memory.getFloat(bk + 16);
                c5 += x * Memory.getFloat(bk + 20);
                c6 += x * Memory.getFloat(bk + 24);
                c7 += x * Memory.getFloat(bk + 28);
            }
            long to = c + row * cRow;
            accumulate(to + 0, alpha * c0);
            accumulate(to + 4, alpha * c1);
            accumulate(to + 8, alpha * c2);
            accumulate(to + 12, alpha * c3);
            accumulate(to + 16, alpha * c4);
            accumulate(to + 20, alpha * c5);
            accumulate(to + 24, alpha * c6);
            accumulate(to + 28, alpha * c7);
        }
    }

    private static void accumulate(long address, float value) {
        Memory.putFloat(address, Memory.getFloat(address) + value);
    }

    /// Weight number `field` of a word, restored.
    private static float restored(PackedWeight weight, int strip, int lane, int word, int field, int bits) {
        return switch (weight.form) {
            case CODES4, CODES8 -> {
                int group = word / weight.wordsPerGroup();
                int code = Integer.rotateRight(bits, weight.form.shift() + field * weight.form.bits)
                        & (1 << weight.form.bits) - 1;
                float factor = Memory.getFloat(at(weight.factors(strip) + group * VECTOR, lane));
                float centre = Memory.getFloat(at(weight.centres(strip) + (long) group * weight.centreStep(), lane));
                yield (1 + code / weight.form.span() - centre) * factor;
            }
            case BFLOAT16 -> Float.intBitsToFloat(field == 0 ? bits << 16 : bits & 0xFFFF0000);
            case FLOAT32 -> Float.intBitsToFloat(bits);
        };
    }

    @Override
    public void multiplyRow(PackedWeight weight, float[] x, float[] sums, int from, int to, long y) {
        multiplyRow(weight, x, 0, 1, from, to, y);
    }

    @Override
    public void multiplyRows(
            PackedWeight weight, float[] x, float[] sums, int blocks, int from, int to, long y, long yRow) {
        for (int row = 0; row < blocks * ROWS; row++) {
            int first = row / ROWS * ROWS * weight.paddedInputs() + row % ROWS;
            multiplyRow(weight, x, first, ROWS, from, to, y + row * yRow);
        }
    }

    private static void multiplyRow(PackedWeight weight, float[] x, int first, int step, int from, int to, long y) {
        int fields = weight.form.fields;
        for (int strip = from; strip < to; strip++) {
            for (int lane = 0; lane < LANES; lane++) {
                float sum = Memory.getFloat(at(weight.bias(strip), lane));
                for (int word = 0; word < weight.wordsPerStrip(); word++) {
                    int bits = Memory.getInt(at(weight.words(strip) + word * VECTOR, lane));
                    for (int field = 0; field < fields; field++) {
                        sum += restored(weight, strip, lane, word, field, bits)
                                * x[first + (word * fields + field) * step];
                    }
                }
                Memory.putFloat(at(y + strip * VECTOR, lane), sum);
            }
        }
    }

    @Override
    public void restore(PackedWeight weight, int strip, int first, int count, long destination) {
        int fields = weight.form.fields;
        for (int word = 0; word < count; word++) {
            for (int lane = 0; lane < LANES; lane++) {
                int bits = Memory.getInt(at(weight.words(strip) + (first + word) * VECTOR, lane));
                for (int field = 0; field < fields; field++) {
                    Memory.putFloat(
                            at(destination + (word * (long) fields + field) * VECTOR, lane),
                            restored(weight, strip, lane, first + word, field, bits));
                }
            }
        }
    }

    @Override
    public void sumRow(PackedWeight weight, float[] x, int total, int from, int to, long sums) {
        sumRow(weight, x, 0, 1, from, to, sums);
    }

    @Override
    public void sumFourRows(PackedWeight weight, float[] x, int first, int from, int to, long sums, long sumsRow) {
        for (int row = 0; row < TILE_ROWS; row++) {
            sumRow(weight, x, first + row, TILE_ROWS, from, to, sums + row * sumsRow);
        }
    }

    private static void sumRow(PackedWeight weight, float[] x, int first, int step, int from, int to, long sums) {
        int zero = weight.middle();
        for (int strip = from; strip < to; strip++) {
            for (int lane = 0; lane < LANES; lane++) {
                int sum = 0;
                for (int word = 0; word < weight.wordsPerStrip(); word++) {
                    int bits = Memory.getInt(at(weight.words(strip) + word * VECTOR, lane));
                    for (int field = 0; field < weight.form.fields; field++) {
                        sum += (code(weight, field, bits) - zero) * (int) x[first + (word * 4 + field) * step];
                    }
                }
                Memory.putInt(at(sums + strip * VECTOR, lane), sum);
            }
        }
    }

    private static int code(PackedWeight weight, int field, int bits) {
        return Integer.rotateRight(bits, weight.form.shift() + field * weight.form.bits) & 0xFF;
    }

    @Override
    public void centre(PackedWeight weight, int strip, int first, int count, long destination) {
        int zero = weight.middle();
        for (int word = 0; word < count; word++) {
            for (int lane = 0; lane < LANES; lane++) {
                int bits = Memory.getInt(at(weight.words(strip) + (first + word) * VECTOR, lane));
                for (int field = 0; field < 4; field++) {
                    float centred = (code(weight, field, bits) - zero) / 256f;
                    Memory.putFloat(at(destination + (word * 4L + field) * VECTOR, lane), centred);
                }
            }
        }
    }

    @Override
    public void integerTile(long a, long aRow, int rows, long b, long bStrip, int depth, long c, long cRow) {
        for (int strip = 0; strip < TILE_STRIPS; strip++) {
            narrowIntegerTile(a, aRow, rows, b + strip * bStrip, depth, c + strip * VECTOR, cRow);
        }
    }

    @Override
    public void narrowIntegerTile(long a, long aRow, int rows, long b, int depth, long c, long cRow) {
        for (int row = 0; row < TILE_ROWS; row++) {
            long from = a + Math.min(row, rows - 1) * aRow;
            for (int lane = 0; lane < LANES; lane++) {
                int sum = 0;
                for (int k = 0; k < depth; k++) {
                    sum += (int) (Memory.getFloat(at(b + k * VECTOR, lane)) * 256 * Memory.getFloat(at(from, k)));
                }
                long to = at(c + row * cRow, lane);
                Memory.putInt(to, Memory.getInt(to) + sum);
            }
        }
    }

    @Override
    public void scaleSums(long sums, float scale, long factors, long bias, int count, long destination) {
        for (int i = 0; i < count; i++) {
            float product = Memory.getInt(at(sums, i)) * (Memory.getFloat(at(factors, i)) / 256);
            Memory.putFloat(at(destination, i), Math.fma(product, scale, Memory.getFloat(at(bias, i))));
        }
    }

    @Override
    public void copyStrip(long from, long rowBytes, int count, long destination) {
        for (int k = 0; k < count; k++) {
            Memory.copyFloats(from + k * rowBytes, destination + k * VECTOR, LANES);
        }
    }

    @Override
    public void widen(long from, int words, long destination) {
        for (int i = 0; i < words; i++) {
            for (int lane = 0; lane < LANES; lane++) {
                int word = Memory.getInt(at(from, i * LANES + lane));
                Memory.putFloat(at(destination, 2 * i * LANES + lane), Float.float16ToFloat((short) word));
                Memory.putFloat(
                        at(destination, (2 * i + 1) * LANES + lane), Float.float16ToFloat((short) (word >>> 16)));
            }
        }
    }

    @Override
    public void spread(long from, int count, long destination, long step) {
        for (int i = 0; i < count; i++) {
            Memory.copyFloats(from + i * VECTOR, destination + i * step, LANES);
        }
    }

    @Override
    public void addIntegers(long x, long sum, int count) {
        for (int i = 0; i < count; i++) {
            Memory.putInt(at(sum, i), Memory.getInt(at(sum, i)) + Memory.getInt(at(x, i)));
        }
    }

    @Override
    public void bytes(PackedWeight weight, int strip, int first, int count, long destination, long step) {
        for (int i = 0; i < count; i++) {
            for (int lane = 0; lane < LANES; lane++) {
                int word = Memory.getInt(at(weight.words(strip) + (first + i) * VECTOR, lane));
                Memory.putInt(
                        at(destination + i * step, lane), Integer.rotateRight(word, weight.form.shift()) ^ 0x80808080);
            }
        }
    }

    @Override
    public void roundPairs(long low, long high, long step, int count, long destination, long destinationStep) {
        for (int i = 0; i < count; i++) {
            for (int lane = 0; lane < LANES; lane++) {
                int lower = BFloat16.fromFloat(Memory.getFloat(at(low + i * step, lane))) & 0xFFFF;
                int upper = BFloat16.fromFloat(Memory.getFloat(at(high + i * step, lane))) << 16;
                Memory.putInt(at(destination + i * destinationStep, lane), upper | lower);
            }
        }
    }

    @Override
    public void normalize(long x, long weight, float epsilon, int count, long destination, long scratch) {
        double squares = 0;
        for (int i = 0; i < count; i++) {
            double v = Memory.getFloat(at(x, i));
            squares += v * v;
        }
        float inverse = (float) (1 / Math.sqrt(squares / count + epsilon));
        for (int i = 0; i < count; i++) {
            Memory.putFloat(at(destination, i), Memory.getFloat(at(x, i)) * inverse * Memory.getFloat(at(weight, i)));
        }
    }

    @Override
    public void rotate(long x, int half, long cosines, long sines) {
        for (int i = 0; i < half; i++) {
            float a = Memory.getFloat(at(x, i));
            float b = Memory.getFloat(at(x, i + half));
            float cosine = Memory.getFloat(at(cosines, i));
            float sine = Memory.getFloat(at(sines, i));
            Memory.putFloat(at(x, i), a * cosine - b * sine);
            Memory.putFloat(at(x, i + half), b * cosine + a * sine);
        }
    }

    @Override
    public void gate(long gate, long up, long destination, int count, long scratch) {
        for (int i = 0; i < count; i++) {
            float g = Memory.getFloat(at(gate, i));
            Memory.putFloat(at(destination, i), (float) (g / (1 + Math.exp(-g))) * Memory.getFloat(at(up, i)));
        }
    }

    @Override
    public void add(long x, long sum, int count) {
        for (int i = 0; i < count; i++) {
            accumulate(at(sum, i), Memory.getFloat(at(x, i)));
        }
    }

    @Override
    public void scale(long x, float factor, long destination, int count) {
        for (int i = 0; i < count; i++) {
            Memory.putFloat(at(destination, i), Memory.getFloat(at(x, i)) * factor);
        }
    }

    @Override
    public float maximum(long x, int count) {
        float maximum = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < count; i++) {
            maximum = Math.max(maximum, Memory.getFloat(at(x, i)));
        }
        return maximum;
    }

    @Override
    public float exponentials(long x, int count, float maximum, long scratch) {
        float sum = 0;
        for (int i = 0; i < count; i++) {
            float e = (float) Math.exp(Memory.getFloat(at(x, i)) - maximum);
            Memory.putFloat(at(x, i), e);
            sum += e;
        }
        return sum;
    }

    @Override
    public float read(long from, int vectors, long scratch) {
        float even = 0;
        float odd = 0;
        for (int i = 0; i < vectors * LANES; i += 2) {
            even += Memory.getFloat(at(from, i));
            odd += Memory.getFloat(at(from, i + 1));
        }
        return even + odd;
    }

    @Override
    public float multiplyAdd(int steps, long scratch) {
        // From memory, so that the compiler does not know the products.
        Memory.putFloat(scratch, 1);
        float one = Memory.getFloat(scratch);
        float s0 = 0;
        float s1 = 0;
        float s2 = 0;
        float s3 = 0;
        for (int i = 0; i < steps * 2 * LANES; i++) {
            s0 += one * one;
            s1 += one * one;
            s2 += one * one;
            s3 += one * one;
        }
        return s0 + s1 + s2 + s3;
    }
}

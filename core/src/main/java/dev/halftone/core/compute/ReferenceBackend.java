package dev.halftone.core.compute;

import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.StoredWeight;
import dev.halftone.core.weight.Weight;
import java.util.Arrays;

/// The same arithmetic in plain loops on one thread, accumulated in double precision. Never optimised: it is the
/// judge of the fast ones.
public final class ReferenceBackend implements Backend {
    /// Row-major numbers `values[offset + row * stride + column]`.
    private record Host(float[] values, int offset, int stride, int rows, int columns) implements Matrix {
        float get(int row, int column) {
            return values[offset + row * stride + column];
        }

        void set(int row, int column, double value) {
            values[offset + row * stride + column] = (float) value;
        }

        @Override
        public Matrix view(int firstRow, int rows, int firstColumn, int columns) {
            java.util.Objects.checkFromIndexSize(firstRow, rows, this.rows);
            java.util.Objects.checkFromIndexSize(firstColumn, columns, this.columns);
            return new Host(values, offset + firstRow * stride + firstColumn, stride, rows, columns);
        }

        @Override
        public Matrix everyNth(int first, int step) {
            java.util.Objects.checkIndex(first, rows);
            int taken = Math.ceilDiv(rows - first, step);
            return new Host(values, offset + first * stride, stride * step, taken, columns);
        }

        @Override
        public void close() {}
    }

    /// Keys and values as `[layer][slot][position][kvColumns]`.
    private record HostCache(float[][][][] keys, float[][][][] values, int slots, int capacity, DType numbers)
            implements KvCache {
        void store(Matrix source, int row, float[] destination) {
            Host from = host(source);
            for (int i = 0; i < from.columns; i++) {
                float value = from.get(row, i);
                destination[i] = numbers == DType.F16 ? CachedFloat16.round(value) : value;
            }
        }

        @Override
        public long bytes() {
            return 8L * keys.length * slots * capacity * keys[0][0][0].length;
        }

        @Override
        public void close() {}
    }

    private record HostLinear(float[] weight, float[] bias, int outputs, int inputs) implements Linear {
        @Override
        public void multiply(Matrix x, Matrix y) {
            Host in = host(x);
            Host out = host(y);
            require(in.columns == inputs && out.columns == outputs && in.rows == out.rows, "multiply", x, y);
            for (int row = 0; row < in.rows; row++) {
                for (int output = 0; output < outputs; output++) {
                    double sum = bias == null ? 0 : bias[output];
                    for (int i = 0; i < inputs; i++) {
                        sum += (double) in.get(row, i) * weight[output * inputs + i];
                    }
                    out.set(row, output, sum);
                }
            }
        }

        @Override
        public void gather(int[] indices, Matrix destination) {
            Host out = host(destination);
            for (int row = 0; row < out.rows; row++) {
                for (int i = 0; i < inputs; i++) {
                    out.set(row, i, weight[indices[row] * inputs + i]);
                }
            }
        }

        @Override
        public long bytes() {
            return 4L * weight.length;
        }

        @Override
        public void close() {}
    }

    /// Inputs rounded to integers, multiplied by the codes as integers, and scaled at the end.
    private record HostIntegers(QuantizedWeight weight, float[] bias) implements Linear {
        @Override
        public int inputs() {
            return weight.inputs();
        }

        @Override
        public int outputs() {
            return weight.outputs();
        }

        @Override
        public void multiply(Matrix x, Matrix y) {
            Host in = host(x);
            Host out = host(y);
            int inputs = inputs();
            require(in.columns == inputs && out.columns == outputs() && in.rows == out.rows, "multiply", x, y);
            float[] row = new float[inputs];
            for (int r = 0; r < in.rows; r++) {
                for (int i = 0; i < inputs; i++) {
                    row[i] = in.get(r, i);
                }
                double scale = weight.activations().scaleOf(row, 0, inputs);
                ActivationScheme.round(row, 0, inputs, (float) scale, row);
                for (int output = 0; output < outputs(); output++) {
                    long sum = 0;
                    for (int i = 0; i < inputs; i++) {
                        int code = weight.codes()[output * inputs + i] & 0xFF;
                        sum += (long) row[i] * (code - weight.zeros()[output]);
                    }
                    out.set(r, output, scale * weight.scales()[output] * sum + (bias == null ? 0 : bias[output]));
                }
            }
        }

        @Override
        public void gather(int[] indices, Matrix destination) {
            float[] row = new float[inputs()];
            for (int i = 0; i < destination.rows(); i++) {
                weight.restoreRow(indices[i], row, 0);
                for (int column = 0; column < row.length; column++) {
                    host(destination).set(i, column, row[column]);
                }
            }
        }

        @Override
        public long bytes() {
            return weight.codes().length + 8L * outputs();
        }

        @Override
        public void close() {}
    }

    private static Host host(Matrix matrix) {
        return (Host) matrix;
    }

    private static void require(boolean fits, String verb, Matrix a, Matrix b) {
        if (!fits) {
            throw new IllegalArgumentException(verb + ": shapes [" + a.rows() + ", " + a.columns() + "] and ["
                    + b.rows() + ", " + b.columns() + "] do not fit");
        }
    }

    private static void requireSame(String verb, Matrix a, Matrix b) {
        require(a.rows() == b.rows() && a.columns() == b.columns(), verb, a, b);
    }

    @Override
    public String description() {
        return "reference (plain loops, one thread)";
    }

    @Override
    public Matrix allocate(int rows, int columns) {
        return new Host(new float[Math.multiplyExact(rows, columns)], 0, columns, rows, columns);
    }

    @Override
    public KvCache allocateCache(int layers, int slots, int capacity, AttentionShape shape, DType numbers) {
        return new HostCache(
                new float[layers][slots][capacity][shape.kvColumns()],
                new float[layers][slots][capacity][shape.kvColumns()],
                slots,
                capacity,
                numbers);
    }

    @Override
    public Linear bind(Weight weight, float[] bias) {
        Weight plain = weight instanceof StoredWeight stored ? stored.unpacked() : weight;
        if (plain instanceof QuantizedWeight codes && codes.activations().kind() != ActivationScheme.Kind.NONE) {
            return new HostIntegers(codes, bias);
        }
        return new HostLinear(plain.restore(), bias, plain.outputs(), plain.inputs());
    }

    @Override
    public void copyIn(float[] source, int offset, Matrix destination) {
        Host out = host(destination);
        for (int row = 0; row < out.rows; row++) {
            System.arraycopy(
                    source, offset + row * out.columns, out.values, out.offset + row * out.stride, out.columns);
        }
    }

    @Override
    public void copyOut(Matrix source, float[] destination, int offset) {
        Host in = host(source);
        for (int row = 0; row < in.rows; row++) {
            System.arraycopy(
                    in.values, in.offset + row * in.stride, destination, offset + row * in.columns, in.columns);
        }
    }

    @Override
    public void copy(Matrix source, Matrix destination) {
        requireSame("copy", source, destination);
        for (int row = 0; row < source.rows(); row++) {
            for (int i = 0; i < source.columns(); i++) {
                host(destination).set(row, i, host(source).get(row, i));
            }
        }
    }

    @Override
    public void gatherRows(Matrix x, int[] indices, Matrix destination) {
        for (int row = 0; row < destination.rows(); row++) {
            copy(x.rows(indices[row], 1), destination.rows(row, 1));
        }
    }

    @Override
    public void rmsNorm(Matrix x, Matrix weight, float epsilon, Matrix destination) {
        requireSame("rmsNorm", x, destination);
        Host in = host(x);
        Host factor = host(weight);
        int width = factor.columns;
        require(in.columns % width == 0, "rmsNorm", x, weight);
        for (int row = 0; row < in.rows; row++) {
            for (int first = 0; first < in.columns; first += width) {
                double squares = 0;
                for (int i = 0; i < width; i++) {
                    squares += (double) in.get(row, first + i) * in.get(row, first + i);
                }
                double inverse = 1 / Math.sqrt(squares / width + epsilon);
                for (int i = 0; i < width; i++) {
                    host(destination).set(row, first + i, in.get(row, first + i) * inverse * factor.get(0, i));
                }
            }
        }
    }

    @Override
    public void rope(Matrix x, int headSize, Matrix cosines, Matrix sines) {
        Host in = host(x);
        int half = headSize / 2;
        for (int row = 0; row < in.rows; row++) {
            for (int head = 0; head < in.columns; head += headSize) {
                for (int i = 0; i < half; i++) {
                    double a = in.get(row, head + i);
                    double b = in.get(row, head + i + half);
                    double cosine = host(cosines).get(row, i);
                    double sine = host(sines).get(row, i);
                    in.set(row, head + i, a * cosine - b * sine);
                    in.set(row, head + i + half, b * cosine + a * sine);
                }
            }
        }
    }

    @Override
    public void attention(
            Matrix queries,
            Matrix keys,
            Matrix values,
            AttentionShape shape,
            Batch batch,
            KvCache cache,
            int layer,
            Matrix destination) {
        HostCache store = (HostCache) cache;
        int size = shape.headSize();
        int row = 0;
        for (int sequence = 0; sequence < batch.size(); sequence++) {
            float[][] pastKeys = store.keys[layer][batch.slot(sequence)];
            float[][] pastValues = store.values[layer][batch.slot(sequence)];
            for (int t = 0; t < batch.count(sequence); t++, row++) {
                int position = batch.start(sequence) + t;
                store.store(keys, row, pastKeys[position]);
                store.store(values, row, pastValues[position]);
                int first = Math.max(0, position - shape.window() + 1);
                for (int head = 0; head < shape.heads(); head++) {
                    int query = head * size;
                    int kv = head / (shape.heads() / shape.kvHeads()) * size;
                    double[] scores = new double[position + 1 - first];
                    for (int p = first; p <= position; p++) {
                        for (int i = 0; i < size; i++) {
                            scores[p - first] += (double) host(queries).get(row, query + i) * pastKeys[p][kv + i];
                        }
                        scores[p - first] *= shape.scale();
                    }
                    softmax(scores);
                    for (int i = 0; i < size; i++) {
                        double sum = 0;
                        for (int p = first; p <= position; p++) {
                            sum += scores[p - first] * pastValues[p][kv + i];
                        }
                        host(destination).set(row, query + i, sum);
                    }
                }
            }
        }
    }

    private static void softmax(double[] scores) {
        double maximum = Arrays.stream(scores).max().orElseThrow();
        double sum = 0;
        for (int i = 0; i < scores.length; i++) {
            scores[i] = Math.exp(scores[i] - maximum);
            sum += scores[i];
        }
        for (int i = 0; i < scores.length; i++) {
            scores[i] /= sum;
        }
    }

    @Override
    public void gatedActivation(Matrix gate, Matrix up, Matrix destination) {
        requireSame("gatedActivation", gate, up);
        requireSame("gatedActivation", gate, destination);
        for (int row = 0; row < gate.rows(); row++) {
            for (int i = 0; i < gate.columns(); i++) {
                double x = host(gate).get(row, i);
                host(destination).set(row, i, x / (1 + Math.exp(-x)) * host(up).get(row, i));
            }
        }
    }

    @Override
    public void add(Matrix x, Matrix sum) {
        requireSame("add", x, sum);
        for (int row = 0; row < x.rows(); row++) {
            for (int i = 0; i < x.columns(); i++) {
                host(sum).set(row, i, host(sum).get(row, i) + host(x).get(row, i));
            }
        }
    }

    @Override
    public void addGram(Matrix x, Matrix gram) {
        Host in = host(x);
        Host out = host(gram);
        require(out.rows == in.columns && out.columns == in.columns, "addGram", x, gram);
        for (int i = 0; i < in.columns; i++) {
            for (int j = 0; j < in.columns; j++) {
                double sum = out.get(i, j);
                for (int row = 0; row < in.rows; row++) {
                    sum += (double) in.get(row, i) * in.get(row, j);
                }
                out.set(i, j, sum);
            }
        }
    }

    @Override
    public void addTransposedProduct(Matrix a, Matrix b, Matrix sum) {
        Host left = host(a);
        Host right = host(b);
        Host out = host(sum);
        require(left.rows == right.rows, "addTransposedProduct", a, b);
        require(out.rows == left.columns && out.columns == right.columns, "addTransposedProduct", a, sum);
        for (int i = 0; i < out.rows; i++) {
            for (int j = 0; j < out.columns; j++) {
                double total = out.get(i, j);
                for (int row = 0; row < left.rows; row++) {
                    total += (double) left.get(row, i) * right.get(row, j);
                }
                out.set(i, j, total);
            }
        }
    }

    @Override
    public void subtractProduct(Matrix a, Matrix b, Matrix c) {
        require(a.columns() == b.rows(), "subtractProduct", a, b);
        require(c.rows() == a.rows() && c.columns() == b.columns(), "subtractProduct", a, c);
        for (int i = 0; i < c.rows(); i++) {
            for (int j = 0; j < c.columns(); j++) {
                double sum = host(c).get(i, j);
                for (int k = 0; k < b.rows(); k++) {
                    sum -= (double) host(a).get(i, k) * host(b).get(k, j);
                }
                host(c).set(i, j, sum);
            }
        }
    }

    /// With `a = R·Rᵀ`, `R` upper triangular, `inverse(a) = R⁻ᵀ·R⁻¹`, so `U = R⁻¹`: one factorisation from the last
    /// column backwards and one triangular inverse, instead of Cholesky, inverse and Cholesky again.
    @Override
    public void invertToUpperFactor(Matrix a) throws NotPositiveDefiniteException {
        Host in = host(a);
        int n = in.rows;
        require(in.columns == n, "invertToUpperFactor", a, a);
        double[][] r = new double[n][n];
        for (int j = n - 1; j >= 0; j--) {
            for (int i = j; i >= 0; i--) {
                double sum = in.get(i, j);
                for (int k = j + 1; k < n; k++) {
                    sum -= r[i][k] * r[j][k];
                }
                if (i < j) {
                    r[i][j] = sum / r[j][j];
                } else if (sum > 0 && sum < Double.POSITIVE_INFINITY) {
                    r[j][j] = Math.sqrt(sum);
                } else {
                    throw new NotPositiveDefiniteException(j, sum);
                }
            }
        }
        for (int j = 0; j < n; j++) {
            double[] column = new double[n];
            for (int i = j; i >= 0; i--) {
                double sum = i == j ? 1 : 0;
                for (int k = i + 1; k <= j; k++) {
                    sum -= r[i][k] * column[k];
                }
                column[i] = sum / r[i][i];
            }
            for (int i = 0; i < n; i++) {
                in.set(i, j, column[i]);
            }
        }
    }

    @Override
    public void forRanges(int count, RangeTask task) {
        if (count > 0) {
            task.run(0, count);
        }
    }

    @Override
    public void close() {}
}

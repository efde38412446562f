package dev.halftone.core.model;

import dev.halftone.core.compute.AttentionShape;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Linear;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.RangeTask;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.Weight;
import java.util.Objects;

/// Computes nothing and allocates nothing but what it is asked for, so that a test sees what the graph itself does.
/// Counts the rows that passed through linears.
final class IdleBackend implements Backend {
    long multipliedRows;

    private record Room(int rows, int columns) implements Matrix {
        @Override
        public Matrix view(int firstRow, int count, int firstColumn, int width) {
            Objects.checkFromIndexSize(firstRow, count, rows);
            return new Room(count, width);
        }

        @Override
        public Matrix everyNth(int first, int step) {
            return new Room(Math.ceilDiv(rows - first, step), columns);
        }

        @Override
        public void close() {}
    }

    private record Cache(int slots, int capacity) implements KvCache {
        @Override
        public long bytes() {
            return 0;
        }

        @Override
        public void close() {}
    }

    private final class Idler implements Linear {
        private final int inputs;
        private final int outputs;

        Idler(int inputs, int outputs) {
            this.inputs = inputs;
            this.outputs = outputs;
        }

        @Override
        public int inputs() {
            return inputs;
        }

        @Override
        public int outputs() {
            return outputs;
        }

        @Override
        public void multiply(Matrix x, Matrix y) {
            multipliedRows += x.rows();
        }

        @Override
        public void gather(int[] indices, Matrix destination) {}

        @Override
        public long bytes() {
            return 0;
        }

        @Override
        public void close() {}
    }

    @Override
    public String description() {
        return "idle";
    }

    @Override
    public Matrix allocate(int rows, int columns) {
        return new Room(rows, columns);
    }

    @Override
    public KvCache allocateCache(int layers, int slots, int capacity, AttentionShape shape, DType numbers) {
        return new Cache(slots, capacity);
    }

    @Override
    public Linear bind(Weight weight, float[] bias) {
        return new Idler(weight.inputs(), weight.outputs());
    }

    @Override
    public void copyIn(float[] source, int offset, Matrix destination) {}

    @Override
    public void copyOut(Matrix source, float[] destination, int offset) {}

    @Override
    public void copy(Matrix source, Matrix destination) {}

    @Override
    public void gatherRows(Matrix x, int[] indices, Matrix destination) {}

    @Override
    public void rmsNorm(Matrix x, Matrix weight, float epsilon, Matrix destination) {}

    @Override
    public void rope(Matrix x, int headSize, Matrix cosines, Matrix sines) {}

    @Override
    public void attention(
            Matrix queries,
            Matrix keys,
            Matrix values,
            AttentionShape shape,
            Batch batch,
            KvCache cache,
            int layer,
            Matrix destination) {}

    @Override
    public void gatedActivation(Matrix gate, Matrix up, Matrix destination) {}

    @Override
    public void add(Matrix x, Matrix sum) {}

    @Override
    public void addGram(Matrix x, Matrix gram) {}

    @Override
    public void addTransposedProduct(Matrix a, Matrix b, Matrix sum) {}

    @Override
    public void subtractProduct(Matrix a, Matrix b, Matrix c) {}

    @Override
    public void invertToUpperFactor(Matrix a) {}

    @Override
    public void forRanges(int count, RangeTask task) {
        task.run(0, count);
    }

    @Override
    public void close() {}
}

package dev.halftone.gptq;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.quantize.InputStatistics;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.LittleEndian;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// The weight that a linear should have had, given that its inputs are `x` where the float model has `f`.
///
/// `W·f` is missed least by `W'·x` with `W' = W + W·D·(H + a)⁻¹`, where `D = mean((f - x)·xᵀ)` is the drift. Whatever
/// codes are chosen then, their error against `W·f` is their error against `W'·x` and a constant: so GPTQ need only be
/// given `W'`, where [GPTAQ](https://arxiv.org/abs/2504.02692) carries the drift through every step.
///
/// Where it is known what the linear should put out altogether, `y`, as behind it the hidden states should become
/// the float model's, `W' = W + (C - W·H)·(H + a)⁻¹` with `C = mean(y·xᵀ)`.
final class FloatTarget implements InputStatistics.Derived {
    /// Rows that are multiplied at a time.
    private static final int ROWS = 256;

    private final Matrix factor; // [inputs, inputs], D·(H + a)⁻¹, or with meant outputs (H + a)⁻¹
    private final Matrix moments; // [inputs, inputs], of the statistics; null without meant outputs
    private final Matrix outputMoments; // [outputs, inputs], of the statistics; null without meant outputs

    private FloatTarget(Matrix factor, Matrix moments, Matrix outputMoments) {
        this.factor = factor;
        this.moments = moments;
        this.outputMoments = outputMoments;
    }

    /// @param factor of the moments in `statistics`, which must have a drift or meant outputs and outlive the result
    static FloatTarget of(InputStatistics statistics, InverseFactor factor, Backend backend) {
        Matrix outputMoments = statistics.outputMoments();
        if (outputMoments != null) {
            return new FloatTarget(inverse(factor, backend), statistics.moments(), outputMoments);
        }
        Matrix drift = statistics.drift();
        if (drift == null) {
            throw new IllegalArgumentException("the statistics hold nothing of the float model");
        }
        try (Matrix inverse = inverse(factor, backend)) {
            return new FloatTarget(product(drift, inverse, backend), null, null);
        }
    }

    /// `a·b`, of which the backend knows only the subtraction.
    private static Matrix product(Matrix a, Matrix b, Backend backend) {
        Matrix product = backend.allocate(a.rows(), b.columns());
        try (Matrix part = backend.allocate(Math.min(ROWS, a.rows()), a.columns())) {
            float[] values = new float[part.rows() * a.columns()];
            for (int first = 0; first < a.rows(); first += ROWS) {
                int count = Math.min(ROWS, a.rows() - first);
                backend.copyOut(a.rows(first, count), values, 0);
                negate(values, count * a.columns());
                backend.copyIn(values, 0, part.rows(0, count));
                backend.subtractProduct(part.rows(0, count), b, product.rows(first, count));
            }
        }
        return product;
    }

    /// `(H + a)⁻¹ = Uᵀ·U`, with rows and columns in the order of the inputs.
    private static Matrix inverse(InverseFactor factor, Backend backend) {
        int[] order = factor.order();
        int inputs = order.length;
        int[] place = new int[inputs];
        for (int i = 0; i < inputs; i++) {
            place[order[i]] = i;
        }
        Matrix ordered = backend.allocate(inputs, inputs);
        try (Matrix permuted = backend.allocate(inputs, inputs)) {
            backend.addGram(factor.upper(), permuted);
            backend.gatherRows(permuted, place, ordered);
        }
        float[] row = new float[inputs];
        float[] sorted = new float[inputs];
        for (int i = 0; i < inputs; i++) {
            backend.copyOut(ordered.rows(i, 1), row, 0);
            for (int j = 0; j < inputs; j++) {
                sorted[j] = row[place[j]];
            }
            backend.copyIn(sorted, 0, ordered.rows(i, 1));
        }
        return ordered;
    }

    private static void negate(float[] values, int count) {
        for (int i = 0; i < count; i++) {
            values[i] = -values[i];
        }
    }

    /// `W'`, in memory of `arena`.
    Weight of(Weight weight, Arena arena, Backend backend) {
        int inputs = weight.inputs();
        int outputs = weight.outputs();
        Shape shape = Shape.of(outputs, inputs);
        MemorySegment data = arena.allocate(Math.multiplyExact(shape.elements(), DType.F32.bytes()), 64);
        int most = Math.min(ROWS, outputs);
        float[] values = new float[most * inputs];
        try (Matrix part = backend.allocate(most, inputs);
                Matrix sum = backend.allocate(most, inputs)) {
            for (int first = 0; first < outputs; first += ROWS) {
                int count = Math.min(ROWS, outputs - first);
                Matrix parts = part.rows(0, count);
                Matrix sums = sum.rows(0, count);
                for (int row = 0; row < count; row++) {
                    weight.restoreRow(first + row, values, row * inputs);
                }
                backend.copyIn(values, 0, sums);
                negatedFactor(values, sums, first, parts, backend);
                backend.subtractProduct(parts, factor, sums);
                backend.copyOut(sums, values, 0);
                long offset = (long) first * inputs * DType.F32.bytes();
                MemorySegment.copy(values, 0, data, LittleEndian.FLOAT, offset, count * inputs);
            }
        }
        return new DenseWeight(new Tensor("target", DType.F32, shape, data));
    }

    /// What has to be multiplied by [#factor] and taken off the rows from `first` on: `-W`, or `W·H - C`.
    ///
    /// @param values scratch, holding the rows of `W`
    private void negatedFactor(float[] values, Matrix weights, int first, Matrix destination, Backend backend) {
        int count = destination.rows() * destination.columns();
        if (outputMoments != null) {
            backend.copy(outputMoments.rows(first, destination.rows()), destination);
            backend.subtractProduct(weights, moments, destination);
            backend.copyOut(destination, values, 0);
        }
        negate(values, count);
        backend.copyIn(values, 0, destination);
    }

    @Override
    public void close() {
        factor.close();
    }
}

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
///
/// As `(H + a)⁻¹ = Uᵀ·U` in the factor's order, the inverse is never formed: rows are multiplied by `Uᵀ` and by `U`.
/// At the widest linears it would be the largest matrix of the whole conversion.
final class FloatTarget {
    /// Rows of the weight that are multiplied at a time.
    private static final int ROWS = 256;

    /// Rows of `U` that are multiplied at a time; what stands before their first column is zero and left out.
    private static final int STEPS = 256;

    private final InputStatistics statistics;
    private final InverseFactor factor;
    private final Backend backend;
    private final int inputs;

    private FloatTarget(InputStatistics statistics, InverseFactor factor, Backend backend) {
        this.statistics = statistics;
        this.factor = factor;
        this.backend = backend;
        inputs = factor.order().length;
    }

    /// `W'` of `weight`, in memory of `arena`.
    ///
    /// @param factor of the moments in `statistics`, which must have a drift or meant outputs
    static Weight of(Weight weight, InputStatistics statistics, InverseFactor factor, Arena arena, Backend backend) {
        if (statistics.outputMoments() == null && statistics.drift() == null) {
            throw new IllegalArgumentException("the statistics hold nothing of the float model");
        }
        return new FloatTarget(statistics, factor, backend).shifted(weight, arena);
    }

    private Weight shifted(Weight weight, Arena arena) {
        int outputs = weight.outputs();
        Shape shape = Shape.of(outputs, inputs);
        MemorySegment data = arena.allocate(Math.multiplyExact(shape.elements(), DType.F32.bytes()), 64);
        for (int first = 0; first < outputs; first += ROWS) {
            int count = Math.min(ROWS, outputs - first);
            float[] values = new float[count * inputs];
            for (int row = 0; row < count; row++) {
                weight.restoreRow(first + row, values, row * inputs);
            }
            addShift(values, first, count);
            long offset = (long) first * inputs * DType.F32.bytes();
            MemorySegment.copy(values, 0, data, LittleEndian.FLOAT, offset, values.length);
        }
        return new DenseWeight(new Tensor("target", DType.F32, shape, data));
    }

    /// Turns rows `[first, first + count)` of `W` into those of `W'`.
    private void addShift(float[] values, int first, int count) {
        float[] missing = missing(values, first, count);
        int[] order = factor.order();
        float[] turned = new float[values.length];
        backend.forRanges(inputs, (from, to) -> {
            for (int i = from; i < to; i++) {
                for (int row = 0; row < count; row++) {
                    turned[i * count + row] = missing[row * inputs + order[i]];
                }
            }
        });
        float[] shift = missing; // its place serves twice
        timesInverse(turned, count, shift);
        backend.forRanges(count, (from, to) -> {
            for (int row = from; row < to; row++) {
                for (int i = 0; i < inputs; i++) {
                    values[row * inputs + order[i]] += shift[row * inputs + i];
                }
            }
        });
    }

    /// What has to be multiplied by `(H + a)⁻¹`, with its sign turned: `-W·D`, or `W·H - C`.
    private float[] missing(float[] values, int first, int count) {
        Matrix meant = statistics.outputMoments();
        float[] missing = new float[values.length];
        try (Matrix weights = backend.allocate(count, inputs);
                Matrix product = backend.allocate(count, inputs)) {
            backend.copyIn(values, 0, weights);
            if (meant == null) {
                backend.subtractProduct(weights, statistics.drift(), product);
                backend.copyOut(product, missing, 0);
            } else {
                backend.copy(meant.rows(first, count), product);
                backend.subtractProduct(weights, statistics.moments(), product);
                backend.copyOut(product, missing, 0);
                for (int i = 0; i < missing.length; i++) {
                    missing[i] = -missing[i];
                }
            }
        }
        return missing;
    }

    /// `result = -turnedᵀ·Uᵀ·U`, with columns in the order of the factor.
    ///
    /// @param turned `[inputs, count]`
    /// @param result `[count, inputs]`
    private void timesInverse(float[] turned, int count, float[] result) {
        Matrix upper = factor.upper();
        try (Matrix columns = backend.allocate(inputs, count);
                Matrix sum = backend.allocate(count, inputs)) {
            backend.copyIn(turned, 0, columns);
            for (int step = 0; step < inputs; step += STEPS) {
                int steps = Math.min(STEPS, inputs - step);
                int rest = inputs - step;
                Matrix rows = upper.view(step, steps, step, rest);
                try (Matrix product = backend.allocate(steps, count)) {
                    backend.subtractProduct(rows, columns.rows(step, rest), product);
                    backend.addTransposedProduct(product, rows, sum.view(0, count, step, rest));
                }
            }
            backend.copyOut(sum, result, 0);
        }
    }
}

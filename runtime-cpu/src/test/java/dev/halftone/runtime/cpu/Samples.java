package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.Weight;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Random;

/// Random matrices and weights.
final class Samples {
    /// What float32 sums may differ by, of the largest element.
    static final double FLOAT32_ERROR = 1e-4;

    private Samples() {}

    static float[] floats(int count, long seed) {
        Random random = new Random(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    static Matrix matrix(Backend backend, int rows, int columns, long seed) {
        Matrix matrix = backend.allocate(rows, columns);
        backend.copyIn(floats(rows * columns, seed), 0, matrix);
        return matrix;
    }

    static float[] values(Backend backend, Matrix matrix) {
        float[] values = new float[matrix.rows() * matrix.columns()];
        backend.copyOut(matrix, values, 0);
        return values;
    }

    /// One weight of every form; `inputs` must be a multiple of 32.
    static List<Weight> weights(int outputs, int inputs) {
        return List.of(
                quantized(QuantizationScheme.gptq(4, 32, true), outputs, inputs),
                quantized(QuantizationScheme.gptq(4, 32, false), outputs, inputs),
                quantized(QuantizationScheme.gptq(8, QuantizationScheme.PER_CHANNEL, false), outputs, inputs),
                quantized(QuantizationScheme.gptq(8, QuantizationScheme.PER_CHANNEL, true), outputs, inputs)
                        .withActivations(ActivationScheme.PER_TOKEN),
                dense(DType.BF16, outputs, inputs),
                dense(DType.F32, outputs, inputs));
    }

    static QuantizedWeight quantized(QuantizationScheme scheme, int outputs, int inputs) {
        Random random = new Random(9);
        byte[] codes = new byte[outputs * inputs];
        for (int i = 0; i < codes.length; i++) {
            codes[i] = (byte) random.nextInt(scheme.maximum() + 1);
        }
        int cells = outputs * scheme.groups(inputs);
        float[] scales = new float[cells];
        int[] zeros = new int[cells];
        for (int i = 0; i < cells; i++) {
            scales[i] = scheme.scaleType().round(0.01f + random.nextFloat() / 16);
            zeros[i] = scheme.symmetric() ? scheme.maximum() + 1 >> 1 : 1 + random.nextInt(scheme.maximum());
        }
        return new QuantizedWeight(scheme, outputs, inputs, codes, scales, zeros, null);
    }

    static DenseWeight dense(DType type, int outputs, int inputs) {
        float[] values = floats(outputs * inputs, 10);
        return new DenseWeight(Tensor.rounded("w", type, Shape.of(outputs, inputs), values, Arena.global()));
    }

    /// For benchmarks, before they time anything: fails if a result is not what it should be.
    static void requireClose(float[] expected, float[] found) {
        requireClose(expected, found, FLOAT32_ERROR);
    }

    /// @param allowed of the largest element
    static void requireClose(float[] expected, float[] found, double allowed) {
        double largest = 0;
        for (float value : expected) {
            largest = Math.max(largest, Math.abs(value));
        }
        for (int i = 0; i < expected.length; i++) {
            if (!(Math.abs(expected[i] - found[i]) <= allowed * largest)) {
                throw new IllegalStateException("element " + i + ": expected " + expected[i] + ", found " + found[i]);
            }
        }
    }
}

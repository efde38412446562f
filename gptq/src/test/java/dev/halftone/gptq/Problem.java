package dev.halftone.gptq;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.quantize.InputStatistics;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.Weight;
import java.lang.foreign.Arena;
import java.util.SplittableRandom;

/// A random weight, and moments of inputs that share some directions, with loud and quiet columns.
record Problem(float[] weight, float[] moments, int inputs) {
    static Problem random(int outputs, int inputs, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        double[] loudness = new double[inputs];
        for (int i = 0; i < inputs; i++) {
            loudness[i] = Math.exp(0.6 * random.nextGaussian());
        }
        double[] moments = new double[inputs * inputs];
        int tokens = 2 * inputs;
        for (int token = 0; token < tokens; token++) {
            double common = random.nextGaussian();
            double[] x = new double[inputs];
            for (int i = 0; i < inputs; i++) {
                x[i] = loudness[i] * (random.nextGaussian() + common);
            }
            for (int i = 0; i < moments.length; i++) {
                moments[i] += x[i / inputs] * x[i % inputs] / tokens;
            }
        }
        float[] weight = new float[outputs * inputs];
        for (int i = 0; i < weight.length; i++) {
            weight[i] = (float) (0.05 * random.nextGaussian());
        }
        return new Problem(weight, floats(moments), inputs);
    }

    private static float[] floats(double[] values) {
        float[] floats = new float[values.length];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = (float) values[i];
        }
        return floats;
    }

    int outputs() {
        return weight.length / inputs;
    }

    Weight dense() {
        return new DenseWeight(Tensor.ofFloats("weight", Shape.of(outputs(), inputs), weight, Arena.global()));
    }

    InputStatistics statistics(Backend backend) {
        Matrix matrix = backend.allocate(inputs, inputs);
        backend.copyIn(moments, 0, matrix);
        return InputStatistics.ofMoments(matrix, 1, backend);
    }
}

package dev.halftone.awq;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.quantize.Fold;
import dev.halftone.core.quantize.InputStatistics;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.Weight;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/// Weights that read one site, and the tokens seen there.
///
/// @param weights `[outputs, width]` each
/// @param tokens  `[count, width]` row-major
record SiteProblem(List<float[]> weights, float[] tokens, int width) {
    /// Inputs that share a direction, every ninth channel many times louder than the others.
    static SiteProblem random(int width, long seed, int... outputs) {
        SplittableRandom random = new SplittableRandom(seed);
        double[] loudness = new double[width];
        for (int i = 0; i < width; i++) {
            loudness[i] = Math.exp(0.4 * random.nextGaussian()) * (i % 9 == 0 ? 12 : 1);
        }
        int count = 2 * width;
        float[] tokens = new float[count * width];
        for (int token = 0; token < count; token++) {
            double common = random.nextGaussian();
            for (int i = 0; i < width; i++) {
                tokens[token * width + i] = (float) (loudness[i] * (random.nextGaussian() + 0.5 * common));
            }
        }
        List<float[]> weights = new ArrayList<>();
        for (int rows : outputs) {
            float[] weight = new float[rows * width];
            for (int i = 0; i < weight.length; i++) {
                weight[i] = (float) (0.05 * random.nextGaussian());
            }
            weights.add(weight);
        }
        return new SiteProblem(weights, tokens, width);
    }

    /// A site every channel of which has a producer of its own.
    Fold fold() {
        return new Fold(InputSite.MLP_INPUT, IntStream.range(0, width).toArray(), width);
    }

    Weight weight(int index) {
        float[] values = weights.get(index);
        Shape shape = Shape.of(values.length / width, width);
        return new DenseWeight(Tensor.ofFloats("weight " + index, shape, values, Arena.ofAuto()));
    }

    List<Weight> dense() {
        return IntStream.range(0, weights.size()).mapToObj(this::weight).toList();
    }

    InputStatistics statistics(Backend backend) {
        int count = tokens.length / width;
        InputStatistics statistics = InputStatistics.withDetails(width, count, backend);
        try (Matrix x = backend.allocate(count, width)) {
            backend.copyIn(tokens, 0, x);
            statistics.add(x);
        }
        return statistics;
    }

    /// Mean over the tokens of the squared change of the outputs, token by token.
    double outputError(float[] original, float[] restored) {
        double sum = 0;
        for (int token = 0; token < tokens.length; token += width) {
            for (int row = 0; row < original.length; row += width) {
                double change = 0;
                for (int i = 0; i < width; i++) {
                    change += ((double) original[row + i] - restored[row + i]) * tokens[token + i];
                }
                sum += change * change;
            }
        }
        return sum / (tokens.length / width);
    }
}

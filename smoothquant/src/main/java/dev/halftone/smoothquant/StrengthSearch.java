package dev.halftone.smoothquant;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Linear;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.quantize.ChannelDetails;
import dev.halftone.core.quantize.Fold;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.LittleEndian;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// What dividing the inputs of one site would do to the outputs of the linears that read it, once weights *and* inputs
/// are rounded: both roundings are done, on a sample of tokens and outputs, with the very linears that inference would
/// run.
final class StrengthSearch implements AutoCloseable {
    /// Outputs of a linear that are looked at: its rows are rounded independently, so that some speak for all.
    private static final int ROWS = 1024;

    private final Fold fold;
    private final Arena arena = Arena.ofShared();
    private final List<Weight> weights = new ArrayList<>(); // of each linear, [rows, width]
    private final List<Double> shares = new ArrayList<>(); // of each linear, outputs for each row
    private final ChannelDetails details;
    private final QuantizationScheme scheme;
    private final ActivationScheme.Kind inputs;
    private final Backend backend;
    private final int tokens;
    private final Matrix divided; // [tokens, width]
    private final List<float[]> expected = new ArrayList<>(); // of each linear, [tokens, outputs]

    StrengthSearch(
            Fold fold,
            List<Weight> all,
            ChannelDetails details,
            QuantizationScheme scheme,
            ActivationScheme.Kind inputs,
            Backend backend) {
        this.fold = fold;
        this.details = details;
        this.scheme = scheme;
        this.inputs = inputs;
        this.backend = backend;
        tokens = details.sampled();
        divided = backend.allocate(tokens, fold.width());
        backend.copyIn(details.sample(), 0, divided);
        for (Weight weight : all) {
            Weight some = rows(weight);
            weights.add(some);
            shares.add((double) weight.outputs() / some.outputs());
            try (Linear linear = backend.bind(some, null)) {
                expected.add(outputs(linear));
            }
        }
    }

    private float[] outputs(Linear linear) {
        float[] values = new float[Math.multiplyExact(tokens, linear.outputs())];
        try (Matrix outputs = backend.allocate(tokens, linear.outputs())) {
            linear.multiply(divided, outputs);
            backend.copyOut(outputs, values, 0);
        }
        return values;
    }

    /// The squared error of all outputs.
    ///
    /// @param divisors `[fold.producers()]`, or null for none
    double error(float[] divisors) {
        float[] spread = divisors == null ? null : fold.spread(divisors);
        divide(spread);
        ActivationScheme activations = activations(spread);
        double error = 0;
        for (int i = 0; i < weights.size(); i++) {
            try (Arena own = Arena.ofShared();
                    Linear rounded = backend.bind(
                            RoundToNearest.round(multiplied(weights.get(i), spread, own), scheme, backend)
                                    .withActivations(activations),
                            null)) {
                float[] found = outputs(rounded);
                error += shares.get(i) * squaredDifference(found, expected.get(i));
            }
        }
        return error;
    }

    private void divide(float[] spread) {
        float[] sample = details.sample();
        if (spread != null) {
            sample = sample.clone();
            for (int token = 0; token < tokens; token++) {
                for (int i = 0; i < spread.length; i++) {
                    sample[token * spread.length + i] /= spread[i];
                }
            }
        }
        backend.copyIn(sample, 0, divided);
    }

    private ActivationScheme activations(float[] spread) {
        return switch (inputs) {
            case NONE -> ActivationScheme.NONE;
            case PER_TOKEN -> ActivationScheme.PER_TOKEN;
            case PER_TENSOR -> {
                float largest = 0;
                float[] maxima = details.maxima();
                for (int i = 0; i < maxima.length; i++) {
                    largest = Math.max(largest, spread == null ? maxima[i] : maxima[i] / spread[i]);
                }
                yield ActivationScheme.perTensor(ActivationScheme.scaleOfRange(largest));
            }
        };
    }

    private static double squaredDifference(float[] found, float[] wanted) {
        double sum = 0;
        for (int i = 0; i < found.length; i++) {
            double difference = (double) found[i] - wanted[i];
            sum += difference * difference;
        }
        return sum;
    }

    /// At most [#ROWS] rows of `weight`, evenly spread, as float32.
    private Weight rows(Weight weight) {
        int rows = Math.min(ROWS, weight.outputs());
        float[] ones = new float[weight.inputs()];
        Arrays.fill(ones, 1);
        return copy(weight, rows, ones, arena);
    }

    /// `weight` with its columns multiplied.
    private Weight multiplied(Weight weight, float[] factors, Arena into) {
        return factors == null ? weight : copy(weight, weight.outputs(), factors, into);
    }

    /// Some rows of `weight`, evenly spread, their columns multiplied, as float32.
    private Weight copy(Weight weight, int rows, float[] factors, Arena into) {
        int inputs = weight.inputs();
        Shape shape = Shape.of(rows, inputs);
        MemorySegment data = into.allocate(Math.multiplyExact(shape.elements(), DType.F32.bytes()), 64);
        backend.forRanges(rows, (from, to) -> {
            float[] row = new float[inputs];
            for (int i = from; i < to; i++) {
                weight.restoreRow((int) ((long) i * weight.outputs() / rows), row, 0);
                for (int column = 0; column < inputs; column++) {
                    row[column] *= factors[column];
                }
                long offset = (long) i * inputs * DType.F32.bytes();
                MemorySegment.copy(row, 0, data, LittleEndian.FLOAT, offset, inputs);
            }
        });
        return new DenseWeight(new Tensor("rows", DType.F32, shape, data));
    }

    @Override
    public void close() {
        divided.close();
        arena.close();
    }
}

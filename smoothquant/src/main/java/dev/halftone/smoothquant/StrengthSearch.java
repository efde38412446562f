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
import java.util.List;

/// What dividing the inputs of one site would do to the outputs of the linears that read it, once weights *and* inputs
/// are rounded: both roundings are done, on a sample of tokens, with the very linears that inference would run.
final class StrengthSearch implements AutoCloseable {
    private final Fold fold;
    private final List<Weight> weights;
    private final ChannelDetails details;
    private final QuantizationScheme scheme;
    private final ActivationScheme.Kind inputs;
    private final Backend backend;
    private final int tokens;
    private final Matrix divided; // [tokens, width]
    private final List<float[]> expected = new ArrayList<>(); // of each linear, [tokens, outputs]

    StrengthSearch(
            Fold fold,
            List<Weight> weights,
            ChannelDetails details,
            QuantizationScheme scheme,
            ActivationScheme.Kind inputs,
            Backend backend) {
        this.fold = fold;
        this.weights = weights;
        this.details = details;
        this.scheme = scheme;
        this.inputs = inputs;
        this.backend = backend;
        tokens = details.sampled();
        divided = backend.allocate(tokens, fold.width());
        backend.copyIn(details.sample(), 0, divided);
        for (Weight weight : weights) {
            try (Linear linear = backend.bind(weight, null)) {
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
            try (Arena arena = Arena.ofShared();
                    Linear rounded = backend.bind(
                            RoundToNearest.round(multiplied(weights.get(i), spread, arena), scheme, backend)
                                    .withActivations(activations),
                            null)) {
                float[] found = outputs(rounded);
                float[] wanted = expected.get(i);
                for (int k = 0; k < found.length; k++) {
                    double difference = (double) found[k] - wanted[k];
                    error += difference * difference;
                }
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

    /// A float32 copy of `weight` with its columns multiplied.
    private Weight multiplied(Weight weight, float[] factors, Arena arena) {
        if (factors == null) {
            return weight;
        }
        Shape shape = Shape.of(weight.outputs(), weight.inputs());
        MemorySegment data = arena.allocate(Math.multiplyExact(shape.elements(), DType.F32.bytes()), 64);
        backend.forRanges(weight.outputs(), (from, to) -> {
            float[] row = new float[factors.length];
            for (int output = from; output < to; output++) {
                weight.restoreRow(output, row, 0);
                for (int i = 0; i < row.length; i++) {
                    row[i] *= factors[i];
                }
                long offset = (long) output * row.length * DType.F32.bytes();
                MemorySegment.copy(row, 0, data, LittleEndian.FLOAT, offset, row.length);
            }
        });
        return new DenseWeight(new Tensor("multiplied", DType.F32, shape, data));
    }

    @Override
    public void close() {
        divided.close();
    }
}

package dev.halftone.core.layout;

import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import java.util.SplittableRandom;

/// Weights of random codes.
final class TestWeights {
    private TestWeights() {}

    static QuantizedWeight random(QuantizationScheme scheme, int outputs, int inputs) {
        return random(scheme, outputs, inputs, ActivationScheme.NONE);
    }

    static QuantizedWeight random(QuantizationScheme scheme, int outputs, int inputs, ActivationScheme activations) {
        SplittableRandom random = new SplittableRandom(scheme.hashCode() * 31L + outputs * 7L + inputs);
        byte[] codes = new byte[outputs * inputs];
        for (int i = 0; i < codes.length; i++) {
            codes[i] = (byte) random.nextInt(scheme.maximum() + 1);
        }
        int cells = outputs * scheme.groups(inputs);
        float[] scales = new float[cells];
        int[] zeros = new int[cells];
        for (int i = 0; i < cells; i++) {
            scales[i] = scheme.scaleType().round(random.nextFloat() + 0.01f);
            zeros[i] = scheme.symmetric()
                    ? scheme.maximum() + 1 >> 1
                    : random.nextInt(scheme.lowestZero(), scheme.maximum() + 1);
        }
        return new QuantizedWeight(scheme, outputs, inputs, codes, scales, zeros, null, activations);
    }

    /// Codes 0, 1, 2 ... along each row, one more in each next; scale of output `o` and group `g` is `1 + o + g / 2`.
    static QuantizedWeight ramp(QuantizationScheme scheme, int outputs, int inputs, int zero) {
        byte[] codes = new byte[outputs * inputs];
        int groups = scheme.groups(inputs);
        float[] scales = new float[outputs * groups];
        int[] zeros = new int[outputs * groups];
        for (int o = 0; o < outputs; o++) {
            for (int i = 0; i < inputs; i++) {
                codes[o * inputs + i] = (byte) (o + i & scheme.maximum());
            }
            for (int g = 0; g < groups; g++) {
                scales[o * groups + g] = 1 + o + 0.5f * g;
                zeros[o * groups + g] = zero;
            }
        }
        return new QuantizedWeight(scheme, outputs, inputs, codes, scales, zeros, null);
    }
}

package dev.halftone.core.convert;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.layout.PackedLayouts;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import java.util.Arrays;

/// Codes of one packed layout on their way into another. Codes never change; scales are rounded where the other layout
/// stores them in a narrower type.
final class Repacked {
    private static final String AWQ = "awq";

    private Repacked() {}

    /// What `scheme` becomes in `layout`.
    ///
    /// @param layout one of [PackedLayouts#NAMES]
    static QuantizationScheme scheme(String layout, QuantizationScheme scheme) {
        // A grid around the middle is one with a zero point, and AWQ has only those.
        boolean symmetric = scheme.symmetric() && !layout.equals(AWQ);
        return PackedLayouts.scheme(layout, scheme.bits(), scheme.groupSize(), symmetric, scheme.scaleType());
    }

    /// The weight in a scheme that [#scheme] made of its own. Shares the codes.
    ///
    /// @throws HalftoneException of kind USAGE if the layout has no place for one of its zero points or scales
    static QuantizedWeight of(String linear, QuantizedWeight weight, String layout, QuantizationScheme scheme) {
        int lowest = scheme.lowestZero();
        int highest = lowest + scheme.maximum();
        for (int zero : weight.zeros()) {
            if (zero < lowest || zero > highest) {
                throw new HalftoneException(
                        Kind.USAGE,
                        linear + " has a zero point of " + zero + ", which the " + layout + " format cannot hold",
                        "it holds " + lowest + " to " + highest + " at " + scheme.bits() + " bits",
                        lowest > 0 ? "--to gptq_v2, awq or compressed-tensors" : "--to gptq");
            }
        }
        return new QuantizedWeight(
                scheme,
                weight.outputs(),
                weight.inputs(),
                weight.codes(),
                scales(linear, weight.scales(), scheme.scaleType()),
                weight.zeros(),
                isInOrder(weight) ? null : weight.groupOfColumn(),
                weight.activations());
    }

    private static float[] scales(String linear, float[] scales, DType type) {
        float[] rounded = scales.clone();
        for (int i = 0; i < rounded.length; i++) {
            rounded[i] = type.round(scales[i]);
            if (!Float.isFinite(rounded[i])) {
                throw new HalftoneException(
                        Kind.USAGE,
                        linear + " has a scale of " + scales[i] + ", beyond what the format can hold",
                        "it stores scales as " + type,
                        "--to compressed-tensors, which keeps the type of the scales");
            }
        }
        return rounded;
    }

    /// Whether every column belongs to the group where it stands.
    static boolean isInOrder(QuantizedWeight weight) {
        int[] groups = weight.groupOfColumn();
        if (groups == null) {
            return true;
        }
        int[] natural = new int[groups.length];
        int length = weight.scheme().groupLength(weight.inputs());
        Arrays.setAll(natural, i -> i / length);
        return Arrays.equals(natural, groups);
    }

    /// The largest difference between numbers that two weights of the same size restore to.
    static double difference(QuantizedWeight first, QuantizedWeight second) {
        float[] a = new float[first.inputs()];
        float[] b = new float[first.inputs()];
        double largest = 0;
        for (int row = 0; row < first.outputs(); row++) {
            first.restoreRow(row, a, 0);
            second.restoreRow(row, b, 0);
            largest = Math.max(largest, GgufExport.difference(a, b));
        }
        return largest;
    }
}

package dev.halftone.core.weight;

import dev.halftone.core.tensor.DType;

/// How the weights of a linear are rounded: `restored = scale * (code - zero)` with one scale and zero per output and
/// group of `groupSize` consecutive inputs.
///
/// @param bits       of one code; codes are `0 .. 2^bits - 1`
/// @param groupSize  inputs that share a scale, or [#PER_CHANNEL] for all of them
/// @param symmetric  zero fixed at `2^(bits-1)`; otherwise chosen per group
/// @param scaleType  storage type of the scales (F32, F16 or BF16); scales are rounded to it *before* codes are chosen
/// @param lowestZero smallest zero point that the format can hold: 1 for GPTQ v1, which stores `zero - 1`
public record QuantizationScheme(int bits, int groupSize, boolean symmetric, DType scaleType, int lowestZero) {
    public static final int PER_CHANNEL = -1;

    public QuantizationScheme {
        if (bits < 2 || bits > 8) {
            throw new IllegalArgumentException("bits must be 2 to 8, found " + bits);
        }
        if (groupSize != PER_CHANNEL && groupSize < 1) {
            throw new IllegalArgumentException("group size must be positive or -1, found " + groupSize);
        }
        if (scaleType != DType.F32 && scaleType != DType.F16 && scaleType != DType.BF16) {
            throw new IllegalArgumentException("scales are stored as F32, F16 or BF16, not " + scaleType);
        }
        if (lowestZero < 0 || lowestZero > 1) {
            throw new IllegalArgumentException("lowest zero point is 0 or 1, found " + lowestZero);
        }
    }

    /// What a GPTQ v1 file can hold: float16 scales, zero points from 1 on.
    public static QuantizationScheme gptq(int bits, int groupSize, boolean symmetric) {
        return new QuantizationScheme(bits, groupSize, symmetric, DType.F16, 1);
    }

    /// What a GPTQ v2 file can hold: float16 scales, any zero point.
    public static QuantizationScheme gptqV2(int bits, int groupSize, boolean symmetric) {
        return new QuantizationScheme(bits, groupSize, symmetric, DType.F16, 0);
    }

    /// What an AWQ file can hold: float16 scales, any zero point.
    public static QuantizationScheme awq(int bits, int groupSize, boolean symmetric) {
        return new QuantizationScheme(bits, groupSize, symmetric, DType.F16, 0);
    }

    /// What a compressed-tensors file can hold: scales in the type of the model's own numbers, any zero point.
    ///
    /// @param scaleType F32, F16 or BF16
    public static QuantizationScheme compressedTensors(int bits, int groupSize, boolean symmetric, DType scaleType) {
        return new QuantizationScheme(bits, groupSize, symmetric, scaleType, 0);
    }

    /// Largest code.
    public int maximum() {
        return (1 << bits) - 1;
    }

    /// Groups of a weight with `inputs` columns.
    ///
    /// @throws IllegalArgumentException if the group size does not divide `inputs`
    public int groups(int inputs) {
        if (groupSize == PER_CHANNEL) {
            return 1;
        }
        if (inputs % groupSize != 0) {
            throw new IllegalArgumentException(inputs + " inputs are no multiple of group size " + groupSize);
        }
        return inputs / groupSize;
    }

    /// Columns that one group of a weight with `inputs` columns spans.
    public int groupLength(int inputs) {
        return inputs / groups(inputs);
    }

    @Override
    public String toString() {
        return bits + "-bit " + (groupSize == PER_CHANNEL ? "per channel" : "g" + groupSize)
                + (symmetric ? " symmetric" : " asymmetric");
    }
}

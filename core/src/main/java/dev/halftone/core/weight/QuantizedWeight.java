package dev.halftone.core.weight;

/// A weight as integer codes: the one form in which method, file format and backend meet. It exists for one linear at a
/// time, so its plain form costs little memory. Arrays are shared, not copied: whoever makes one hands them over.
///
/// @param codes         `[outputs, inputs]`, unsigned, one per byte
/// @param scales        `[outputs, groups]`
/// @param zeros         `[outputs, groups]`, code of the value 0
/// @param groupOfColumn `[inputs]`, or null when column `i` belongs to group `i / groupLength`
/// @param activations   how the checkpoint wants the inputs rounded; no part of what the weight restores to. Integers
///                      are multiplied before they are scaled, which takes one scale for each output and no zero points
public record QuantizedWeight(
        QuantizationScheme scheme,
        int outputs,
        int inputs,
        byte[] codes,
        float[] scales,
        int[] zeros,
        int[] groupOfColumn,
        ActivationScheme activations)
        implements CodedWeight {

    public QuantizedWeight {
        if (codes.length != Math.multiplyExact(outputs, inputs)) {
            throw new IllegalArgumentException("arrays do not fit a " + scheme + " weight [" + outputs + ", " + inputs
                    + "]: " + codes.length + " codes");
        }
        CodedWeight.require(scheme, outputs, inputs, scales, zeros, groupOfColumn, activations);
    }

    /// A weight whose inputs stay in floating point.
    public QuantizedWeight(
            QuantizationScheme scheme,
            int outputs,
            int inputs,
            byte[] codes,
            float[] scales,
            int[] zeros,
            int[] groupOfColumn) {
        this(scheme, outputs, inputs, codes, scales, zeros, groupOfColumn, ActivationScheme.NONE);
    }

    /// The same weight, sharing its arrays, for inputs rounded as `activations` says.
    public QuantizedWeight withActivations(ActivationScheme activations) {
        return new QuantizedWeight(scheme, outputs, inputs, codes, scales, zeros, groupOfColumn, activations);
    }

    @Override
    public StoredWeight stored() {
        StoredWeight.Codes rows =
                (first, count, destination) -> System.arraycopy(codes, first * inputs, destination, 0, count * inputs);
        return new StoredWeight(scheme, outputs, inputs, rows, scales, zeros, groupOfColumn, activations);
    }

    @Override
    public void restoreRow(int output, float[] destination, int offset) {
        int groups = groups();
        int length = scheme.groupLength(inputs);
        for (int i = 0; i < inputs; i++) {
            int cell = output * groups + (groupOfColumn == null ? i / length : groupOfColumn[i]);
            destination[offset + i] = scales[cell] * ((codes[output * inputs + i] & 0xFF) - zeros[cell]);
        }
    }
}

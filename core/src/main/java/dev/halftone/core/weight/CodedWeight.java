package dev.halftone.core.weight;

/// A weight as integer codes, each of which stands for `scale * (code - zero)` of its output and group.
public sealed interface CodedWeight extends Weight permits QuantizedWeight, StoredWeight {
    QuantizationScheme scheme();

    /// `[outputs, groups]`.
    float[] scales();

    /// `[outputs, groups]`, code of the value 0.
    int[] zeros();

    /// `[inputs]`, or null when column `i` belongs to group `i / groupLength`.
    int[] groupOfColumn();

    /// How the checkpoint wants the inputs rounded.
    ActivationScheme activations();

    /// The same weight, sharing its arrays, as what a backend packs from.
    StoredWeight stored();

    default int groups() {
        return scheme().groups(inputs());
    }

    /// Group of column `input`.
    default int group(int input) {
        int[] ofColumn = groupOfColumn();
        return ofColumn == null ? input / scheme().groupLength(inputs()) : ofColumn[input];
    }

    /// What every weight of codes keeps to.
    static void require(
            QuantizationScheme scheme,
            int outputs,
            int inputs,
            float[] scales,
            int[] zeros,
            int[] groupOfColumn,
            ActivationScheme activations) {
        int cells = Math.multiplyExact(outputs, scheme.groups(inputs));
        if (scales.length != cells
                || zeros.length != cells
                || groupOfColumn != null && groupOfColumn.length != inputs) {
            throw new IllegalArgumentException("arrays do not fit a " + scheme + " weight [" + outputs + ", " + inputs
                    + "]: " + scales.length + " scales, " + zeros.length + " zeros");
        }
        if (activations.kind() != ActivationScheme.Kind.NONE) {
            requireIntegers(scheme, zeros, groupOfColumn);
        }
    }

    private static void requireIntegers(QuantizationScheme scheme, int[] zeros, int[] groupOfColumn) {
        boolean fits = scheme.groupSize() == QuantizationScheme.PER_CHANNEL && scheme.symmetric();
        for (int zero : zeros) {
            fits &= zero == 1 << scheme.bits() - 1;
        }
        if (!fits || groupOfColumn != null) {
            throw new IllegalArgumentException(
                    "inputs of a " + scheme + " weight, or of one with zeros out of the middle, cannot be rounded");
        }
    }
}

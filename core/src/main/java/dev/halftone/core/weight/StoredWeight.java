package dev.halftone.core.weight;

import java.util.Arrays;
import java.util.Objects;

/// A weight whose codes are still where they are kept, mostly in a mapped file: what a backend packs from, a few
/// rows at a time, so that no linear is ever unpacked as a whole. Arrays are shared, not copied.
///
/// @param codes         valid as long as what they are kept in
/// @param scales        `[outputs, groups]`
/// @param zeros         `[outputs, groups]`, code of the value 0
/// @param groupOfColumn `[inputs]`, or null when column `i` belongs to group `i / groupLength`
/// @param activations   as in [QuantizedWeight]
public record StoredWeight(
        QuantizationScheme scheme,
        int outputs,
        int inputs,
        Codes codes,
        float[] scales,
        int[] zeros,
        int[] groupOfColumn,
        ActivationScheme activations)
        implements Weight {

    /// Codes by rows. May be read from many threads.
    @FunctionalInterface
    public interface Codes {
        /// Writes the codes of outputs `[first, first + count)` to `destination` `[count, inputs]`, unsigned, one
        /// per byte.
        void read(int first, int count, byte[] destination);
    }

    public StoredWeight {
        Objects.requireNonNull(codes);
        require(scheme, outputs, inputs, scales, zeros, groupOfColumn, activations);
    }

    /// What every weight of codes keeps to, wherever they are.
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

    /// Outputs `[first, first + count)` read into memory of their own.
    public QuantizedWeight rows(int first, int count) {
        byte[] read = new byte[Math.multiplyExact(count, inputs)];
        codes.read(first, count, read);
        int from = first * groups();
        int to = from + count * groups();
        return new QuantizedWeight(
                scheme,
                count,
                inputs,
                read,
                Arrays.copyOfRange(scales, from, to),
                Arrays.copyOfRange(zeros, from, to),
                groupOfColumn,
                activations);
    }

    /// All of it read into memory of its own.
    public QuantizedWeight unpacked() {
        return rows(0, outputs);
    }

    public int groups() {
        return scheme.groups(inputs);
    }

    /// Group of column `input`.
    public int group(int input) {
        return groupOfColumn == null ? input / scheme.groupLength(inputs) : groupOfColumn[input];
    }

    @Override
    public void restoreRow(int output, float[] destination, int offset) {
        rows(output, 1).restoreRow(0, destination, offset);
    }
}

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
        implements CodedWeight {

    /// Codes by rows. May be read from many threads.
    @FunctionalInterface
    public interface Codes {
        /// Writes the codes of outputs `[first, first + count)` to `destination` `[count, inputs]`, unsigned, one
        /// per byte.
        void read(int first, int count, byte[] destination);
    }

    public StoredWeight {
        Objects.requireNonNull(codes);
        CodedWeight.require(scheme, outputs, inputs, scales, zeros, groupOfColumn, activations);
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

    @Override
    public StoredWeight stored() {
        return this;
    }

    @Override
    public void restoreRow(int output, float[] destination, int offset) {
        rows(output, 1).restoreRow(0, destination, offset);
    }
}

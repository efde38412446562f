package dev.halftone.runtime.cpu;

import java.util.Arrays;

/// A weight in the order its kernels read it: strips of [Kernels#lanes] outputs, and in each strip, for every `fields`
/// inputs, one word of every output. Each group of inputs is padded to whole words; the padding meets zeros in `x`.
/// Outputs beyond the last are padding too.
///
/// Codes restore as `(f - centre) * factor` where `f = 1 + code / span`, `centre = 1 + zero / span` and
/// `factor = scale * span`: each step but the last is exact, and the last rounds like `scale * (code - zero)`.
final class PackedWeight implements AutoCloseable {
    /// Strips that kernels read side by side.
    static final int SIDE_BY_SIDE = 4;

    final WeightForm form;
    final int outputs;
    final int inputs;
    final int lanes;
    final int strips;
    final int groups;
    final int groupLength; // padded inputs of one group, a multiple of form.fields
    final int[] columns; // [paddedInputs]: input at each place, -1 for padding; null when places are inputs

    private final Memory words; // [strips][wordsPerStrip][lanes]
    private final Memory factors; // [strips][groups][lanes], codes only
    private final Memory centres; // like factors, or one vector for all of them
    private final Memory bias; // [strips][lanes]
    private final boolean oneCentre;

    PackedWeight(
            WeightForm form,
            int outputs,
            int inputs,
            int lanes,
            int groups,
            int groupLength,
            int[] columns,
            boolean oneCentre) {
        this.form = form;
        this.outputs = outputs;
        this.inputs = inputs;
        this.lanes = lanes;
        this.strips = Math.ceilDiv(outputs, lanes);
        this.groups = groups;
        this.groupLength = groupLength;
        this.columns = columns;
        this.oneCentre = oneCentre;
        words = Memory.ofBytes(strips * stripBytes());
        long cells = form.isCodes() ? (long) strips * groups * lanes : 0;
        factors = Memory.ofFloats(cells);
        centres = Memory.ofFloats(oneCentre ? lanes : cells);
        bias = Memory.ofFloats((long) strips * lanes);
    }

    int paddedInputs() {
        return groups * groupLength;
    }

    int wordsPerGroup() {
        return groupLength / form.fields;
    }

    int wordsPerStrip() {
        return groups * wordsPerGroup();
    }

    /// Whether the same prepared input serves both.
    boolean sharesPreparation(PackedWeight other) {
        return inputs == other.inputs
                && groups == other.groups
                && groupLength == other.groupLength
                && Arrays.equals(columns, other.columns);
    }

    /// Bytes of one vector of words or floats.
    int vectorBytes() {
        return lanes * Float.BYTES;
    }

    long stripBytes() {
        return (long) wordsPerStrip() * vectorBytes();
    }

    long words(int strip) {
        return words.address() + strip * stripBytes();
    }

    long factors(int strip) {
        return factors.address() + (long) strip * groups * vectorBytes();
    }

    long centres(int strip) {
        return centres.address() + (oneCentre ? 0 : (long) strip * groups * vectorBytes());
    }

    /// From the centre of one group to the next.
    int centreStep() {
        return oneCentre ? 0 : vectorBytes();
    }

    /// The zero of a symmetric weight.
    int middle() {
        return (int) ((Memory.getFloat(centres.address()) - 1) * form.span());
    }

    long bias(int strip) {
        return bias.address() + (long) strip * vectorBytes();
    }

    long bytes() {
        return words.bytes() + factors.bytes() + centres.bytes() + bias.bytes();
    }

    boolean isOpen() {
        return words.isOpen();
    }

    @Override
    public void close() {
        words.close();
        factors.close();
        centres.close();
        bias.close();
    }
}

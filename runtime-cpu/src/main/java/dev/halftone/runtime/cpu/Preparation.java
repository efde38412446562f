package dev.halftone.runtime.cpu;

/// Brings activations into the order of columns of a [PackedWeight].
final class Preparation {
    private Preparation() {}

    /// Copies one row, permuted and padded with zeros as the weight asks.
    static void arrange(PackedWeight weight, long row, long destination) {
        int[] columns = weight.columns;
        if (columns == null) {
            Memory.copyFloats(row, destination, weight.inputs);
            return;
        }
        for (int i = 0; i < columns.length; i++) {
            int column = columns[i];
            float value = column < 0 ? 0f : Memory.getFloat(row + (long) column * Float.BYTES);
            Memory.putFloat(destination + (long) i * Float.BYTES, value);
        }
    }

    /// The sum of every group of a prepared row, in double precision: it is multiplied by the zero point and subtracted
    /// from a sum of like size.
    static void sum(long prepared, int groups, int length, long sums) {
        long at = prepared;
        for (int group = 0; group < groups; group++) {
            double even = 0;
            double odd = 0;
            // Four at a time: every group is a multiple of four long.
            for (int i = 0; i < length; i += 4) {
                even += (double) Memory.getFloat(at) + Memory.getFloat(at + 4);
                odd += (double) Memory.getFloat(at + 8) + Memory.getFloat(at + 12);
                at += 4 * Float.BYTES;
            }
            Memory.putFloat(sums + (long) group * Float.BYTES, (float) (even + odd));
        }
    }
}

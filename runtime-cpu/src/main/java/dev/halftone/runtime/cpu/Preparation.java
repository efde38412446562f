package dev.halftone.runtime.cpu;

/// Brings activations into the order of columns of a [PackedWeight].
final class Preparation {
    private Preparation() {}

    /// Copies one row, permuted and padded with zeros as the weight asks, to every `step`-th place from `first` on.
    static void arrange(PackedWeight weight, float[] row, float[] destination, int first, int step) {
        int[] columns = weight.columns;
        if (columns != null) {
            for (int i = 0; i < columns.length; i++) {
                destination[first + i * step] = columns[i] < 0 ? 0f : row[columns[i]];
            }
        } else if (step == 1) {
            System.arraycopy(row, 0, destination, first, weight.inputs);
        } else {
            for (int i = 0; i < weight.inputs; i++) {
                destination[first + i * step] = row[i];
            }
        }
    }

    /// The sum of every group of a prepared row, in double precision: it is multiplied by the zero point and subtracted
    /// from a sum of like size.
    ///
    /// @param first of the row in `prepared`
    /// @param place of the first sum in `sums`
    static void sum(float[] prepared, int first, int groups, int length, float[] sums, int place) {
        for (int group = 0; group < groups; group++) {
            double even = 0;
            double odd = 0;
            int start = first + group * length;
            // Four at a time: every group is a multiple of four long.
            for (int i = start; i < start + length; i += 4) {
                even += (double) prepared[i] + prepared[i + 1];
                odd += (double) prepared[i + 2] + prepared[i + 3];
            }
            sums[place + group] = (float) (even + odd);
        }
    }
}

package dev.halftone.awq;

import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import java.util.List;

/// Rows of the weights that read one site, evenly spread; they speak for the others. Rows are independent problems,
/// and the search decides on a few numbers for all of them.
///
/// @param values     `[count, width]` row-major
/// @param importance `[count]`: how many rows of its weight each one stands for
/// @param width      columns
record WeightRows(float[] values, float[] importance, int width) {
    /// Most rows that are taken of one weight.
    private static final int ROWS = 256;

    static WeightRows of(List<Weight> weights) {
        int width = weights.getFirst().inputs();
        int count = 0;
        for (Weight weight : weights) {
            count += Math.min(ROWS, weight.outputs());
        }
        float[] values = new float[Math.multiplyExact(count, width)];
        float[] importance = new float[count];
        int filled = 0;
        for (Weight weight : weights) {
            int rows = Math.min(ROWS, weight.outputs());
            for (int i = 0; i < rows; i++, filled++) {
                weight.restoreRow((int) ((long) i * weight.outputs() / rows), values, filled * width);
                importance[filled] = (float) weight.outputs() / rows;
            }
        }
        return new WeightRows(values, importance, width);
    }

    int count() {
        return importance.length;
    }

    /// `[width]`: mean over the rows of `|w| / m`, `m` being the largest magnitude in the group of `w`; nothing for
    /// a group of zeros.
    float[] shares(QuantizationScheme scheme) {
        int length = scheme.groupLength(width);
        double[] sums = new double[width];
        double total = 0;
        for (int row = 0; row < count(); row++) {
            total += importance[row];
            for (int group = 0; group < width; group += length) {
                int from = row * width + group;
                float largest = 0;
                for (int i = 0; i < length; i++) {
                    largest = Math.max(largest, Math.abs(values[from + i]));
                }
                for (int i = 0; largest > 0 && i < length; i++) {
                    sums[group + i] += (double) importance[row] * Math.abs(values[from + i]) / largest;
                }
            }
        }
        float[] shares = new float[width];
        for (int i = 0; i < width; i++) {
            shares[i] = (float) (sums[i] / total);
        }
        return shares;
    }
}

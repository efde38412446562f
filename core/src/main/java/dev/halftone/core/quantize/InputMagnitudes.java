package dev.halftone.core.quantize;

import dev.halftone.core.weight.ActivationScheme;

/// How often each magnitude occurred among the inputs of a site, to a precision of eleven bits at every size: finer
/// than
/// any 8-bit rounding of them, so that what another scale would do can be told from the counts.
final class InputMagnitudes {
    /// Bits of a float that do not count.
    private static final int DROPPED = 11;

    /// Share of the way that a moving average goes to each new number.
    private static final float MOVE = 0.01f;

    private final long[] counts = new long[1 << Float.SIZE - 1 - DROPPED]; // by the upper bits of the magnitude
    private long total;
    private float largest;
    private float largestOfWindow;
    private float movingAverage = Float.NaN;

    /// Counts `values[0 .. count)`, all of one window.
    void add(float[] values, int count) {
        for (int i = 0; i < count; i++) {
            float magnitude = Math.abs(values[i]);
            // NaN, too, has upper bits, and stays the largest.
            counts[Float.floatToRawIntBits(magnitude) >>> DROPPED]++;
            largestOfWindow = Math.max(largestOfWindow, magnitude);
        }
        total += count;
    }

    /// Ends a window.
    void endWindow() {
        largest = Math.max(largest, largestOfWindow);
        movingAverage =
                Float.isNaN(movingAverage) ? largestOfWindow : movingAverage + MOVE * (largestOfWindow - movingAverage);
        largestOfWindow = 0;
    }

    /// Of any window; NaN or infinite if a number was.
    float largest() {
        return largest;
    }

    /// Of the largest magnitudes of the windows, in their order.
    float movingAverage() {
        return movingAverage;
    }

    private static float middle(int bin) {
        return Float.intBitsToFloat(bin << DROPPED | 1 << DROPPED - 1);
    }

    /// The magnitude that a share of `share` does not exceed.
    float quantile(double share) {
        long wanted = (long) Math.ceil(share * total);
        long seen = 0;
        for (int bin = 0; bin < counts.length; bin++) {
            seen += counts[bin];
            if (seen >= wanted) {
                return Math.min(largest, Float.intBitsToFloat(bin + 1 << DROPPED));
            }
        }
        return largest;
    }

    /// Counts in `bins` equal parts of `[0, largest]`.
    long[] histogram(int bins) {
        long[] histogram = new long[bins];
        for (int bin = 0; bin < counts.length; bin++) {
            if (counts[bin] > 0) {
                histogram[(int) Math.min(bins - 1, (double) middle(bin) / largest * bins)] += counts[bin];
            }
        }
        return histogram;
    }

    /// What rounding to codes for `[-range, range]` would lose, summed over all inputs.
    double squaredError(float range) {
        double scale = ActivationScheme.scaleOfRange(range);
        double error = 0;
        for (int bin = 0; bin < counts.length; bin++) {
            if (counts[bin] > 0) {
                double magnitude = middle(bin);
                // Codes reach to -128 on one side and 127 on the other; half of the inputs are on each.
                double code = Math.rint(magnitude / scale);
                double above = magnitude - scale * Math.min(code, 127);
                double below = magnitude - scale * Math.min(code, 128);
                error += counts[bin] * (above * above + below * below) / 2;
            }
        }
        return error;
    }
}

package dev.halftone.core.quantize;

import java.util.Arrays;

/// The range under which rounded magnitudes are distributed most like the originals
/// ([8-bit inference with
/// TensorRT](https://on-demand.gputechconf.com/gtc/2017/presentation/s7310-8-bit-inference-with-tensorrt.pdf),
/// "Entropy Calibration"): for each candidate, magnitudes beyond it are counted at its edge, the rest is merged into as
/// many levels as there are codes and spread again over the bins that were not empty, and the divergence
/// `Σ p·ln(p / q)` of the two compared.
final class EntropyRange {
    static final int BINS = 2048;

    /// Codes from 0 on.
    private static final int LEVELS = 128;

    private EntropyRange() {}

    /// @param histogram `[BINS]`, counts in equal parts of `[0, largest]`
    static float of(long[] histogram, float largest) {
        double beyond = Arrays.stream(histogram, LEVELS, BINS).sum();
        double within = Arrays.stream(histogram, 0, LEVELS).sum();
        int best = BINS;
        double least = Double.POSITIVE_INFINITY;
        for (int bins = LEVELS; bins <= BINS; bins++) {
            double divergence = divergence(histogram, bins, within, beyond);
            if (divergence < least) {
                least = divergence;
                best = bins;
            }
            if (bins < BINS) {
                within += histogram[bins];
                beyond -= histogram[bins];
            }
        }
        return largest * best / BINS;
    }

    /// @param within sum of the first `bins` counts
    /// @param beyond sum of the others
    private static double divergence(long[] histogram, int bins, double within, double beyond) {
        double all = within + beyond;
        double divergence = 0;
        for (int level = 0; level < LEVELS; level++) {
            int from = (int) ((long) level * bins / LEVELS);
            int to = (int) ((level + 1L) * bins / LEVELS);
            double sum = 0;
            int filled = 0;
            for (int bin = from; bin < to; bin++) {
                sum += histogram[bin];
                filled += histogram[bin] > 0 ? 1 : 0;
            }
            for (int bin = from; bin < to; bin++) {
                // What is cut off lands in the last bin, whether or not that held anything.
                double p = (histogram[bin] + (bin == bins - 1 ? beyond : 0)) / all;
                if (p > 0) {
                    double q = histogram[bin] > 0 ? sum / filled / within : Double.MIN_NORMAL;
                    divergence += p * Math.log(p / q);
                }
            }
        }
        return divergence;
    }
}

package dev.halftone.core.quantize;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;

/// Magnitudes of the channels of an input, and some of its tokens whole. For the transforms, which weigh channels
/// against each other; what a linear *puts out* follows from the moments alone.
public final class ChannelDetails {
    /// Tokens kept whole: enough to compare roundings of activations on, few enough to be small beside the moments.
    private static final int SAMPLE = 512;
    /// Rows that are copied to the host at a time.
    private static final int ROWS = 256;

    private final int width;
    private final long expectedTokens;
    private final double[] sums; // [width], of |x|
    private final float[] maxima; // [width], of |x|
    private final float[] sample; // [SAMPLE, width], the first `sampled` rows
    private int sampled;
    private long tokens;

    ChannelDetails(int width, long expectedTokens) {
        this.width = width;
        this.expectedTokens = expectedTokens;
        sums = new double[width];
        maxima = new float[width];
        sample = new float[Math.multiplyExact((int) Math.min(SAMPLE, expectedTokens), width)];
    }

    void add(Matrix x, Backend backend) {
        float[] rows = new float[Math.min(ROWS, x.rows()) * width];
        for (int first = 0; first < x.rows(); first += ROWS) {
            int count = Math.min(ROWS, x.rows() - first);
            backend.copyOut(x.rows(first, count), rows, 0);
            for (int row = 0; row < count; row++) {
                addRow(rows, row * width);
            }
        }
    }

    private void addRow(float[] rows, int offset) {
        for (int i = 0; i < width; i++) {
            float magnitude = Math.abs(rows[offset + i]);
            sums[i] += magnitude;
            maxima[i] = Math.max(maxima[i], magnitude);
        }
        // Token t is kept if it is the first of its share, so that the sample is spread over all tokens.
        int kept = sample.length / width;
        if (sampled < kept && tokens * kept / expectedTokens >= sampled) {
            System.arraycopy(rows, offset, sample, sampled * width, width);
            sampled++;
        }
        tokens++;
    }

    void divide(float[] divisors) {
        for (int i = 0; i < width; i++) {
            sums[i] /= divisors[i];
            maxima[i] /= divisors[i];
        }
        for (int row = 0; row < sampled; row++) {
            for (int i = 0; i < width; i++) {
                sample[row * width + i] /= divisors[i];
            }
        }
    }

    /// `[width]`: mean of `|x|` over all tokens.
    public float[] meanMagnitudes() {
        float[] means = new float[width];
        for (int i = 0; i < width; i++) {
            means[i] = (float) (sums[i] / tokens);
        }
        return means;
    }

    /// `[width]`: largest `|x|` of any token.
    public float[] maxima() {
        return maxima.clone();
    }

    /// Tokens that [#sample] holds.
    public int sampled() {
        return sampled;
    }

    /// `[sampled(), width]` at the front: tokens spread evenly over all that were seen. Not to be written.
    public float[] sample() {
        return sample;
    }
}

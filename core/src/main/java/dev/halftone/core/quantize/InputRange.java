package dev.halftone.core.quantize;

/// The largest magnitude that the codes of an input shall stand for, chosen from the magnitudes that calibration saw.
/// Whatever is larger is cut off; the smaller the range, the finer the rest is rounded.
public enum InputRange {
    /// Nothing is cut off.
    MIN_MAX {
        @Override
        float of(InputMagnitudes seen) {
            return seen.largest();
        }
    },
    /// The largest magnitude of a window, averaged over the windows: each new one moves the average by a hundredth of
    /// the way.
    MOVING_AVERAGE {
        @Override
        float of(InputMagnitudes seen) {
            return seen.movingAverage();
        }
    },
    /// All but the largest ten-thousandth.
    PERCENTILE {
        @Override
        float of(InputMagnitudes seen) {
            return seen.quantile(QUANTILE);
        }
    },
    /// What changes the distribution of magnitudes least, as Kullback and Leibler's divergence measures it.
    ENTROPY {
        @Override
        float of(InputMagnitudes seen) {
            return EntropyRange.of(seen.histogram(EntropyRange.BINS), seen.largest());
        }
    },
    /// What leaves the least squared error of the inputs.
    SQUARED_ERROR {
        @Override
        float of(InputMagnitudes seen) {
            float best = seen.largest();
            double least = Double.POSITIVE_INFINITY;
            for (int step = CANDIDATES; step > 0; step--) {
                float candidate = seen.largest() * step / CANDIDATES;
                double error = seen.squaredError(candidate);
                if (error < least) {
                    least = error;
                    best = candidate;
                }
            }
            return best;
        }
    };

    private static final double QUANTILE = 0.9999;

    /// Ranges that are tried, equal steps down to nothing.
    private static final int CANDIDATES = 100;

    abstract float of(InputMagnitudes seen);
}

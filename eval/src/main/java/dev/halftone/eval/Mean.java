package dev.halftone.eval;

/// Running mean and spread of a sample (Welford's recurrence), in double precision.
final class Mean {
    private long count;
    private double mean;
    private double squares;

    void add(double value) {
        count++;
        double delta = value - mean;
        mean += delta / count;
        squares += delta * (value - mean);
    }

    long count() {
        return count;
    }

    double mean() {
        return mean;
    }

    /// Standard deviation of the values, `n - 1` under the root; 0 for fewer than two.
    double deviation() {
        return count < 2 ? 0 : Math.sqrt(squares / (count - 1));
    }

    /// Standard error of the mean if the values are independent; NaN for fewer than two.
    double standardError() {
        return count < 2 ? Double.NaN : Math.sqrt(squares / (count - 1) / count);
    }
}

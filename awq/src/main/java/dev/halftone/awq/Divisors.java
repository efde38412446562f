package dev.halftone.awq;

import java.util.Arrays;

/// The divisors that the search tries, from how loud each channel of the inputs is and how large its weights are.
final class Divisors {
    /// Exponents, `0 / STEPS` to `(STEPS - 1) / STEPS`.
    static final int STEPS = 20;

    /// Exponents that are tried in vain before the larger ones are given up: the cost falls to one valley and rises
    /// behind it, unevenly.
    static final int PATIENCE = 5;

    /// Furthest that a divisor may be from the middle one, either way. Beyond it nothing is gained, and a silent
    /// channel must not drag the stored scales out of what float16 holds well.
    private static final double REACH = 256;

    private Divisors() {}

    /// `x^r` for activity `x` and exponent `r = step / STEPS`, or with weights `x^r / (w^(1-r) + 1e-4)`; scaled so
    /// that the largest and the smallest are each other's inverse.
    ///
    /// @param activity `[n]`, not negative
    /// @param shares   `[n]`: mean magnitude of the weights of each channel, as a share of the largest of their
    ///                 group; null to leave the weights out
    /// @return `[n]`, positive and finite; null if no channel gives a number
    static float[] candidate(float[] activity, float[] shares, int step) {
        double ratio = (double) step / STEPS;
        double[] divisors = new double[activity.length];
        for (int i = 0; i < divisors.length; i++) {
            double divisor = Math.pow(activity[i], ratio);
            divisors[i] = shares == null ? divisor : divisor / (Math.pow(shares[i], 1 - ratio) + 1e-4);
        }
        return balanced(divisors);
    }

    private static float[] balanced(double[] divisors) {
        double[] sorted = Arrays.stream(divisors)
                .filter(divisor -> divisor > 0 && divisor < Double.POSITIVE_INFINITY)
                .sorted()
                .toArray();
        if (sorted.length == 0) {
            return null;
        }
        double middle = sorted[sorted.length / 2];
        double least = Double.POSITIVE_INFINITY;
        double most = 0;
        for (int i = 0; i < divisors.length; i++) {
            double divisor = Double.isNaN(divisors[i]) ? middle : divisors[i];
            divisors[i] = Math.clamp(divisor, middle / REACH, middle * REACH);
            least = Math.min(least, divisors[i]);
            most = Math.max(most, divisors[i]);
        }
        double centre = Math.sqrt(least) * Math.sqrt(most);
        float[] balanced = new float[divisors.length];
        for (int i = 0; i < balanced.length; i++) {
            balanced[i] = (float) (divisors[i] / centre);
        }
        return balanced;
    }
}

package dev.halftone.core.convert;

import dev.halftone.core.model.RotaryScaling;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;

/// The divisors of the rotary frequencies that a GGUF file holds in `rope_freqs.weight`, one for each pair of a
/// head, where a configuration names the rule of Llama 3.1 by four numbers.
final class RotaryFactors {
    /// Both sides compute in float32 or better; a wrong rule is off by far more.
    private static final double TOLERANCE = 1e-4;

    private RotaryFactors() {}

    /// How much slower each pair turns than without scaling, `[headSize / 2]`.
    static float[] of(RotaryScaling scaling, double theta, int headSize) {
        double[] plain = new double[headSize / 2];
        double[] scaled = new double[headSize / 2];
        new RotaryScaling.None().frequencies(theta, headSize, 0, plain);
        scaling.frequencies(theta, headSize, 0, scaled);
        float[] factors = new float[plain.length];
        for (int i = 0; i < factors.length; i++) {
            factors[i] = (float) (plain[i] / scaled[i]);
        }
        return factors;
    }

    /// The rule that gives these factors, if there is one: factors say nothing of the common size of the two
    /// bounds and the original length, so the lower bound is taken as 1, as all models of this kind have it. Where
    /// too few pairs lie between the bounds to tell the rest, the upper bound is taken as 4, and the length as a
    /// power of two.
    static Optional<RotaryScaling.Llama3> rule(float[] factors, double theta, int headSize) {
        double factor = 1;
        for (float each : factors) {
            factor = Math.max(factor, each);
        }
        List<RotaryScaling.Llama3> candidates = new ArrayList<>();
        for (int original = 1 << 4; original <= 1 << 20; original *= 2) {
            candidates.add(new RotaryScaling.Llama3(shortest(factor), 1, 4, original));
        }
        fitted(factors, factor, theta, headSize).ifPresent(candidates::add);
        return candidates.stream()
                .filter(candidate -> deviation(of(candidate, theta, headSize), factors) <= TOLERANCE)
                .min(Comparator.comparingDouble(candidate -> deviation(of(candidate, theta, headSize), factors)));
    }

    private static double shortest(double factor) {
        return Double.parseDouble(Float.toString((float) factor));
    }

    /// Between the bounds the blend `(1 / f - 1 / factor) / (1 - 1 / factor)` is a straight line over the
    /// frequency: `(original * turns - low) / (high - low)`. Two of its points give it all, for `low` = 1.
    private static Optional<RotaryScaling.Llama3> fitted(float[] factors, double factor, double theta, int headSize) {
        double[] plain = new double[headSize / 2];
        new RotaryScaling.None().frequencies(theta, headSize, 0, plain);
        int first = -1;
        int last = -1;
        for (int i = 0; i < factors.length; i++) {
            if (factors[i] > 1 + TOLERANCE && factors[i] < factor - TOLERANCE) {
                first = first < 0 ? i : first;
                last = i;
            }
        }
        if (first == last) {
            return Optional.empty();
        }
        double slope = (blend(factors[first], factor) - blend(factors[last], factor))
                / (plain[first] - plain[last])
                * 2
                * Math.PI;
        double intercept = blend(factors[first], factor) - slope * plain[first] / (2 * Math.PI);
        double high = 1 - 1 / intercept;
        long original = Math.round(slope * (high - 1));
        double rounded = Math.rint(high * 1000) / 1000;
        if (!(rounded > 1) || original < 1 || original > Integer.MAX_VALUE) {
            return Optional.empty();
        }
        return Optional.of(new RotaryScaling.Llama3(shortest(factor), 1, rounded, (int) original));
    }

    private static double blend(double each, double factor) {
        return (1 / each - 1 / factor) / (1 - 1 / factor);
    }

    /// The largest relative difference; infinite if a factor is no number above 0.
    private static double deviation(float[] computed, float[] found) {
        double largest = 0;
        for (int i = 0; i < found.length; i++) {
            double difference = Math.abs((double) computed[i] - found[i]) / found[i];
            largest = found[i] > 0 && Double.isFinite(difference)
                    ? Math.max(largest, difference)
                    : Double.POSITIVE_INFINITY;
        }
        return largest;
    }
}

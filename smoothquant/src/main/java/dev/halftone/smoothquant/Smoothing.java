package dev.halftone.smoothquant;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.quantize.BlockTransform;
import dev.halftone.core.quantize.ChannelDetails;
import dev.halftone.core.quantize.Fold;
import dev.halftone.core.quantize.InputStatistics;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import java.util.List;
import java.util.Locale;
import java.util.SortedMap;
import java.util.TreeMap;

/// Moves the outliers of a site's inputs into the weights that read them, so that both can be rounded
/// ([SmoothQuant](https://arxiv.org/abs/2211.10438), equation 4): channel `j` is divided by
///
/// ```
/// s_j = max|x_j|^α / max|w_j|^(1-α)
/// ```
///
/// with the maxima over all tokens and over all outputs that read the channel; where several channels come from one
/// channel of the producer, over all of them. The paper folds into norms alone and takes one α; here v and up take
/// their
/// share too, and each site may look for its own α, see [StrengthSearch].
public final class Smoothing implements BlockTransform {
    /// Keeps channels that were never seen, or are never read, from dividing by nothing.
    private static final double SMALLEST = 1e-5;

    private final SmoothingOptions options;

    public Smoothing(SmoothingOptions options) {
        this.options = options;
    }

    @Override
    public String name() {
        return "smoothquant";
    }

    @Override
    public SortedMap<String, Object> settings() {
        SortedMap<String, Object> settings = new TreeMap<>();
        settings.put(
                "smoothing_strength",
                options.isSearched() ? "auto" : options.strengths().getFirst());
        settings.put("smoothing_folds", options.folds().name().toLowerCase(Locale.ROOT));
        return settings;
    }

    @Override
    public float[] divisors(
            Fold fold, List<Weight> weights, InputStatistics seen, QuantizationScheme scheme, Backend backend) {
        if (!options.folds().include(fold.site())) {
            return null;
        }
        ChannelDetails details = seen.details();
        float[] inputs = tied(fold, details.maxima());
        float[] columns = tied(fold, columnMaxima(weights, backend));
        if (!options.isSearched()) {
            return divisors(inputs, columns, options.strengths().getFirst());
        }
        try (StrengthSearch search = new StrengthSearch(fold, weights, details, scheme, options.inputs(), backend)) {
            float[] best = null;
            double least = search.error(null);
            for (double strength : options.strengths()) {
                float[] divisors = divisors(inputs, columns, strength);
                double error = search.error(divisors);
                if (error < least) {
                    least = error;
                    best = divisors;
                }
            }
            return best;
        }
    }

    /// The equation, times a factor that changes nothing but keeps the numbers around one.
    static float[] divisors(float[] inputs, float[] columns, double strength) {
        double[] divisors = new double[inputs.length];
        double smallest = Double.POSITIVE_INFINITY;
        double largest = 0;
        for (int i = 0; i < divisors.length; i++) {
            double input = Math.max(inputs[i], SMALLEST);
            double column = Math.max(columns[i], SMALLEST);
            divisors[i] = Math.pow(input, strength) / Math.pow(column, 1 - strength);
            smallest = Math.min(smallest, divisors[i]);
            largest = Math.max(largest, divisors[i]);
        }
        double middle = Math.sqrt(smallest * largest);
        float[] scaled = new float[divisors.length];
        for (int i = 0; i < scaled.length; i++) {
            scaled[i] = (float) (divisors[i] / middle);
        }
        return scaled;
    }

    /// `[producers]`: the largest of `values` `[width]` among the channels that must share a divisor.
    private static float[] tied(Fold fold, float[] values) {
        float[] largest = new float[fold.producers()];
        for (int channel = 0; channel < values.length; channel++) {
            int producer = fold.producer()[channel];
            largest[producer] = Math.max(largest[producer], values[channel]);
        }
        return largest;
    }

    /// `[width]`: the largest magnitude in each column of any of `weights`.
    private static float[] columnMaxima(List<Weight> weights, Backend backend) {
        int inputs = weights.getFirst().inputs();
        float[] maxima = new float[inputs];
        for (Weight weight : weights) {
            backend.forRanges(weight.outputs(), (from, to) -> {
                float[] row = new float[inputs];
                float[] own = new float[inputs];
                for (int output = from; output < to; output++) {
                    weight.restoreRow(output, row, 0);
                    for (int i = 0; i < inputs; i++) {
                        own[i] = Math.max(own[i], Math.abs(row[i]));
                    }
                }
                synchronized (maxima) {
                    for (int i = 0; i < inputs; i++) {
                        maxima[i] = Math.max(maxima[i], own[i]);
                    }
                }
            });
        }
        return maxima;
    }
}

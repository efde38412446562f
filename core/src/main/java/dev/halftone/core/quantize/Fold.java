package dev.halftone.core.quantize;

import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.LlamaConfig;
import java.util.Objects;
import java.util.stream.IntStream;

/// Where a division of a site's inputs can hide: in the weight of the norm before it, or in the rows of the linear
/// before it.
///
/// | site | producer |
/// |---|---|
/// | `ATTENTION_INPUT` | the first norm |
/// | `ATTENTION_OUTPUT` | v; a channel of a key/value head feeds one channel of each query head that reads it |
/// | `MLP_INPUT` | the second norm |
/// | `MLP_OUTPUT` | up |
///
/// @param site      whose inputs are divided
/// @param producer  `[width]`, channel of the producer that a channel of the input comes from
/// @param producers channels of the producer
public record Fold(InputSite site, int[] producer, int producers) {
    public Fold {
        Objects.requireNonNull(site);
        for (int channel : producer) {
            Objects.checkIndex(channel, producers);
        }
    }

    static Fold of(InputSite site, LlamaConfig config) {
        int width = site.width(config);
        return switch (site) {
            case ATTENTION_INPUT, MLP_INPUT, MLP_OUTPUT ->
                new Fold(site, IntStream.range(0, width).toArray(), width);
            case ATTENTION_OUTPUT -> {
                int size = config.headSize();
                int queriesPerKey = config.heads() / config.kvHeads();
                int[] producer = IntStream.range(0, width)
                        .map(channel -> channel / size / queriesPerKey * size + channel % size)
                        .toArray();
                yield new Fold(site, producer, config.kvHeads() * size);
            }
        };
    }

    /// Channels of the input.
    public int width() {
        return producer.length;
    }

    /// `[width]`: what each channel of the input gets of `values` `[producers]`.
    public float[] spread(float[] values) {
        if (values.length != producers) {
            throw new IllegalArgumentException(
                    values.length + " values for " + producers + " channels of the producer");
        }
        float[] spread = new float[width()];
        for (int channel = 0; channel < spread.length; channel++) {
            spread[channel] = values[producer[channel]];
        }
        return spread;
    }

    /// `[producers]`: the mean of `values` `[width]` over the channels that come from the same channel of the producer.
    public float[] gather(float[] values) {
        if (values.length != width()) {
            throw new IllegalArgumentException(values.length + " values for " + width() + " channels of the input");
        }
        double[] sums = new double[producers];
        int[] counts = new int[producers];
        for (int channel = 0; channel < values.length; channel++) {
            sums[producer[channel]] += values[channel];
            counts[producer[channel]]++;
        }
        float[] means = new float[producers];
        for (int channel = 0; channel < producers; channel++) {
            means[channel] = (float) (sums[channel] / counts[channel]);
        }
        return means;
    }
}

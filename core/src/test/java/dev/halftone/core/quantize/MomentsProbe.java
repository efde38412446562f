package dev.halftone.core.quantize;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SortedMap;

/// Plain rounding that asks for moments all the same, and keeps what it is shown.
final class MomentsProbe implements WeightQuantizer {
    final Map<String, float[]> moments = new LinkedHashMap<>(); // linear -> [in, in]
    final Map<String, Long> tokens = new LinkedHashMap<>();
    final Map<String, InputStatistics> statistics = new LinkedHashMap<>();

    @Override
    public String name() {
        return "probe";
    }

    @Override
    public SortedMap<String, Object> settings() {
        return Collections.emptySortedMap();
    }

    @Override
    public boolean needsMoments() {
        return true;
    }

    @Override
    public Quantized quantize(
            String linear, Weight weight, QuantizationScheme scheme, InputStatistics shown, Backend backend) {
        float[] copy = new float[shown.width() * shown.width()];
        backend.copyOut(shown.moments(), copy, 0);
        moments.put(linear, copy);
        tokens.put(linear, shown.tokens());
        statistics.put(linear, shown);
        return new RoundToNearest().quantize(linear, weight, scheme, null, backend);
    }
}

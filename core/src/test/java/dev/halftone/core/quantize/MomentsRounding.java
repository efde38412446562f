package dev.halftone.core.quantize;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.LittleEndian;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/// Rounds each column after stretching it by its second moment, so that every number of the output depends on every
/// hidden state before it.
///
/// @param strength of the stretching
record MomentsRounding(double strength) implements WeightQuantizer {
    @Override
    public String name() {
        return "moments";
    }

    @Override
    public SortedMap<String, Object> settings() {
        return new TreeMap<>(Map.of("strength", strength));
    }

    @Override
    public boolean needsMoments() {
        return true;
    }

    @Override
    public Quantized quantize(
            String linear, Weight weight, QuantizationScheme scheme, InputStatistics shown, Backend backend) {
        int inputs = weight.inputs();
        float[] moments = new float[inputs * inputs];
        backend.copyOut(shown.moments(), moments, 0);
        float[] row = new float[inputs];
        try (Arena arena = Arena.ofShared()) {
            MemorySegment data = arena.allocate(4L * weight.outputs() * inputs, 64);
            for (int output = 0; output < weight.outputs(); output++) {
                weight.restoreRow(output, row, 0);
                for (int i = 0; i < inputs; i++) {
                    double stretch = 1 + strength * Math.sin(1000 * moments[i * inputs + i]);
                    data.setAtIndex(LittleEndian.FLOAT, (long) output * inputs + i, (float) (row[i] * stretch));
                }
            }
            Tensor stretched = new Tensor(linear, DType.F32, Shape.of(weight.outputs(), inputs), data);
            return new RoundToNearest().quantize(linear, new DenseWeight(stretched), scheme, null, backend);
        }
    }
}

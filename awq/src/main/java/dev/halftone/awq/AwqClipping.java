package dev.halftone.awq;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.quantize.InputStatistics;
import dev.halftone.core.quantize.OutputError;
import dev.halftone.core.quantize.Quantized;
import dev.halftone.core.quantize.WeightQuantizer;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/// Plain rounding to grids that may leave out the ends of a group's range: the second half of AWQ. Which share of the
/// range is kept, [ClipSearch] decides by the error at the outputs.
public final class AwqClipping implements WeightQuantizer {
    @Override
    public String name() {
        return "rtn-clip";
    }

    @Override
    public SortedMap<String, Object> settings() {
        SortedMap<String, Object> settings = new TreeMap<>();
        settings.put("apply_clip", true);
        return settings;
    }

    @Override
    public boolean needsMoments() {
        return true;
    }

    /// @throws HalftoneException of kind NUMERICS if the inputs are not finite
    @Override
    public Quantized quantize(
            String linear, Weight weight, QuantizationScheme scheme, InputStatistics statistics, Backend backend) {
        Matrix moments = statistics.moments();
        requireFinite(linear, moments, backend);
        ClipSearch.Solution solution = ClipSearch.solve(weight, scheme, moments, backend);
        return new Quantized(
                solution.weight(), OutputError.compare(weight, solution.errors(), scheme, moments, backend), List.of());
    }

    private static void requireFinite(String linear, Matrix moments, Backend backend) {
        float[] square = new float[1];
        for (int i = 0; i < moments.columns(); i++) {
            backend.copyOut(moments.view(i, 1, i, 1), square, 0);
            if (!Float.isFinite(square[0])) {
                throw new HalftoneException(
                        HalftoneException.Kind.NUMERICS,
                        "the inputs of '" + linear + "' are not finite",
                        "mean square of input " + i + " is " + square[0],
                        "check the weights before this layer, and the calibration text");
            }
        }
    }
}

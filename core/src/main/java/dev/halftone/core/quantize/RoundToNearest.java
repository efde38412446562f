package dev.halftone.core.quantize;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.weight.AffineGrid;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.Weight;
import java.util.Collections;
import java.util.List;
import java.util.SortedMap;

/// Plain rounding: every weight goes to the nearest value of its group's grid, which the group's extremes alone decide.
/// Sees no inputs, so nothing of the model is run.
public final class RoundToNearest implements WeightQuantizer {
    @Override
    public String name() {
        return "rtn";
    }

    @Override
    public SortedMap<String, Object> settings() {
        return Collections.emptySortedMap();
    }

    @Override
    public boolean needsMoments() {
        return false;
    }

    /// Rounds `weight`; the error is that of the weights, and `statistics` is not looked at.
    @Override
    public Quantized quantize(
            String linear, Weight weight, QuantizationScheme scheme, InputStatistics statistics, Backend backend) {
        double[] errors = new double[weight.outputs()];
        double[] sizes = new double[weight.outputs()];
        QuantizedWeight rounded = round(weight, scheme, backend, errors, sizes);
        double error = sum(errors);
        double size = sum(sizes);
        double relative = size == 0 ? 0 : error / size;
        return new Quantized(
                rounded,
                new QuantizationError(QuantizationError.Measure.WEIGHTS, error, relative, relative, weight.outputs()),
                List.of());
    }

    /// Rounds `weight` on the backend's host threads.
    public static QuantizedWeight round(Weight weight, QuantizationScheme scheme, Backend backend) {
        return round(weight, scheme, backend, new double[weight.outputs()], new double[weight.outputs()]);
    }

    /// @param errors `[outputs]`, receives `‖w-q‖²` of each row
    /// @param sizes  `[outputs]`, receives `‖w‖²` of each row
    private static QuantizedWeight round(
            Weight weight, QuantizationScheme scheme, Backend backend, double[] errors, double[] sizes) {
        int outputs = weight.outputs();
        int inputs = weight.inputs();
        int groups = scheme.groups(inputs);
        byte[] codes = new byte[Math.multiplyExact(outputs, inputs)];
        float[] scales = new float[outputs * groups];
        int[] zeros = new int[outputs * groups];
        QuantizedWeight rounded = new QuantizedWeight(scheme, outputs, inputs, codes, scales, zeros, null);
        backend.forRanges(outputs, (from, to) -> {
            float[] row = new float[inputs];
            float[] restored = new float[inputs];
            for (int output = from; output < to; output++) {
                weight.restoreRow(output, row, 0);
                roundRow(row, scheme, codes, output * inputs, scales, zeros, output * groups);
                rounded.restoreRow(output, restored, 0);
                double error = 0;
                double size = 0;
                for (int i = 0; i < inputs; i++) {
                    double difference = (double) row[i] - restored[i];
                    error += difference * difference;
                    size += (double) row[i] * row[i];
                }
                errors[output] = error;
                sizes[output] = size;
            }
        });
        return rounded;
    }

    /// Rounds one row: codes to `codes[firstCode ...]`, scale and zero of each group to `scales` and `zeros`
    /// `[firstCell ...]`.
    private static void roundRow(
            float[] row,
            QuantizationScheme scheme,
            byte[] codes,
            int firstCode,
            float[] scales,
            int[] zeros,
            int firstCell) {
        int length = scheme.groupLength(row.length);
        for (int from = 0, cell = firstCell; from < row.length; from += length, cell++) {
            AffineGrid grid = grid(row, from, length, scheme);
            scales[cell] = grid.scale();
            zeros[cell] = grid.zero();
            for (int i = from; i < from + length; i++) {
                codes[firstCode + i] = (byte) grid.code(row[i]);
            }
        }
    }

    /// Writes what plain rounding makes of `row` into `restored`.
    public static void roundRow(float[] row, QuantizationScheme scheme, float[] restored) {
        int length = scheme.groupLength(row.length);
        for (int from = 0; from < row.length; from += length) {
            AffineGrid grid = grid(row, from, length, scheme);
            for (int i = from; i < from + length; i++) {
                restored[i] = grid.restore(grid.code(row[i]));
            }
        }
    }

    /// The grid of `values[from .. from + count)`: over their range, or if symmetric also the one that ends in their
    /// extreme, whichever the squared errors of the weights are smaller on.
    ///
    /// @throws ArithmeticException if a value is not finite
    public static AffineGrid grid(float[] values, int from, int count, QuantizationScheme scheme) {
        AffineGrid range = range(values, from, count, scheme);
        if (!scheme.symmetric()) {
            return range;
        }
        AffineGrid turned = AffineGrid.ofExtreme(extreme(values, from, count), scheme);
        return error(values, from, count, turned) < error(values, from, count, range) ? turned : range;
    }

    /// The min-max grid of `values[from .. from + count)`.
    ///
    /// @throws ArithmeticException if a value is not finite
    public static AffineGrid range(float[] values, int from, int count, QuantizationScheme scheme) {
        float low = 0;
        float high = 0;
        for (int i = from; i < from + count; i++) {
            low = Math.min(low, values[i]);
            high = Math.max(high, values[i]);
        }
        return AffineGrid.ofRange(low, high, scheme);
    }

    /// The value farthest from zero, the negative one of two.
    public static float extreme(float[] values, int from, int count) {
        float low = 0;
        float high = 0;
        for (int i = from; i < from + count; i++) {
            low = Math.min(low, values[i]);
            high = Math.max(high, values[i]);
        }
        return high > -low ? high : low;
    }

    private static double error(float[] values, int from, int count, AffineGrid grid) {
        double error = 0;
        for (int i = from; i < from + count; i++) {
            double difference = values[i] - grid.restore(grid.code(values[i]));
            error += difference * difference;
        }
        return error;
    }

    /// Added in the order of the rows, whatever thread computed them.
    private static double sum(double[] values) {
        double sum = 0;
        for (double value : values) {
            sum += value;
        }
        return sum;
    }
}

package dev.halftone.awq;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.quantize.OutputError;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.weight.QuantizationScheme;
import java.util.Arrays;

/// What plain rounding costs at the outputs once the inputs are divided: `tr(D·H·Dᵀ)`, where `D = W - round(W·s)/s`
/// and `H` are the moments of the undivided inputs. Costs as much as the moments of as many tokens as there are rows,
/// however many tokens were seen.
final class RoundingCost {
    private final WeightRows rows;
    private final Matrix moments;
    private final QuantizationScheme scheme;
    private final Backend backend;
    private final float[] changes; // [rows, width]

    RoundingCost(WeightRows rows, Matrix moments, QuantizationScheme scheme, Backend backend) {
        this.rows = rows;
        this.moments = moments;
        this.scheme = scheme;
        this.backend = backend;
        changes = new float[rows.values().length];
    }

    /// @param divisors `[width]`, of the inputs; null for none
    /// @return NaN or infinity if a number outgrows float32
    double of(float[] divisors) {
        int width = rows.width();
        backend.forRanges(rows.count(), (from, to) -> {
            float[] scaled = new float[width];
            float[] restored = new float[width];
            for (int row = from; row < to; row++) {
                fillChange(row, divisors, scaled, restored);
            }
        });
        double[] errors = OutputError.ofRows(changes, rows.count(), moments, backend);
        double cost = 0;
        for (int row = 0; row < errors.length; row++) {
            cost += rows.importance()[row] * errors[row];
        }
        return cost;
    }

    private void fillChange(int row, float[] divisors, float[] scaled, float[] restored) {
        int width = rows.width();
        int offset = row * width;
        boolean finite = true;
        for (int i = 0; i < width; i++) {
            scaled[i] = divisors == null ? rows.values()[offset + i] : rows.values()[offset + i] * divisors[i];
            finite &= Float.isFinite(scaled[i]);
        }
        if (!finite) {
            Arrays.fill(changes, offset, offset + width, Float.NaN);
            return;
        }
        RoundToNearest.roundRow(scaled, scheme, restored);
        for (int i = 0; i < width; i++) {
            float back = divisors == null ? restored[i] : restored[i] / divisors[i];
            changes[offset + i] = rows.values()[offset + i] - back;
        }
    }
}

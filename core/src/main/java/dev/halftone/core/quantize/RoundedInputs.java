package dev.halftone.core.quantize;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.AffineGrid;
import dev.halftone.core.weight.QuantizationScheme;

/// The inputs of a site as its linears will meet them once they are rounded.
final class RoundedInputs {
    /// Rows that are on the host at a time.
    private static final int ROWS = 256;

    private final Backend backend;
    private final int width;
    private final float[] rows;

    RoundedInputs(int width, Backend backend) {
        this.backend = backend;
        this.width = width;
        rows = new float[ROWS * width];
    }

    /// How the inputs of `site` are to be rounded, from what the samples hold there.
    ///
    /// @param name of the site, for messages
    /// @throws HalftoneException of kind NUMERICS if one of them is not finite, where that matters
    ActivationScheme scheme(
            InputRounding rounding, QuantizationScheme scheme, CalibrationSamples samples, String name) {
        return switch (rounding.kind()) {
            case NONE -> ActivationScheme.NONE;
            case PER_TOKEN -> ActivationScheme.PER_TOKEN;
            case PER_TENSOR -> {
                InputMagnitudes seen = new InputMagnitudes();
                samples.forEachWindow(width, window -> count(window, seen));
                if (!Float.isFinite(seen.largest())) {
                    throw new HalftoneException(
                            Kind.NUMERICS,
                            "an input of " + name + " is not finite",
                            "no scale can hold " + seen.largest(),
                            "check the model with 'perplexity', or another calibration text");
                }
                float scale = ActivationScheme.scaleOfRange(rounding.range().of(seen));
                yield ActivationScheme.perTensor(AffineGrid.storable(scale, scheme));
            }
        };
    }

    private void count(Matrix window, InputMagnitudes seen) {
        for (int first = 0; first < window.rows(); first += ROWS) {
            int count = Math.min(ROWS, window.rows() - first);
            backend.copyOut(window.rows(first, count), rows, 0);
            seen.add(rows, count * width);
        }
        seen.endWindow();
    }

    /// Accumulates the samples' inputs, rounded.
    void addTo(InputStatistics statistics, ActivationScheme activations, CalibrationSamples samples) {
        try (Matrix rounded = backend.allocate(ROWS, width)) {
            samples.forEachWindow(width, window -> {
                for (int first = 0; first < window.rows(); first += ROWS) {
                    int count = Math.min(ROWS, window.rows() - first);
                    backend.copyOut(window.rows(first, count), rows, 0);
                    backend.forRanges(count, (from, to) -> round(activations, from, to));
                    backend.copyIn(rows, 0, rounded.rows(0, count));
                    statistics.add(rounded.rows(0, count));
                }
            });
        }
    }

    private void round(ActivationScheme activations, int from, int to) {
        float[] codes = new float[width];
        for (int row = from; row < to; row++) {
            int offset = row * width;
            float scale = activations.scaleOf(rows, offset, width);
            ActivationScheme.round(rows, offset, width, scale, codes);
            for (int i = 0; i < width; i++) {
                rows[offset + i] = scale * codes[i];
            }
        }
    }
}

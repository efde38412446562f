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

    private final ActivationScheme scheme;
    private final Backend backend;
    private final float[] rows; // [ROWS, width]

    private RoundedInputs(ActivationScheme scheme, int width, Backend backend) {
        this.scheme = scheme;
        this.backend = backend;
        rows = new float[ROWS * width];
    }

    /// Looks at what the samples hold at a site, if that is needed to know how it is to be rounded.
    ///
    /// @param weights scheme of the weights, whose type of scales the scale of the inputs is stored in
    /// @param width   of the site
    /// @param place   for messages
    /// @throws HalftoneException of kind NUMERICS if an input is not finite
    static RoundedInputs of(
            InputRounding rounding,
            QuantizationScheme weights,
            CalibrationSamples samples,
            int width,
            String place,
            Backend backend) {
        ActivationScheme scheme = switch (rounding.kind()) {
            case NONE -> throw new IllegalArgumentException("inputs stay in floating point");
            case PER_TOKEN -> ActivationScheme.PER_TOKEN;
            case PER_TENSOR -> {
                InputMagnitudes seen = magnitudes(samples, width, backend);
                if (!Float.isFinite(seen.largest())) {
                    throw new HalftoneException(
                            Kind.NUMERICS,
                            "an input of " + place + " is not finite",
                            "no scale can hold " + seen.largest(),
                            "another calibration text, and if that does not help, another model");
                }
                float scale = ActivationScheme.scaleOfRange(rounding.range().of(seen));
                yield ActivationScheme.perTensor(AffineGrid.storable(scale, weights));
            }
        };
        return new RoundedInputs(scheme, width, backend);
    }

    private static InputMagnitudes magnitudes(CalibrationSamples samples, int width, Backend backend) {
        InputMagnitudes seen = new InputMagnitudes();
        float[] values = new float[ROWS * width];
        samples.forEachWindow(width, window -> {
            for (int first = 0; first < window.rows(); first += ROWS) {
                int count = Math.min(ROWS, window.rows() - first);
                backend.copyOut(window.rows(first, count), values, 0);
                seen.add(values, count * width);
            }
            seen.endWindow();
        });
        return seen;
    }

    /// How they are rounded.
    ActivationScheme scheme() {
        return scheme;
    }

    /// Writes `inputs`, rounded, to `rounded` of the same shape.
    void round(Matrix inputs, Matrix rounded) {
        for (int first = 0; first < inputs.rows(); first += ROWS) {
            int count = Math.min(ROWS, inputs.rows() - first);
            backend.copyOut(inputs.rows(first, count), rows, 0);
            backend.forRanges(count, this::round);
            backend.copyIn(rows, 0, rounded.rows(first, count));
        }
    }

    private void round(int from, int to) {
        int width = rows.length / ROWS;
        float[] codes = new float[width];
        for (int row = from; row < to; row++) {
            int offset = row * width;
            float scale = scheme.scaleOf(rows, offset, width);
            ActivationScheme.round(rows, offset, width, scale, codes);
            for (int i = 0; i < width; i++) {
                rows[offset + i] = scale * codes[i];
            }
        }
    }
}

package dev.halftone.gptq;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.quantize.InputStatistics;
import dev.halftone.core.quantize.OutputError;
import dev.halftone.core.quantize.Quantized;
import dev.halftone.core.quantize.WeightQuantizer;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import java.util.Locale;
import java.util.SortedMap;
import java.util.TreeMap;

/// GPTQ as a method: needs the moments of each linear's inputs, and compares itself with plain rounding.
public final class GptqQuantizer implements WeightQuantizer {
    /// What a factor depends on besides the moments.
    private record FactorKey(double damping, ColumnOrder order, int groupLength) {}

    private final GptqOptions options;

    public GptqQuantizer(GptqOptions options) {
        this.options = options;
    }

    @Override
    public String name() {
        return "gptq";
    }

    @Override
    public SortedMap<String, Object> settings() {
        SortedMap<String, Object> settings = new TreeMap<>();
        settings.put("damp_percent", options.damping());
        settings.put(
                "column_order", options.order().name().toLowerCase(Locale.ROOT).replace('_', '-'));
        settings.put(
                "grid",
                options.order() == ColumnOrder.ACTIVATION || options.grid() == GridRule.RANGE
                        ? "range"
                        : "output-error");
        settings.put("act_group_aware", options.order() == ColumnOrder.GROUP_AWARE);
        settings.put("static_groups", options.order() == ColumnOrder.ACTIVATION);
        return settings;
    }

    @Override
    public boolean needsMoments() {
        return true;
    }

    public GptqOptions options() {
        return options;
    }

    /// @throws IndefiniteMomentsException if damping cannot make the moments invertible
    @Override
    public Quantized quantize(
            String linear, Weight weight, QuantizationScheme scheme, InputStatistics statistics, Backend backend) {
        int groupLength = scheme.groupLength(weight.inputs());
        InverseFactor factor = statistics.derived(
                new FactorKey(options.damping(), options.order(), groupLength),
                InverseFactor.class,
                () -> InverseFactor.of(linear, statistics.moments(), groupLength, options, backend));
        GptqSolver.Solution solution;
        try {
            solution = GptqSolver.solve(weight, scheme, factor, options, backend);
        } catch (ArithmeticException e) {
            throw new HalftoneException(
                    HalftoneException.Kind.NUMERICS,
                    "the rounding errors of '" + linear + "' outgrew float32",
                    e.getMessage() + ", with damping "
                            + factor.attempts().getLast().damping(),
                    "more damping, or more varied calibration text",
                    e);
        }
        return new Quantized(
                solution.weight(),
                OutputError.compare(weight, solution.errors(), scheme, statistics.moments(), backend),
                factor.attempts());
    }
}

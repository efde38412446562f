package dev.halftone.gptq;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.quantize.InputStatistics;
import dev.halftone.core.quantize.OutputError;
import dev.halftone.core.quantize.Quantized;
import dev.halftone.core.quantize.WeightQuantizer;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import java.lang.foreign.Arena;
import java.util.Locale;
import java.util.SortedMap;
import java.util.TreeMap;

/// GPTQ as a method: needs the moments of each linear's inputs, and compares itself with plain rounding.
public final class GptqQuantizer implements WeightQuantizer {
    /// What a factor, and with it the target, depends on besides the statistics.
    private record Key(Class<?> derived, double damping, ColumnOrder order, int groupLength) {}

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
        settings.put("descent_sweeps", options.sweeps());
        settings.put("target", options.target().name().toLowerCase(Locale.ROOT).replace('_', '-'));
        settings.put("act_group_aware", options.order() == ColumnOrder.GROUP_AWARE);
        settings.put("static_groups", options.order() == ColumnOrder.ACTIVATION);
        return settings;
    }

    @Override
    public boolean needsMoments() {
        return true;
    }

    @Override
    public boolean needsFloatInputs() {
        return options.target() != Target.SAME_INPUTS;
    }

    @Override
    public boolean needsFloatStates() {
        return options.target() == Target.FLOAT_STATES;
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
                new Key(InverseFactor.class, options.damping(), options.order(), groupLength),
                InverseFactor.class,
                () -> InverseFactor.of(linear, statistics.moments(), groupLength, options, backend));
        try (Arena arena = Arena.ofShared()) {
            Weight target = weight;
            if (needsFloatInputs()) {
                target = FloatTarget.of(weight, statistics, factor, arena, backend);
            }
            return solve(target, scheme, factor, statistics, backend);
        } catch (ArithmeticException e) {
            throw new HalftoneException(
                    HalftoneException.Kind.NUMERICS,
                    "the rounding errors of '" + linear + "' outgrew float32",
                    e.getMessage() + ", with damping "
                            + factor.attempts().getLast().damping(),
                    "more damping, or more varied calibration text",
                    e);
        }
    }

    private Quantized solve(
            Weight target,
            QuantizationScheme scheme,
            InverseFactor factor,
            InputStatistics statistics,
            Backend backend) {
        GptqSolver.Solution solution = GptqSolver.solve(target, scheme, factor, options, backend);
        double[] errors = solution.errors();
        if (options.sweeps() > 0) {
            CodeDescent descent = new CodeDescent(
                    target, solution.weight(), statistics.moments(), factor.added(), factor.dead(), backend);
            errors = descent.run(options.sweeps());
        }
        return new Quantized(
                solution.weight(),
                OutputError.compare(target, errors, scheme, statistics.moments(), backend),
                factor.attempts());
    }
}

package dev.halftone.gptq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.quantize.InputStatistics;
import dev.halftone.core.weight.QuantizationScheme;
import java.lang.foreign.Arena;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class FloatTargetTest {
    private static final int INPUTS = 264; // more than the solver and the shift handle at a time
    private static final int TOKENS = 600;

    private final Backend backend = new ReferenceBackend();
    private final Problem problem = Problem.random(5, INPUTS, 2);
    private final float[] seen = new float[TOKENS * INPUTS];
    private final float[] meant = new float[TOKENS * INPUTS];

    /// Inputs that a quantized model sees where the float model has others: bent the same way everywhere, and noisy.
    private InputStatistics statistics() {
        SplittableRandom random = new SplittableRandom(4);
        for (int token = 0; token < TOKENS; token++) {
            for (int i = 0; i < INPUTS; i++) {
                meant[token * INPUTS + i] = (float) (random.nextGaussian() * (1 + i % 5));
            }
            for (int i = 0; i < INPUTS; i++) {
                double bent = 0.9 * meant[token * INPUTS + i] + 0.2 * meant[token * INPUTS + (i + 1) % INPUTS];
                seen[token * INPUTS + i] = (float) (bent + 0.1 * random.nextGaussian());
            }
        }
        InputStatistics statistics = InputStatistics.withFloatInputs(INPUTS, backend);
        try (Matrix x = backend.allocate(TOKENS, INPUTS);
                Matrix f = backend.allocate(TOKENS, INPUTS)) {
            backend.copyIn(seen, 0, x);
            backend.copyIn(meant, 0, f);
            statistics.add(x.rows(0, 450), f.rows(0, 450));
            statistics.add(x.rows(450, 150), f.rows(450, 150));
        }
        return statistics;
    }

    /// `mean ‖W·f - V·x‖²`.
    private double missed(float[] weight) {
        double sum = 0;
        for (int token = 0; token < TOKENS; token++) {
            for (int row = 0; row < problem.outputs(); row++) {
                double difference = 0;
                for (int i = 0; i < INPUTS; i++) {
                    difference += (double) problem.weight()[row * INPUTS + i] * meant[token * INPUTS + i];
                    difference -= (double) weight[row * INPUTS + i] * seen[token * INPUTS + i];
                }
                sum += difference * difference / TOKENS;
            }
        }
        return sum;
    }

    @ParameterizedTest
    @EnumSource(ColumnOrder.class)
    void isTheWeightThatComesNearestToTheFloatOutputs(ColumnOrder order) {
        try (InputStatistics statistics = statistics();
                Arena arena = Arena.ofShared()) {
            GptqOptions options = new GptqOptions(1e-6, order, GridRule.RANGE);
            InverseFactor factor = InverseFactor.of("q_proj", statistics.moments(), 8, options, backend);
            float[] target = FloatTarget.of(problem.dense(), statistics, factor, arena, backend)
                    .restore();
            factor.close();
            double least = missed(target);
            assertTrue(least < 0.1 * missed(problem.weight()), least + " of " + missed(problem.weight()));
            for (int i = 0; i < target.length; i += 7) {
                float value = target[i];
                for (float step : new float[] {-1e-3f, 1e-3f}) {
                    target[i] = value + step;
                    assertTrue(missed(target) > least * (1 - 1e-6), "weight " + i);
                }
                target[i] = value;
            }
        }
    }

    @Test
    void makesTheQuantizedLinearComeNearerToTheFloatOutputs() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 8, true);
        try (InputStatistics statistics = statistics()) {
            GptqOptions options = GptqOptions.DEFAULT.withTarget(Target.SAME_INPUTS);
            float[] same = new GptqQuantizer(options)
                    .quantize("q_proj", problem.dense(), scheme, statistics, backend)
                    .weight()
                    .restore();
            float[] better = new GptqQuantizer(options.withTarget(Target.FLOAT_OUTPUTS))
                    .quantize("q_proj", problem.dense(), scheme, statistics, backend)
                    .weight()
                    .restore();
            assertTrue(missed(better) < 0.5 * missed(same), missed(better) + " against " + missed(same));
        }
    }

    /// The same with `W·f` said outright.
    private InputStatistics meantOutputs() {
        InputStatistics statistics = InputStatistics.withMeantOutputs(INPUTS, problem.outputs(), backend);
        float[] outputs = new float[TOKENS * problem.outputs()];
        for (int token = 0; token < TOKENS; token++) {
            for (int row = 0; row < problem.outputs(); row++) {
                double sum = 0;
                for (int i = 0; i < INPUTS; i++) {
                    sum += (double) problem.weight()[row * INPUTS + i] * meant[token * INPUTS + i];
                }
                outputs[token * problem.outputs() + row] = (float) sum;
            }
        }
        try (Matrix x = backend.allocate(TOKENS, INPUTS);
                Matrix y = backend.allocate(TOKENS, problem.outputs())) {
            backend.copyIn(seen, 0, x);
            backend.copyIn(outputs, 0, y);
            statistics.addMeant(x.rows(0, 30), y.rows(0, 30));
            statistics.addMeant(x.rows(30, 570), y.rows(30, 570));
        }
        return statistics;
    }

    @ParameterizedTest
    @EnumSource(ColumnOrder.class)
    void isTheSameWhereTheOutputsAreGiven(ColumnOrder order) {
        try (InputStatistics statistics = statistics();
                InputStatistics outputs = meantOutputs();
                Arena arena = Arena.ofShared()) {
            GptqOptions options = new GptqOptions(0.01, order, GridRule.RANGE);
            InverseFactor factor = InverseFactor.of("o_proj", statistics.moments(), 8, options, backend);
            float[] expected = FloatTarget.of(problem.dense(), statistics, factor, arena, backend)
                    .restore();
            float[] found = FloatTarget.of(problem.dense(), outputs, factor, arena, backend)
                    .restore();
            for (int i = 0; i < expected.length; i++) {
                assertEquals(expected[i], found[i], 1e-4, "weight " + i);
            }
            factor.close();
        }
    }

    @Test
    void theDriftIsThatOfTheInputs() {
        try (InputStatistics statistics = statistics()) {
            float[] drift = new float[INPUTS * INPUTS];
            backend.copyOut(statistics.drift(), drift, 0);
            for (int i = 0; i < INPUTS; i++) {
                for (int j = 0; j < INPUTS; j++) {
                    double sum = 0;
                    for (int token = 0; token < TOKENS; token++) {
                        double moved = meant[token * INPUTS + i] - seen[token * INPUTS + i];
                        sum += moved * seen[token * INPUTS + j] / TOKENS;
                    }
                    assertEquals(sum, drift[i * INPUTS + j], 1e-4);
                }
            }
        }
    }

    @Test
    void asksForTheFloatInputs() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 8, true);
        GptqQuantizer quantizer = new GptqQuantizer(GptqOptions.DEFAULT.withTarget(Target.FLOAT_OUTPUTS));
        assertTrue(quantizer.needsFloatInputs());
        try (InputStatistics statistics = problem.statistics(backend)) {
            assertThrows(
                    IllegalArgumentException.class,
                    () -> quantizer.quantize("q_proj", problem.dense(), scheme, statistics, backend));
        }
    }
}

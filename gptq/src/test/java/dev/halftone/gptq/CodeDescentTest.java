package dev.halftone.gptq;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.quantize.InputStatistics;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.testing.SplittingBackend;
import dev.halftone.core.weight.AffineGrid;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CodeDescentTest {
    private static final double ADDED = 0.02;

    private final Backend backend = new ReferenceBackend();

    private static double[] descend(
            Problem problem, QuantizedWeight rounded, boolean[] dead, int sweeps, Backend arithmetic) {
        try (InputStatistics statistics = problem.statistics(arithmetic)) {
            return new CodeDescent(problem.dense(), rounded, statistics.moments(), ADDED, dead, arithmetic).run(sweeps);
        }
    }

    /// `d·(H + added)·dᵀ`, summed over the rows, by definition and in double precision.
    private static double error(Problem problem, QuantizedWeight weight, double added) {
        int inputs = problem.inputs();
        float[] restored = weight.restore();
        double sum = 0;
        for (int row = 0; row < problem.outputs(); row++) {
            for (int i = 0; i < inputs; i++) {
                double change = restored[row * inputs + i] - problem.weight()[row * inputs + i];
                sum += added * change * change;
                for (int j = 0; j < inputs; j++) {
                    double other = restored[row * inputs + j] - problem.weight()[row * inputs + j];
                    sum += change * problem.moments()[i * inputs + j] * other;
                }
            }
        }
        return sum;
    }

    /// Groups below, at and above the block, and a last block that is not full.
    @ParameterizedTest
    @CsvSource({
        "320, 4,  32, true",
        "288, 3,  48, false",
        "384, 4, 128, false",
        "384, 3, 192, true",
        "300, 4,  -1, false",
        "300, 8,  -1, true",
        "160, 2,  32, false"
    })
    void neverRaisesTheErrorAndReportsWhatItReallyIs(int inputs, int bits, int groupSize, boolean symmetric) {
        Problem problem = Problem.random(12, inputs, 7);
        QuantizationScheme scheme = QuantizationScheme.gptq(bits, groupSize, symmetric);
        QuantizedWeight rounded = RoundToNearest.round(problem.dense(), scheme, backend);
        double last = error(problem, rounded, ADDED);
        double first = last;
        for (int sweep = 0; sweep < 3; sweep++) {
            double[] reported = descend(problem, rounded, new boolean[inputs], 1, backend);
            double now = error(problem, rounded, ADDED);
            assertTrue(now <= last * (1 + 1e-9), now + " after " + last);
            double sum = 0;
            for (double row : reported) {
                sum += row;
            }
            double truth = error(problem, rounded, 0);
            assertEquals(truth, sum, 1e-4 * truth);
            last = now;
        }
        assertTrue(last < 0.8 * first, last + " of " + first);
    }

    @Test
    void endsWhereNoSingleCodeCanBeBetter() {
        Problem problem = Problem.random(3, 96, 9);
        QuantizationScheme scheme = QuantizationScheme.gptq(3, 32, false);
        QuantizedWeight weight = RoundToNearest.round(problem.dense(), scheme, backend);
        descend(problem, weight, new boolean[96], 60, backend);
        double least = error(problem, weight, ADDED);
        for (int i = 0; i < weight.codes().length; i++) {
            byte old = weight.codes()[i];
            for (int step = -1; step <= 1; step += 2) {
                int code = old + step;
                if (code >= 0 && code <= scheme.maximum()) {
                    weight.codes()[i] = (byte) code;
                    assertTrue(error(problem, weight, ADDED) >= least * (1 - 1e-6), "code " + i + " by " + step);
                }
            }
            weight.codes()[i] = old;
        }
    }

    @Test
    void improvesOnTheSolver() {
        double solved = 0;
        double improved = 0;
        for (long seed = 1; seed <= 3; seed++) {
            Problem problem = Problem.random(24, 192, seed);
            QuantizationScheme scheme = QuantizationScheme.gptq(4, 64, true);
            try (InputStatistics statistics = problem.statistics(backend)) {
                GptqOptions options = GptqOptions.DEFAULT.withTarget(Target.SAME_INPUTS);
                solved += new GptqQuantizer(options.withSweeps(0))
                        .quantize("q_proj", problem.dense(), scheme, statistics, backend)
                        .error()
                        .sum();
                improved += new GptqQuantizer(options.withSweeps(4))
                        .quantize("q_proj", problem.dense(), scheme, statistics, backend)
                        .error()
                        .sum();
            }
        }
        assertTrue(improved < 0.97 * solved, improved + " against " + solved);
    }

    @Test
    void leavesScalesStorableAndDeadColumnsAlone() {
        Problem problem = Problem.random(8, 64, 3);
        boolean[] dead = new boolean[64];
        for (int i = 5; i < 64; i += 11) {
            dead[i] = true;
            for (int j = 0; j < 64; j++) {
                problem.moments()[i * 64 + j] = 0;
                problem.moments()[j * 64 + i] = 0;
            }
        }
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 32, true);
        QuantizedWeight weight = RoundToNearest.round(problem.dense(), scheme, backend);
        byte[] before = weight.codes().clone();
        descend(problem, weight, dead, 2, backend);
        for (float scale : weight.scales()) {
            assertEquals(AffineGrid.storable(scale, scheme), scale);
        }
        for (int i = 0; i < before.length; i++) {
            assertTrue(!dead[i % 64] || before[i] == weight.codes()[i]);
        }
    }

    @Test
    void doesNotDependOnHowTheRowsAreSplit() {
        Problem problem = Problem.random(300, 160, 3);
        QuantizationScheme scheme = QuantizationScheme.gptq(3, 32, false);
        QuantizedWeight whole = RoundToNearest.round(problem.dense(), scheme, backend);
        QuantizedWeight split = RoundToNearest.round(problem.dense(), scheme, backend);
        double[] errors = descend(problem, whole, new boolean[160], 2, backend);
        assertArrayEquals(errors, descend(problem, split, new boolean[160], 2, SplittingBackend.of(7)));
        assertArrayEquals(whole.codes(), split.codes());
        assertArrayEquals(whole.scales(), split.scales());
    }
}

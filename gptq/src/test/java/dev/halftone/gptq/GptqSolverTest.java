package dev.halftone.gptq;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.quantize.DampingAttempt;
import dev.halftone.core.quantize.InputStatistics;
import dev.halftone.core.quantize.Quantized;
import dev.halftone.core.testing.SplittingBackend;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class GptqSolverTest {
    private static final int PER_CHANNEL = QuantizationScheme.PER_CHANNEL;

    /// What needs no float model beside.
    private static final GptqOptions SOLVER = GptqOptions.DEFAULT.withTarget(Target.SAME_INPUTS);

    private final ReferenceBackend backend = new ReferenceBackend();

    private static Quantized solve(Problem problem, QuantizationScheme scheme, GptqOptions options, Backend backend) {
        try (InputStatistics statistics = problem.statistics(backend)) {
            return new GptqQuantizer(options).quantize("q_proj", problem.dense(), scheme, statistics, backend);
        }
    }

    /// Widths above the solver's block, groups below, at, above and across its end.
    @ParameterizedTest
    @CsvSource({
        "320, 4,  32, true,  NATURAL",
        "320, 4,  64, false, NATURAL",
        "288, 3,  48, false, NATURAL",
        "288, 4,  96, true,  NATURAL",
        "384, 4, 128, false, NATURAL",
        "384, 4, 192, true,  NATURAL",
        "384, 3, 192, false, GROUP_AWARE",
        "300, 4,  -1, false, NATURAL",
        "300, 2,  -1, true,  GROUP_AWARE",
        "320, 2,  32, false, GROUP_AWARE",
        "288, 4,  48, true,  GROUP_AWARE",
        "320, 4,  64, false, ACTIVATION",
        "384, 3, 192, true,  ACTIVATION",
        "300, 4,  -1, true,  ACTIVATION",
        "260, 8,  20, true,  GROUP_AWARE",
    })
    void agreesWithASolverWithoutBlocks(int inputs, int bits, int groupSize, boolean symmetric, ColumnOrder order) {
        QuantizationScheme scheme = QuantizationScheme.gptq(bits, groupSize, symmetric);
        GptqOptions options = new GptqOptions(0.01, order, GridRule.RANGE);
        // Near a tie single and double precision may rightly differ, so take a problem without one.
        double margin = bits == 8 ? 1e-3 : 1e-4;
        for (long seed = 1; ; seed++) {
            Problem problem = Problem.random(bits == 8 ? 1 : 5, inputs, seed);
            NaiveGptq naive = new NaiveGptq(problem.weight(), problem.moments(), inputs, scheme, options);
            if (naive.margin >= margin) {
                QuantizedWeight weight =
                        solve(problem, scheme, options, backend).weight();
                assertArrayEquals(naive.scales, weight.scales());
                assertArrayEquals(naive.codes, weight.codes());
                return;
            }
        }
    }

    @ParameterizedTest
    @EnumSource(ColumnOrder.class)
    void doesNotDependOnHowTheRowsAreSplit(ColumnOrder order) {
        Problem problem = Problem.random(300, 160, 3);
        QuantizationScheme scheme = QuantizationScheme.gptq(3, 32, false);
        GptqOptions options = new GptqOptions(0.01, order, GridRule.OUTPUT_ERROR);

        Quantized whole = solve(problem, scheme, options, backend);
        Quantized split = solve(problem, scheme, options, SplittingBackend.of(7));

        assertArrayEquals(whole.weight().codes(), split.weight().codes());
        assertArrayEquals(whole.weight().scales(), split.weight().scales());
        assertEquals(whole.error(), split.error());
    }

    @Test
    void comparesALargeWeightBySomeOfItsRows() {
        Problem problem = Problem.random(700, 32, 5);

        Quantized quantized = solve(problem, QuantizationScheme.gptq(4, 32, true), SOLVER, backend);

        assertEquals(512, quantized.error().rows());
        assertTrue(quantized.error().relative() < quantized.error().rounding());
    }

    @Test
    void takesTheFirstDampingThatWorks() {
        // Eigenvalues 2.05 and -0.05: the diagonal has to grow by more than 0.05.
        Problem problem = new Problem(new float[] {0.3f, -0.7f}, new float[] {1, 1.05f, 1.05f, 1}, 2);

        Quantized quantized =
                solve(problem, QuantizationScheme.gptq(4, PER_CHANNEL, false), SOLVER.withDamping(0.01), backend);

        assertArrayEquals(
                new double[] {0.01, 0.02, 0.04, 0.08},
                quantized.attempts().stream()
                        .mapToDouble(DampingAttempt::damping)
                        .toArray());
        assertFalse(quantized.attempts().get(2).succeeded());
        assertTrue(quantized.attempts().get(3).succeeded());
    }

    @Test
    void namesTheLayerAndEveryDampingTriedWhenNoneWorks() {
        Problem problem = new Problem(new float[] {0.3f, -0.7f}, new float[] {1, 5, 5, 1}, 2);
        QuantizationScheme scheme = QuantizationScheme.gptq(4, PER_CHANNEL, false);

        IndefiniteMomentsException e = assertThrows(
                IndefiniteMomentsException.class, () -> solve(problem, scheme, SOLVER.withDamping(0.3), backend));

        assertEquals(HalftoneException.Kind.NUMERICS, e.kind());
        assertTrue(e.getMessage().contains("q_proj"), e.getMessage());
        assertArrayEquals(
                new double[] {0.3, 0.6, 1},
                e.attempts().stream().mapToDouble(DampingAttempt::damping).toArray());
        assertTrue(e.detail().contains("0.3 (pivot") && e.detail().contains("1.0 (pivot"), e.detail());
    }

    @ParameterizedTest
    @CsvSource({"NaN", "Infinity", "-1"})
    void refusesMomentsThatNoInputCanHave(float diagonal) {
        Problem problem = new Problem(new float[] {0.3f, -0.7f}, new float[] {1, 0, 0, diagonal}, 2);
        QuantizationScheme scheme = QuantizationScheme.gptq(4, PER_CHANNEL, false);

        HalftoneException e = assertThrows(HalftoneException.class, () -> solve(problem, scheme, SOLVER, backend));

        assertEquals(HalftoneException.Kind.NUMERICS, e.kind());
        assertTrue(e.detail().contains("input 1 is " + diagonal), e.detail());
    }

    @ParameterizedTest
    @EnumSource(ColumnOrder.class)
    void restoresZeroForColumnsThatAreNeverActive(ColumnOrder order) {
        Problem problem = Problem.random(6, 64, 9);
        // The whole second group of 16, and one column of the third.
        for (int column : new int[] {16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 40}) {
            for (int i = 0; i < 64; i++) {
                problem.moments()[column * 64 + i] = 0;
                problem.moments()[i * 64 + column] = 0;
            }
        }

        Quantized quantized = solve(
                problem, QuantizationScheme.gptq(4, 16, false), new GptqOptions(0.01, order, GridRule.RANGE), backend);

        float[] restored = quantized.weight().restore();
        for (int row = 0; row < 6; row++) {
            for (int column = 16; column < 32; column++) {
                assertEquals(0, restored[row * 64 + column]);
            }
            assertEquals(0, restored[row * 64 + 40]);
        }
        assertTrue(quantized.error().relative() <= quantized.error().rounding());
        for (float scale : quantized.weight().scales()) {
            assertTrue(scale > 0 && Float.isFinite(scale));
        }
    }

    @Test
    void toleratesInputsThatAreAlwaysZero() {
        Problem problem = new Problem(new float[] {0.3f, -0.7f, 0.1f, 0.2f}, new float[4], 2);

        Quantized quantized = solve(problem, QuantizationScheme.gptq(4, PER_CHANNEL, true), SOLVER, backend);

        assertArrayEquals(new float[4], quantized.weight().restore());
        assertEquals(0, quantized.error().sum());
    }

    @Test
    void factorsOnceForLinearsThatShareTheirInput() {
        Problem problem = Problem.random(4, 32, 2);
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 32, true);
        int[] calls = new int[1];
        Backend counting = SplittingBackend.watched(verb -> calls[0] += verb.equals("invertToUpperFactor") ? 1 : 0);
        GptqQuantizer quantizer = new GptqQuantizer(SOLVER);
        try (InputStatistics statistics = problem.statistics(counting)) {
            Quantized q = quantizer.quantize("q", problem.dense(), scheme, statistics, counting);
            Quantized k = quantizer.quantize("k", problem.dense(), scheme, statistics, counting);

            assertEquals(1, calls[0]);
            assertArrayEquals(q.weight().codes(), k.weight().codes());
            assertEquals(q.attempts(), k.attempts());
        }
    }

    @Test
    void leavesTheMomentsAndTheWeightAlone() {
        Problem problem = Problem.random(4, 32, 2);
        float[] moments = new float[32 * 32];
        try (InputStatistics statistics = problem.statistics(backend)) {
            new GptqQuantizer(SOLVER)
                    .quantize("q", problem.dense(), QuantizationScheme.gptq(4, 32, true), statistics, backend);
            backend.copyOut(statistics.moments(), moments, 0);
        }

        assertArrayEquals(problem.moments(), moments);
    }

    @Test
    void refusesMomentsOfAnotherWidth() {
        Problem narrow = Problem.random(2, 16, 1);
        try (InputStatistics statistics = Problem.random(2, 32, 1).statistics(backend)) {
            GptqQuantizer quantizer = new GptqQuantizer(SOLVER);
            QuantizationScheme scheme = QuantizationScheme.gptq(4, 16, true);

            IllegalArgumentException e = assertThrows(
                    IllegalArgumentException.class,
                    () -> quantizer.quantize("q", narrow.dense(), scheme, statistics, backend));
            assertTrue(e.getMessage().contains("[2, 16]") && e.getMessage().contains("32"), e.getMessage());
        }
    }

    @ParameterizedTest
    @CsvSource({"0", "-0.1", "1.5", "NaN"})
    void refusesDampingOutsideItsRange(double damping) {
        assertThrows(IllegalArgumentException.class, () -> SOLVER.withDamping(damping));
    }

    @Test
    void describesItsSettings() {
        GptqQuantizer quantizer = new GptqQuantizer(SOLVER.withOrder(ColumnOrder.ACTIVATION));

        assertEquals("gptq", quantizer.name());
        assertEquals(0.5, quantizer.settings().get("damp_percent"));
        assertEquals("activation", quantizer.settings().get("column_order"));
        assertEquals(true, quantizer.settings().get("static_groups"));
        assertEquals(false, quantizer.settings().get("act_group_aware"));
        assertTrue(quantizer.needsMoments());
        assertSame(ColumnOrder.ACTIVATION, quantizer.options().order());
    }
}

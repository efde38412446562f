package dev.halftone.gptq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.quantize.InputStatistics;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.weight.AffineGrid;
import dev.halftone.core.weight.QuantizationScheme;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class GridSearchTest {
    private final ReferenceBackend backend = new ReferenceBackend();

    private static float[] identity(int n, float diagonal) {
        float[] matrix = new float[n * n];
        for (int i = 0; i < n; i++) {
            matrix[i * n + i] = diagonal;
        }
        return matrix;
    }

    private static double squaredError(float[] values, AffineGrid grid, double[] importance) {
        double sum = 0;
        for (int i = 0; i < values.length; i++) {
            double error = (double) values[i] - grid.restore(grid.code(values[i]));
            sum += importance[i] * error * error;
        }
        return sum;
    }

    /// Of a group of these values, the last of several rows that have nothing to do with each other.
    private static AffineGrid choose(GridSearch search, float[] values) {
        int rows = 3;
        float[][] columns = new float[5 + values.length][GridSearch.ROWS];
        for (int i = 0; i < values.length; i++) {
            for (int r = 0; r < rows; r++) {
                columns[5 + i][r] = r == rows - 1 ? values[i] : (r + 1) * (i % 7 - 3);
            }
        }
        AffineGrid[] chosen = new AffineGrid[rows];
        search.choose(columns, 5, rows, chosen, search.scratch());
        return chosen[rows - 1];
    }

    @Test
    void keepsARangeThatLosesNothing() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 16, false);
        float[] values = new float[16];
        for (int i = 0; i < 16; i++) {
            values[i] = 0.25f * (i - 7);
        }
        GridSearch search = new GridSearch(identity(16, 1), 16, 16, scheme);
        assertEquals(RoundToNearest.range(values, 0, 16, scheme), choose(search, values));
    }

    @Test
    void clipsAnOutlierOfAQuietColumn() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 32, true);
        SplittableRandom random = new SplittableRandom(1);
        float[] values = new float[32];
        double[] importance = new double[32];
        float[] upper = new float[32 * 32];
        for (int i = 0; i < 32; i++) {
            values[i] = (float) random.nextGaussian(0, 0.1);
            importance[i] = i == 5 ? 1e-6 : 1;
            // The inverse of the moments' diagonal is the square of U's.
            upper[i * 32 + i] = (float) (1 / Math.sqrt(importance[i]));
        }
        values[5] = 0.6f;
        AffineGrid range = RoundToNearest.range(values, 0, 32, scheme);

        AffineGrid chosen = choose(new GridSearch(upper, 32, 32, scheme), values);

        assertTrue(Math.abs(chosen.scale()) < 0.8f * range.scale(), chosen + " " + range);
        assertTrue(squaredError(values, chosen, importance) < 0.6 * squaredError(values, range, importance));
    }

    /// With a triangular `U`, against the cost spelled out as a triangular solve in double precision.
    @ParameterizedTest
    @CsvSource({"16, 4, true", "32, 3, false", "64, 2, false", "24, 8, true"})
    void choosesTheGridOfLeastCost(int length, int bits, boolean symmetric) {
        QuantizationScheme scheme = QuantizationScheme.gptq(bits, length, symmetric);
        SplittableRandom random = new SplittableRandom(length);
        float[] upper = new float[length * length];
        for (int i = 0; i < length; i++) {
            for (int j = i; j < length; j++) {
                upper[i * length + j] = (float) (i == j ? 1 + random.nextDouble() : random.nextGaussian(0, 0.2));
            }
        }
        float[] values = new float[length];
        for (int i = 0; i < length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        GridSearch search = new GridSearch(upper.clone(), length, length, scheme);
        AffineGrid range = RoundToNearest.range(values, 0, length, scheme);
        AffineGrid chosen = choose(search, values);

        double cost = cost(values, chosen, upper);
        assertTrue(cost <= cost(values, range, upper) * (1 + 1e-6));
        for (float share : new float[] {0.7f, 0.75f, 0.8f, 0.88f, 0.96f}) {
            // Turned to the side of the extreme.
            float step = share * Math.copySign(range.scale(), -RoundToNearest.extreme(values, 0, length));
            AffineGrid rival = new AffineGrid(AffineGrid.storable(step, scheme), range.zero(), range.maximum());
            if (symmetric) {
                assertTrue(cost <= cost(values, rival, upper) * (1 + 1e-6), "share " + share);
            }
        }
    }

    private static double cost(float[] values, AffineGrid grid, float[] upper) {
        int n = values.length;
        double[] solution = new double[n];
        double cost = 0;
        for (int j = 0; j < n; j++) {
            double sum = (double) values[j] - grid.restore(grid.code(values[j]));
            for (int i = 0; i < j; i++) {
                sum -= solution[i] * upper[i * n + j];
            }
            solution[j] = sum / upper[j * n + j];
            cost += solution[j] * solution[j];
        }
        return cost;
    }

    @ParameterizedTest
    @CsvSource({
        "4, 32, true",
        "4, 64, false",
        "3, 32, true",
        "3, 64, false",
        "2, 32, false",
        "4, 192, true",
        "4, -1, false"
    })
    void costsLessAtTheOutputsThanTheRange(int bits, int groupSize, boolean symmetric) {
        QuantizationScheme scheme = QuantizationScheme.gptq(bits, groupSize, symmetric);
        double ranged = 0;
        double searched = 0;
        GptqOptions options = GptqOptions.DEFAULT.withSweeps(0).withTarget(Target.SAME_INPUTS);
        for (long seed = 1; seed <= 3; seed++) {
            Problem problem = Problem.random(24, 192, seed);
            ranged += error(problem, scheme, options.withGrid(GridRule.RANGE));
            searched += error(problem, scheme, options);
        }
        assertTrue(searched < ranged, searched + " against " + ranged);
    }

    private double error(Problem problem, QuantizationScheme scheme, GptqOptions options) {
        try (InputStatistics statistics = problem.statistics(backend)) {
            return new GptqQuantizer(options)
                    .quantize("q_proj", problem.dense(), scheme, statistics, backend)
                    .error()
                    .relative();
        }
    }

    @Test
    void refusesSquaresThatDoNotFitTheGroup() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 32, true);
        assertThrows(IllegalArgumentException.class, () -> new GridSearch(identity(16, 1), 32, 16, scheme));
    }
}

package dev.halftone.gptq;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.AffineGrid;
import dev.halftone.core.weight.QuantizationScheme;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RoundingColumnTest {
    /// Values on, between and far beyond the steps of a grid.
    private static float value(SplittableRandom random, AffineGrid grid) {
        float step = Math.abs(grid.scale());
        return switch (random.nextInt(5)) {
            case 0 -> step * random.nextInt(-40, 40);
            case 1 -> step * (random.nextInt(-40, 40) + 0.5f);
            case 2 -> (float) random.nextDouble(-1e6, 1e6);
            case 3 -> random.nextBoolean() ? 0f : -0f;
            default -> (float) (step * random.nextGaussian(0, 6));
        };
    }

    @ParameterizedTest
    @CsvSource({"2, true", "3, false", "4, true", "4, false", "8, true", "8, false"})
    void roundsAsTheGridsDo(int bits, boolean symmetric) {
        QuantizationScheme scheme = new QuantizationScheme(bits, 32, symmetric, DType.F16, 1);
        SplittableRandom random = new SplittableRandom(bits);
        RoundingColumn column = new RoundingColumn();
        int rows = RoundingColumn.ROWS - 3;
        AffineGrid[] grids = new AffineGrid[rows];
        float[] values = new float[RoundingColumn.ROWS];
        float[] codes = new float[RoundingColumn.ROWS];
        float[] errors = new float[RoundingColumn.ROWS];
        for (int round = 0; round < 200; round++) {
            for (int r = 0; r < rows; r++) {
                float low = (float) -random.nextDouble(0.01, 3);
                AffineGrid range = AffineGrid.ofRange(low, (float) random.nextDouble(0, 2), scheme);
                boolean turned = symmetric && random.nextBoolean();
                grids[r] = turned ? new AffineGrid(-range.scale(), range.zero(), range.maximum()) : range;
                values[r] = value(random, grids[r]);
            }
            column.take(grids, rows);
            column.codes(values, codes);
            column.errors(values, errors);
            for (int r = 0; r < rows; r++) {
                int code = grids[r].code(values[r]);
                float restored = grids[r].restore(code);
                assertEquals(code, (int) codes[r] + grids[r].zero(), grids[r] + " " + values[r]);
                assertEquals(restored + 0f, column.restored(codes[r], r) + 0f);
                assertEquals(values[r] - restored + 0f, errors[r] + 0f);
            }
        }
    }
}

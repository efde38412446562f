package dev.halftone.core.quantize;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.layout.GptqLayout;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.testing.SyntheticCheckpoint;
import dev.halftone.core.weight.QuantizationScheme;
import java.io.IOException;
import java.nio.file.Path;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TimeEstimateTest {
    private static final QuantizationScheme SCHEME = QuantizationScheme.gptq(4, 32, false);

    @TempDir
    private Path folder;

    @BeforeEach
    void writeTheModel() throws IOException {
        SyntheticCheckpoint.write(folder.resolve("model"), SyntheticCheckpoint.tinyConfig(), DType.BF16, 7);
    }

    private QuantizationPlan plan(WeightQuantizer quantizer, int samples) throws IOException {
        int[] tokens = IntStream.range(0, samples * 16).map(i -> i % 96).toArray();
        Calibration calibration = Calibration.of("text", tokens, samples, 16);
        Recipe recipe = new Recipe(quantizer, SCHEME, GptqLayout.v1(SCHEME));
        try (Checkpoint checkpoint = Checkpoint.open(folder.resolve("model"))) {
            return QuantizationPlan.of(checkpoint, recipe, calibration, Long.MAX_VALUE);
        }
    }

    @Test
    void countsTheOperationsOfTheModel() throws IOException {
        TimeEstimate.Work work = TimeEstimate.Work.of(plan(new MomentsRounding(0.1), 3));

        double weights = 3 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64);
        double attention = 3 * 2 * 48 * 16 * 64;
        assertEquals(2 * 48 * weights, work.linears());
        assertEquals(attention, work.attention());
        assertEquals(3 * 48 * (3 * 64 * 64 + 96 * 96), work.moments());
        assertEquals(4 * weights, work.alone());
        // q, o, gate and down pay for a factor each.
        double factors = 4.0 / 3 * (3 * 64.0 * 64 * 64 + 96.0 * 96 * 96);
        double updates = 64 * 64 * (64 + 32 + 32 + 64 + 96 + 96) + 96 * 96 * 64;
        assertEquals(2 * 3 * 3 * (updates + factors), work.solving(), 1e-6);
        assertEquals(weights, work.weights());
    }

    @Test
    void growsWithTheTextOnlyWhereTheTextMatters() throws IOException {
        TimeEstimate.Work few = TimeEstimate.Work.of(plan(new MomentsRounding(0.1), 2));
        TimeEstimate.Work many = TimeEstimate.Work.of(plan(new MomentsRounding(0.1), 6));

        assertEquals(3, many.linears() / few.linears());
        assertEquals(3, many.attention() / few.attention());
        assertEquals(3, many.moments() / few.moments());
        assertEquals(few.solving(), many.solving());
        assertEquals(few.together(), many.together());
    }

    @Test
    void measuresTheBackendThatItIsGiven() throws IOException {
        try (Backend backend = new ReferenceBackend()) {
            TimeEstimate watching = TimeEstimate.of(plan(new MomentsRounding(0.1), 2), backend);
            assertTrue(watching.forward() > 0 && watching.moments() > 0 && watching.codes() > 0, watching.toString());
            assertEquals(
                    watching.forward() + watching.moments() + watching.codes() + watching.bytes(), watching.total());

            TimeEstimate rounding = TimeEstimate.of(plan(new RoundToNearest(), 2), backend);
            assertEquals(0, rounding.forward());
            assertEquals(0, rounding.moments());
            assertTrue(rounding.codes() > 0 && rounding.bytes() > 0, rounding.toString());
        }
    }
}

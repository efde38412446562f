package dev.halftone.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.Llama;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.testing.SyntheticCheckpoint;
import dev.halftone.core.weight.QuantizationScheme;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SensitivityTest {
    @TempDir
    private Path folder;

    private final Backend backend = new ReferenceBackend();
    private final int[] tokens = IntStream.range(0, 48).map(i -> i * 31 % 96).toArray();

    @Test
    void measuresEverySiteAtEverySchemeAndLeavesTheModelAsItWas() throws IOException {
        SyntheticCheckpoint.write(folder.resolve("model"), SyntheticCheckpoint.tinyConfig(), DType.F32, 3);
        List<QuantizationScheme> schemes = List.of(
                QuantizationScheme.gptq(2, 32, true),
                QuantizationScheme.gptq(4, 32, true),
                QuantizationScheme.gptq(8, 32, true));
        Windows windows = Windows.of(tokens, 24, 2);
        try (Checkpoint checkpoint = Checkpoint.open(folder.resolve("model"));
                Llama llama = Llama.load(checkpoint, backend);
                Llama untouched = Llama.load(checkpoint, backend)) {
            List<Integer> told = new ArrayList<>();
            List<Sensitivity> measured = Sensitivity.measure(
                    llama, LinearWeights.of(checkpoint), windows, schemes, (done, all) -> told.add(all - done));

            int sites = llama.config().layers() * InputSite.values().length;
            assertEquals(sites, measured.size());
            assertEquals(sites * schemes.size(), told.size());
            assertEquals(0, told.getLast());
            for (Sensitivity part : measured) {
                assertTrue(part.divergences().get(0) > part.divergences().get(1), part.toString());
                assertTrue(part.divergences().get(1) > part.divergences().get(2), part.toString());
                assertTrue(part.divergences().get(2) > 0, part.toString());
            }
            assertEquals(0, Divergence.between(untouched, llama, windows).meanDivergence());
        }
    }
}

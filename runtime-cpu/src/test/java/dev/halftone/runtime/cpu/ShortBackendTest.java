package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.BackendContract;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.CodedWeight;
import dev.halftone.core.weight.Weight;
import org.junit.jupiter.api.BeforeAll;

class ShortBackendTest extends BackendContract {
    @BeforeAll
    static void requireMachineCode() {
        TestBackends.requireMachineCode();
    }

    @Override
    protected Backend open() {
        return TestBackends.openWithoutTiles(2);
    }

    @Override
    protected boolean roundsToShorts(Weight weight, int rows) {
        return rows > CpuLinear.SMALL_ROWS
                && weight instanceof CodedWeight codes
                && codes.activations().equals(ActivationScheme.NONE);
    }
}

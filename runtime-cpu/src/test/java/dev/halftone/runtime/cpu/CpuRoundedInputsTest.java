package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.RoundedInputsContract;

class CpuRoundedInputsTest extends RoundedInputsContract {
    @Override
    protected Backend open() {
        return TestBackends.open(2);
    }
}

package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.BackendContract;

class CpuBackendTest extends BackendContract {
    @Override
    protected Backend open() {
        return TestBackends.open(2);
    }
}

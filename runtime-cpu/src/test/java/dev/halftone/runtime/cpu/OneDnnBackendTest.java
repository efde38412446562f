package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.BackendContract;

/// Float32 by oneDNN owes what the vector kernels owe.
class OneDnnBackendTest extends BackendContract {
    @Override
    protected Backend open() {
        return TestBackends.open(2, ProductMode.ONEDNN);
    }
}

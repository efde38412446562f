package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.model.LlamaParityContract;

class CpuLlamaParityTest extends LlamaParityContract {
    @Override
    protected Backend openBackend() {
        return TestBackends.open(2);
    }
}

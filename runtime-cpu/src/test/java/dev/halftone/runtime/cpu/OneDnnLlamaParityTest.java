package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.model.LlamaParityContract;

class OneDnnLlamaParityTest extends LlamaParityContract {
    @Override
    protected Backend openBackend() {
        return TestBackends.open(2, ProductMode.ONEDNN);
    }
}

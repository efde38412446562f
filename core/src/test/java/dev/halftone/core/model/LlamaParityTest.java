package dev.halftone.core.model;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.ReferenceBackend;

class LlamaParityTest extends LlamaParityContract {
    @Override
    protected Backend openBackend() {
        return new ReferenceBackend();
    }
}

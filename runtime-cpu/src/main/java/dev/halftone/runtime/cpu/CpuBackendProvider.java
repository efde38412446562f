package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.BackendProvider;

/// Offers [CpuBackend] under the name `cpu`. It serves on every machine.
public final class CpuBackendProvider implements BackendProvider {
    @Override
    public String name() {
        return "cpu";
    }

    @Override
    public int priority() {
        return 10;
    }

    @Override
    public String refusal() {
        return null;
    }

    @Override
    public Backend open(int threads) {
        return new CpuBackend(threads);
    }
}

package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.BackendProvider;
import java.util.Map;
import java.util.Set;

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
    public Set<String> settings() {
        return Set.of(ProductMode.SETTING);
    }

    @Override
    public Backend open(int threads, Map<String, String> settings) {
        if (!settings().containsAll(settings.keySet())) {
            throw new IllegalArgumentException("settings " + settings + "; known are " + settings());
        }
        String mode = settings.get(ProductMode.SETTING);
        return new CpuBackend(threads, mode == null ? ProductMode.VECTOR : ProductMode.of(mode));
    }
}

package dev.halftone.cli;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.BackendProvider;
import dev.halftone.runtime.cpu.CpuBackend;
import dev.halftone.runtime.cpu.ProductMode;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.stream.Collectors;

/// The choice of what computes. Providers are discovered; the best one that can serve here is taken, and what was
/// refused and why is told under `-v`. A backend asked for by name is never replaced by another.
final class Backends {
    static final String AUTO = "auto";

    private Backends() {}

    /// All providers, best first.
    static List<BackendProvider> providers() {
        return ServiceLoader.load(BackendProvider.class).stream()
                .map(ServiceLoader.Provider::get)
                .sorted(Comparator.comparingInt(BackendProvider::priority).reversed())
                .toList();
    }

    /// The backend that the options ask for; the caller closes it.
    ///
    /// @param matmul what the user said after `--matmul`, or null
    /// @param usual  what the command takes when that says nothing
    static Backend open(Console console, String matmul, ProductMode usual) {
        return open(console.options().threadCount(), console, matmul, usual);
    }

    /// The same with so many threads.
    static Backend open(int threads, Console console, String matmul, ProductMode usual) {
        BackendProvider provider = choose(console.options().backend, providers(), console);
        Map<String, String> settings = Map.of();
        if (provider.settings().contains(ProductMode.SETTING)) {
            settings = Map.of(ProductMode.SETTING, matmul == null ? usual.word() : matmul);
        } else if (matmul != null) {
            throw Usage.fault("--matmul is for the CPU backend", "--backend cpu, or no --matmul");
        }
        Backend backend = provider.open(threads, settings);
        console.detail("backend: " + backend.description());
        return backend;
    }

    /// What multiplied matrices of many rows on `backend` so far, in one line; null if it has but one way.
    static String products(Backend backend) {
        return backend instanceof CpuBackend cpu ? cpu.products() : null;
    }

    /// @throws HalftoneException if no provider has that name, or it refuses
    static BackendProvider choose(String name, List<BackendProvider> providers, Console console) {
        String known = providers.stream().map(BackendProvider::name).collect(Collectors.joining(", "));
        boolean auto = name.equals(AUTO);
        boolean found = false;
        for (BackendProvider provider : providers) {
            if (!auto && !provider.name().equals(name)) {
                continue;
            }
            found = true;
            String refusal = provider.refusal();
            if (refusal == null) {
                return provider;
            }
            if (!auto) {
                throw new HalftoneException(
                        Kind.RESOURCES,
                        "backend '" + name + "' cannot serve here",
                        refusal,
                        "--backend auto, or halftone doctor");
            }
            console.detail("backend " + provider.name() + " refused: " + refusal);
        }
        if (!auto && !found) {
            throw Usage.fault("backend '" + name + "' is unknown", "--backend auto, or one of: " + known);
        }
        throw new HalftoneException(
                Kind.RESOURCES, "no backend can serve on this machine", "tried: " + known, "halftone doctor");
    }
}

package dev.halftone.cli;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.BackendProvider;
import java.util.Comparator;
import java.util.List;
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
    static Backend open(Console console) {
        return open(console.options().threadCount(), console);
    }

    /// The same with so many threads.
    static Backend open(int threads, Console console) {
        Backend backend = open(console.options().backend, threads, providers(), console);
        console.detail("backend: " + backend.description());
        return backend;
    }

    /// @param threads 0 for the backend's own choice
    /// @throws HalftoneException if no provider has that name, or it refuses
    static Backend open(String name, int threads, List<BackendProvider> providers, Console console) {
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
                return provider.open(threads);
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

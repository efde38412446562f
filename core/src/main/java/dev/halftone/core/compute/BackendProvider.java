package dev.halftone.core.compute;

import java.util.Map;
import java.util.Set;

/// How a runtime module offers its backend; found by [java.util.ServiceLoader].
public interface BackendProvider {
    /// Name by which a user asks for it, such as `cpu`.
    String name();

    /// Higher is tried first when the user asks for none.
    int priority();

    /// Why this backend cannot serve on this machine, in one line; null when it can.
    String refusal();

    /// Names of the settings that [#open] takes, such as `matmul`.
    default Set<String> settings() {
        return Set.of();
    }

    /// @param threads  workers to use, or 0 for the backend's own choice
    /// @param settings values by name; what is left out is the backend's own choice
    /// @throws dev.halftone.core.HalftoneException if a value is unknown or cannot be had here
    /// @throws IllegalArgumentException if a name is not among [#settings]
    /// @throws IllegalStateException if [#refusal] is not null
    Backend open(int threads, Map<String, String> settings);

    /// The same, with every setting the backend's own choice.
    default Backend open(int threads) {
        return open(threads, Map.of());
    }
}

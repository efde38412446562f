package dev.halftone.core.compute;

/// How a runtime module offers its backend; found by [java.util.ServiceLoader].
public interface BackendProvider {
    /// Name by which a user asks for it, such as `cpu`.
    String name();

    /// Higher is tried first when the user asks for none.
    int priority();

    /// Why this backend cannot serve on this machine, in one line; null when it can.
    String refusal();

    /// @param threads workers to use, or 0 for the backend's own choice
    /// @throws IllegalStateException if [#refusal] is not null
    Backend open(int threads);
}

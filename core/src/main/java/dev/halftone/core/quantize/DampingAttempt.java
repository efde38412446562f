package dev.halftone.core.quantize;

/// One try to factor a matrix of moments.
///
/// @param damping share of the mean diagonal that was added to the diagonal
/// @param failure why the factorisation failed, or null if it succeeded
public record DampingAttempt(double damping, String failure) {
    public boolean succeeded() {
        return failure == null;
    }
}

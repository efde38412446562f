package dev.halftone.runtime.cpu;

/// Why oneDNN cannot be used on this machine, in one line.
final class OneDnnUnavailable extends Exception {
    private static final long serialVersionUID = 1L;

    OneDnnUnavailable(String reason) {
        super(reason);
    }

    OneDnnUnavailable(String reason, Throwable cause) {
        super(reason, cause);
    }
}

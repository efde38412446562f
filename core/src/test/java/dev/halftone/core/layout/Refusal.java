package dev.halftone.core.layout;

import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.halftone.core.HalftoneException;
import org.junit.jupiter.api.function.Executable;

/// What a refused call tells its user.
final class Refusal {
    private Refusal() {}

    /// "what | detail"
    static String of(Executable call) {
        HalftoneException refusal = assertThrows(HalftoneException.class, call);
        return refusal.getMessage() + " | " + refusal.detail();
    }
}

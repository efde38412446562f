package dev.halftone.gptq;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.quantize.DampingAttempt;
import java.util.List;
import java.util.stream.Collectors;

/// The moments of a linear's inputs could not be factored with any damping.
public final class IndefiniteMomentsException extends HalftoneException {
    private static final long serialVersionUID = 1L;

    private final transient List<DampingAttempt> attempts;

    IndefiniteMomentsException(String linear, List<DampingAttempt> attempts) {
        super(
                Kind.NUMERICS,
                "no Cholesky factor of the input moments of '" + linear + "'",
                "tried damping "
                        + attempts.stream()
                                .map(attempt -> attempt.damping() + " (" + attempt.failure() + ")")
                                .collect(Collectors.joining(", ")),
                "more or more varied calibration text, or a method without calibration");
        this.attempts = List.copyOf(attempts);
    }

    /// Every damping tried, in order.
    public List<DampingAttempt> attempts() {
        return attempts;
    }
}

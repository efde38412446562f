package dev.halftone.cli;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;

/// Faults of a command line that its parser cannot see.
final class Usage {
    private Usage() {}

    static HalftoneException fault(String what, String remedy) {
        return new HalftoneException(Kind.USAGE, what, null, remedy);
    }
}

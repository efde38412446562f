package dev.halftone.cli;

import dev.halftone.core.tensor.DType;
import java.util.Locale;

/// The option `--cache`.
final class Cached {
    private Cached() {}

    /// How `numbers` is spelled.
    static String word(DType numbers) {
        return numbers.name().toLowerCase(Locale.ROOT);
    }

    /// @param name f32 or f16; null for f32
    /// @throws dev.halftone.core.HalftoneException for any other name
    static DType numbers(String name) {
        return switch (name == null ? "f32" : name) {
            case "f32" -> DType.F32;
            case "f16" -> DType.F16;
            default -> throw Usage.fault("--cache is f32 or f16, found '" + name + "'", "--cache f16");
        };
    }
}

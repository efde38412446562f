package dev.halftone.core.quantize;

import java.util.List;

/// What an interrupted run had finished when another takes it up.
///
/// @param blocks  that are done, from the first on
/// @param linears reports on them
/// @param seconds spent until then
public record Resumption(int blocks, List<LinearReport> linears, double seconds) {
    static final Resumption NOTHING = new Resumption(0, List.of(), 0);

    public Resumption {
        linears = List.copyOf(linears);
    }
}

package dev.halftone.core.quantize;

/// What a run has to do with an earlier one for the same output that did not reach its end.
public enum Resume {
    /// Go on with what it finished, and keep what this run finishes.
    AUTO,
    /// Discard what it finished, and keep what this run finishes.
    FRESH,
    /// Discard what it finished, and keep nothing: less disk, but a run that is stopped was for nothing.
    NEVER
}

package dev.halftone.eval;

/// How long one repetition of a [SpeedTest] took.
///
/// @param firstToken seconds from the first prompt to the choice of the first token after the last one; 0 without
///                   prompts
/// @param generation seconds of all steps after that
public record SpeedSample(double firstToken, double generation) {
    public double seconds() {
        return firstToken + generation;
    }
}

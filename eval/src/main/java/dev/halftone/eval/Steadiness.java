package dev.halftone.eval;

/// When code that a compiler makes faster as it runs may be timed: once two more repetitions in a row brought no more
/// than [#GAIN] over the best before them.
public final class Steadiness {
    /// Less than this share is taken for chance.
    public static final double GAIN = 0.03;

    private static final int QUIET = 2;

    private double best = Double.POSITIVE_INFINITY;
    private int quiet;
    private int repetitions;

    /// Notes how long the next repetition took.
    ///
    /// @return whether it is steady now
    public boolean add(double seconds) {
        repetitions++;
        quiet = seconds < best * (1 - GAIN) ? 0 : quiet + 1;
        best = Math.min(best, seconds);
        return isSteady();
    }

    public boolean isSteady() {
        return quiet >= QUIET;
    }

    public int repetitions() {
        return repetitions;
    }
}

package dev.halftone.core.checkpoint;

/// What to do with the progress that an interrupted run left for the same target. Leftovers without progress are always
/// cleared.
enum Leftovers {
    /// Touch nothing and refuse: this run cannot go on with it, and it may be the work of hours.
    REFUSE,
    KEEP,
    DISCARD
}

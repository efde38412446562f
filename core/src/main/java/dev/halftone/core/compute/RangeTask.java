package dev.halftone.core.compute;

/// Work on the indices `[from, to)` of a range that a pool has split.
@FunctionalInterface
public interface RangeTask {
    void run(int from, int to);
}

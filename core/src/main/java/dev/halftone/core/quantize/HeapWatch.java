package dev.halftone.core.quantize;

/// Keeps the heap as small as the plan says. Large arrays that live for one linear count as old to the collector, and
/// the serial one looks through what is old only when the heap has reached its limit, which is a share of whatever
/// the machine has. So this asks for it, between two steps of a run, when enough has come together.
final class HeapWatch {
    /// So much may come together beside half of what was alive the last time.
    private static final long SLACK = 48L << 20;

    private final Runtime runtime = Runtime.getRuntime();
    private long alive;

    HeapWatch() {
        collect();
    }

    /// To be called when what a step has used is no longer held.
    void look() {
        if (used() > alive + alive / 2 + SLACK) {
            collect();
        }
    }

    private void collect() {
        System.gc();
        alive = used();
    }

    private long used() {
        return runtime.totalMemory() - runtime.freeMemory();
    }
}

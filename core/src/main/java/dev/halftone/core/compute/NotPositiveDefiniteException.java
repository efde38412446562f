package dev.halftone.core.compute;

/// A Cholesky factorisation met a pivot that is not positive.
public final class NotPositiveDefiniteException extends Exception {
    private static final long serialVersionUID = 1L;

    private final int pivot;

    public NotPositiveDefiniteException(int pivot, double value) {
        super("pivot " + pivot + " is " + value);
        this.pivot = pivot;
    }

    /// Index of the first bad pivot.
    public int pivot() {
        return pivot;
    }
}

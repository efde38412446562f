package dev.halftone.core.quantize;

/// Is told how a run goes, always on the thread of the run. An exception thrown from here ends the run, and nothing is
/// published.
public interface QuantizationListener {
    /// Everything that can be checked before work begins has been.
    default void planned(QuantizationPlan plan) {}

    /// A linear is done and written.
    default void quantized(LinearReport linear) {}

    /// @param fraction of the estimated work that is done, from 0 to 1, never falling
    default void progressed(double fraction) {}

    /// The output is in its place.
    default void finished(QuantizationReport report) {}
}

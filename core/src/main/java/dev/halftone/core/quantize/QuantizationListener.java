package dev.halftone.core.quantize;

import java.nio.file.Path;

/// Is told how a run goes, always on the thread of the run. An exception thrown from here ends the run, and nothing is
/// published.
public interface QuantizationListener {
    /// Everything that can be checked before work begins has been.
    default void planned(QuantizationPlan plan) {}

    /// The model was read, every number of it is finite, and work begins.
    default void started() {}

    /// An interrupted run had come so far, and this one goes on from there. Not called if there was none.
    default void resumed(Resumption resumption) {}

    /// What is done so far outlasts this run, however it ends: `blocks` of the model's.
    ///
    /// @param directory where it is kept
    default void kept(int blocks, Path directory) {}

    /// A linear is done and written.
    default void quantized(LinearReport linear) {}

    /// @param fraction of the estimated work that is done, from 0 to 1, never falling
    default void progressed(double fraction) {}

    /// The output is in its place.
    default void finished(QuantizationReport report) {}
}

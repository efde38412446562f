package dev.halftone.cli;

import dev.halftone.core.compute.MachineProbe;
import java.util.Optional;
import java.util.function.DoubleSupplier;

/// The best that plain loops reached.
///
/// @param reading     bytes per second; 0 if the backend cannot tell
/// @param multiplyAdd float operations per second; 0 if the backend cannot tell
record MachineSpeed(double reading, double multiplyAdd) {
    /// Runs each loop over and over for so many seconds, and twice at least.
    static MachineSpeed of(Optional<MachineProbe> probe, double seconds) {
        return probe.map(p -> new MachineSpeed(best(p::readingSpeed, seconds), best(p::multiplyAddSpeed, seconds)))
                .orElse(new MachineSpeed(0, 0));
    }

    private static double best(DoubleSupplier loop, double seconds) {
        long start = System.nanoTime();
        double best = loop.getAsDouble();
        do {
            best = Math.max(best, loop.getAsDouble());
        } while ((System.nanoTime() - start) / 1e9 < seconds);
        return best;
    }

    MachineSpeed best(MachineSpeed other) {
        return new MachineSpeed(Math.max(reading, other.reading), Math.max(multiplyAdd, other.multiplyAdd));
    }
}

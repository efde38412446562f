package dev.halftone.cli;

import dev.halftone.core.compute.MachineProbe;
import java.util.DoubleSummaryStatistics;
import java.util.Optional;
import java.util.function.DoubleSupplier;

/// What plain loops reach, measured again and again between the repetitions of a test: machines that others share go at
/// different speeds from one second to the next, so both sides are means of the same minutes.
final class MachineSpeed {
    private final Optional<MachineProbe> probe;
    private final DoubleSummaryStatistics reading = new DoubleSummaryStatistics();
    private final DoubleSummaryStatistics multiplyAdd = new DoubleSummaryStatistics();

    MachineSpeed(Optional<MachineProbe> probe) {
        this.probe = probe;
    }

    /// Runs each loop over and over for so many seconds, and twice at least.
    void measure(double seconds) {
        probe.ifPresent(loops -> {
            run(loops::readingSpeed, seconds, reading);
            run(loops::multiplyAddSpeed, seconds, multiplyAdd);
        });
    }

    private static void run(DoubleSupplier loop, double seconds, DoubleSummaryStatistics rounds) {
        long start = System.nanoTime();
        double unused = loop.getAsDouble(); // not yet compiled, or its memory no longer in cache
        do {
            rounds.accept(loop.getAsDouble());
        } while ((System.nanoTime() - start) / 1e9 < seconds);
    }

    /// Bytes per second; 0 if the backend cannot tell.
    double reading() {
        return probe.isPresent() ? reading.getAverage() : 0;
    }

    /// Float operations per second; 0 if the backend cannot tell.
    double multiplyAdd() {
        return probe.isPresent() ? multiplyAdd.getAverage() : 0;
    }
}

package dev.halftone.cli;

import java.nio.file.Path;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;

/// Options that every command takes, before or after its name.
final class GlobalOptions {
    @Option(names = "--json", scope = ScopeType.INHERIT, description = "Results as JSON lines on standard output.")
    boolean json;

    @Option(
            names = {"-q", "--quiet"},
            scope = ScopeType.INHERIT,
            description = "Only the result; no progress.")
    boolean quiet;

    @Option(
            names = {"-v", "--verbose"},
            scope = ScopeType.INHERIT,
            description = "Timings, choices, and traces of faults.")
    boolean verbose;

    @Option(names = "--no-color", scope = ScopeType.INHERIT, description = "No colours; also by NO_COLOR.")
    boolean noColor;

    @Option(
            names = "--threads",
            paramLabel = "N",
            scope = ScopeType.INHERIT,
            converter = Counts.Converter.class,
            description = "Worker threads. Default: one per core.")
    Counts threads;

    @Option(
            names = "--backend",
            paramLabel = "NAME",
            scope = ScopeType.INHERIT,
            description = "auto, or one that doctor lists. Default: auto.")
    String backend = Backends.AUTO;

    @Option(
            names = "--log",
            paramLabel = "FILE",
            scope = ScopeType.INHERIT,
            description = "Append all that is told, as JSON lines with times.")
    Path log;

    @Option(
            names = {"-h", "--help"},
            scope = ScopeType.INHERIT,
            usageHelp = true,
            description = "This help.")
    boolean help;

    /// Worker threads of a command that has one pool; 0 for the backend's own choice.
    int threadCount() {
        if (threads != null && threads.values().size() > 1) {
            throw Usage.fault("--threads takes one number here, found " + threads, "halftone bench, for several");
        }
        return threads == null ? 0 : threads.values().getFirst();
    }
}

package dev.halftone.cli;

/// What the command line can do. picocli fills the fields of an implementation, then it runs.
interface Command {
    /// @return exit status
    /// @throws Exception as [Failure#of] understands it
    int run(Console console, Interruption interruption) throws Exception;

    /// What to say when the user stops the run: what is left of it.
    default String stopped() {
        return "stopped";
    }
}

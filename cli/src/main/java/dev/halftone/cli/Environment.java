package dev.halftone.cli;

import java.nio.file.Path;

/// What the launcher and the shell tell about where a command runs.
///
/// @param home        Halftone's own folder, or null when it was not started by the launcher
/// @param terminalOut whether standard output is a terminal
/// @param terminalErr whether standard error is a terminal
/// @param columns     width of the terminal
/// @param color       whether the user's environment allows colours
record Environment(Path home, boolean terminalOut, boolean terminalErr, int columns, boolean color) {
    static Environment ofProcess() {
        String home = System.getProperty("halftone.home");
        String noColor = System.getenv("NO_COLOR");
        return new Environment(
                home == null ? null : Path.of(home),
                Boolean.getBoolean("halftone.terminal.out"),
                Boolean.getBoolean("halftone.terminal.err"),
                Math.max(Integer.getInteger("halftone.columns", 80), 40),
                (noColor == null || noColor.isEmpty()) && !"dumb".equals(System.getenv("TERM")));
    }

    /// Neither terminal nor colours, as in a pipe.
    static Environment plain(Path home) {
        return new Environment(home, false, false, 80, false);
    }
}

package dev.halftone.cli;

import java.io.PrintStream;
import java.util.function.LongSupplier;

/// How far a long step has come, on standard error: one line that is written over on a terminal, a line every ten
/// seconds elsewhere, nothing under `-q`. Closing it removes the line.
final class Progress implements AutoCloseable {
    private static final long TERMINAL_INTERVAL = 100_000_000L;
    private static final long LOG_INTERVAL = 10_000_000_000L;
    private static final int BAR_WIDTH = 12;

    private final Console console;
    private final String label;
    private final boolean terminal;
    private final LongSupplier nanoseconds;
    private final long start;
    private long last;
    private long lastLogged;
    private String line = "";
    private boolean visible;

    Progress(Console console, String label) {
        this(console, label, System::nanoTime);
    }

    Progress(Console console, String label, LongSupplier nanoseconds) {
        this.console = console;
        this.label = label;
        this.nanoseconds = nanoseconds;
        terminal = console.environment().terminalErr();
        start = nanoseconds.getAsLong();
        lastLogged = start;
        // A terminal shows the first step at once; a log waits its ten seconds.
        last = terminal ? start - TERMINAL_INTERVAL : start;
    }

    /// @param done  work done, in the unit of `total`
    /// @param total all the work
    /// @param note  what else to show, such as `layer 4/16`
    void update(double done, double total, String note) {
        long now = nanoseconds.getAsLong();
        double share = total > 0 ? Math.clamp(done / total, 0, 1) : 0;
        if (now - lastLogged >= LOG_INTERVAL) {
            lastLogged = now;
            console.progressed(label, share, (now - start) / 1e9, note);
        }
        if (console.options().quiet) {
            return;
        }
        if (now - last < (terminal ? TERMINAL_INTERVAL : LOG_INTERVAL)) {
            return;
        }
        last = now;
        line = describe(share, (now - start) / 1e9, note);
        if (terminal) {
            show();
        } else {
            PrintStream err = console.err();
            err.println(line);
            err.flush();
        }
    }

    private String describe(double share, double seconds, String note) {
        StringBuilder text = new StringBuilder(label);
        if (terminal) {
            int filled = (int) Math.round(share * BAR_WIDTH);
            text.append(" ▕")
                    .repeat("█", filled)
                    .repeat(" ", BAR_WIDTH - filled)
                    .append('▏');
        }
        text.append(Figures.format(" %.0f %% · ", 100 * share)).append(note);
        text.append(" · ").append(Figures.duration(seconds));
        if (share > 0 && share < 1) {
            text.append(" < ").append(Figures.duration(seconds / share - seconds));
        }
        return text.toString();
    }

    void show() {
        if (terminal && !line.isEmpty()) {
            int columns = console.environment().columns() - 1;
            String fitting = line.length() > columns ? line.substring(0, columns) : line;
            console.err().print("\r" + fitting + "\u001b[K");
            console.err().flush();
            visible = true;
        }
    }

    void hide() {
        if (visible) {
            console.err().print("\r\u001b[K");
            console.err().flush();
            visible = false;
        }
    }

    @Override
    public void close() {
        console.clearProgress();
    }
}

package dev.halftone.cli;

import java.text.MessageFormat;
import java.util.ResourceBundle;

/// Where the platform's loggers end: warnings go to standard error as one line each, the rest nowhere. Found by
/// [java.util.ServiceLoader], so that neither a logging framework nor its configuration is loaded.
public final class Logs extends System.LoggerFinder {
    @Override
    public System.Logger getLogger(String name, Module module) {
        return new Warnings(name);
    }

    private record Warnings(String name) implements System.Logger {
        @Override
        public String getName() {
            return name;
        }

        @Override
        public boolean isLoggable(Level level) {
            return level.getSeverity() >= Level.WARNING.getSeverity() && level != Level.OFF;
        }

        @Override
        public void log(Level level, ResourceBundle bundle, String message, Throwable thrown) {
            if (isLoggable(level)) {
                String cause = thrown == null ? "" : ": " + thrown;
                System.err.println("warning: " + Printable.line(message + cause));
            }
        }

        @Override
        public void log(Level level, ResourceBundle bundle, String format, Object... parameters) {
            if (isLoggable(level)) {
                boolean plain = parameters == null || parameters.length == 0;
                log(level, bundle, plain ? format : MessageFormat.format(format, parameters), (Throwable) null);
            }
        }
    }
}

package dev.halftone.cli;

import java.util.Locale;

/// Numbers as people read them.
final class Figures {
    private Figures() {}

    /// `1.24 GiB`; three significant digits.
    static String bytes(long bytes) {
        String[] units = {"B", "KiB", "MiB", "GiB", "TiB"};
        double value = bytes;
        int unit = 0;
        while (value >= 1023.5 && unit < units.length - 1) {
            value /= 1024;
            unit++;
        }
        return (unit == 0 ? Long.toString(bytes) : significant(value)) + " " + units[unit];
    }

    /// `4.20 M`, `1.24 B`: counts as model cards write them.
    static String count(long count) {
        if (count < 1_000) {
            return Long.toString(count);
        }
        if (count < 999_500) {
            return significant(count / 1e3) + " k";
        }
        return count < 999_500_000 ? significant(count / 1e6) + " M" : significant(count / 1e9) + " B";
    }

    /// `0.8 s`, `41 s`, `3:05`, `1:02:03`.
    static String duration(double seconds) {
        if (seconds < 9.95) {
            return format("%.1f s", seconds);
        }
        long whole = Math.round(seconds);
        if (whole < 60) {
            return whole + " s";
        }
        return whole < 3600
                ? format("%d:%02d", whole / 60, whole % 60)
                : format("%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
    }

    static String significant(double value) {
        return format(value < 9.995 ? "%.2f" : value < 99.95 ? "%.1f" : "%.0f", value);
    }

    /// [String#format] whatever the user's locale.
    static String format(String format, Object... arguments) {
        return String.format(Locale.ROOT, format, arguments);
    }
}

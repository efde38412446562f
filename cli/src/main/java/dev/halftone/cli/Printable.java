package dev.halftone.cli;

/// Text from files, made safe for a terminal: names and templates in a model may hold escape sequences.
final class Printable {
    private Printable() {}

    /// `text` with every control character, line breaks included, and every character that reorders the line written
    /// as an escape.
    static String line(String text) {
        return escape(text, false);
    }

    /// As [#line], but keeps line breaks and tabs: for what a model says.
    static String text(String text) {
        return escape(text, true);
    }

    private static String escape(String text, boolean keepLayout) {
        StringBuilder escaped = null;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            boolean harmless = !Character.isISOControl(c) && !reorders(c) || keepLayout && (c == '\n' || c == '\t');
            if (harmless) {
                if (escaped != null) {
                    escaped.append(c);
                }
                continue;
            }
            if (escaped == null) {
                escaped = new StringBuilder(text.length() + 16).append(text, 0, i);
            }
            switch (c) {
                case '\n' -> escaped.append("\\n");
                case '\r' -> escaped.append("\\r");
                case '\t' -> escaped.append("\\t");
                default -> escaped.append(String.format("\\u%04x", (int) c));
            }
        }
        return escaped == null ? text : escaped.toString();
    }

    /// Bidirectional embeddings, overrides and isolates.
    private static boolean reorders(char c) {
        return c >= '\u202a' && c <= '\u202e' || c >= '\u2066' && c <= '\u2069';
    }
}

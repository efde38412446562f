package dev.halftone.core.checkpoint;

/// Text of unknown origin, made fit for a message.
final class Quoted {
    private static final int LONGEST = 120;

    private Quoted() {}

    /// `text` in quotes, cut to a readable length, its control characters escaped: a tensor name may hold terminal
    /// commands or line breaks that forge a log entry.
    static String of(String text) {
        StringBuilder quoted = new StringBuilder("'");
        for (int i = 0; i < text.length(); i++) {
            if (i == LONGEST) {
                quoted.append("...");
                break;
            }
            char c = text.charAt(i);
            if (Character.isISOControl(c) || Character.getType(c) == Character.FORMAT) {
                quoted.append(String.format("\\u%04x", (int) c));
            } else {
                quoted.append(c);
            }
        }
        return quoted.append('\'').toString();
    }
}

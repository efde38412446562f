package dev.halftone.core.layout;

import dev.halftone.core.checkpoint.MalformedCheckpointException;
import java.nio.file.Path;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/// A regular expression of a configuration, matched from the start of a linear's name.
///
/// @param what what it is to its reader, as in "a dynamic rule"
/// @param file where it stands
record NamePattern(String what, Path file, Pattern pattern) {
    private static final int LONGEST = 10_000;

    /// @throws MalformedCheckpointException if `text` is no regular expression
    static NamePattern of(String text, String what, Path file) {
        if (text.length() > LONGEST) {
            throw new MalformedCheckpointException(
                    file, null, what + " is too long", text.length() + " characters", null);
        }
        try {
            return new NamePattern(what, file, Pattern.compile(text));
        } catch (PatternSyntaxException e) {
            throw new MalformedCheckpointException(
                    file, null, what + " is no regular expression", e.getDescription() + ": " + text, null);
        }
    }

    /// @throws MalformedCheckpointException if the matcher does not come to an end
    boolean matches(String linear) {
        try {
            return pattern.matcher(new Rationed(linear)).lookingAt();
        } catch (RationedException e) {
            throw new MalformedCheckpointException(
                    file,
                    null,
                    what + " takes too long to match",
                    "rule '" + pattern + "' on '" + linear + "'",
                    "simplify the rule");
        }
    }

    private static final class RationedException extends RuntimeException {
        private static final long serialVersionUID = 1L;
    }

    /// A text that can be looked at only so often: a hostile pattern makes the matcher backtrack for ages, and it
    /// cannot be interrupted otherwise.
    private static final class Rationed implements CharSequence {
        private static final int LOOKS = 1_000_000;

        private final String text;
        private int looks;

        Rationed(String text) {
            this.text = text;
        }

        @Override
        public char charAt(int index) {
            if (++looks > LOOKS) {
                throw new RationedException();
            }
            return text.charAt(index);
        }

        @Override
        public int length() {
            return text.length();
        }

        @Override
        public CharSequence subSequence(int start, int end) {
            return text.subSequence(start, end);
        }

        @Override
        public String toString() {
            return text;
        }
    }
}

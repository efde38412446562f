package dev.halftone.core.model;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Spells out in the code of one tag what Jinja and the engine read differently: `not a == b` is `not (a == b)`, a
/// named argument `n=a - 1` is `n=(a - 1)`, and the slice `[::-1]` becomes a filter.
final class TemplateCode {
    private static final String REVERSE = "[::-1]";

    private static final Pattern ARGUMENT_SIGN = Pattern.compile("\\s*=(?!=)");

    private static final int MAXIMUM_DEPTH = 24;

    private enum Part {
        CODE,
        /// Of a `not`.
        OPERAND,
        /// The value of a named argument.
        ARGUMENT
    }

    private final String code;
    private final boolean definesMacro; // the engine reads its defaults itself
    private final StringBuilder settled = new StringBuilder();
    private int position;
    private int allDepth;

    private TemplateCode(String code) {
        this.code = code;
        this.definesMacro = code.startsWith("macro");
    }

    static String settle(String code) {
        TemplateCode run = new TemplateCode(code);
        run.copy(Part.CODE);
        return run.settled.toString();
    }

    /// Copies up to where `part` ends.
    private void copy(Part part) {
        int depth = 0;
        String previous = "";
        while (position < code.length()) {
            char c = code.charAt(position);
            if (c == '\'' || c == '"') {
                quoted(c);
                previous = "";
            } else if (Character.isLetter(c) || c == '_') {
                String word = word();
                if (part == Part.OPERAND && depth == 0 && endsOperand(word)) {
                    return;
                }
                position += word.length();
                settled.append(word);
                if (word.equals("not") && !previous.equals("is") && !nextWordIsIn()) {
                    settled.append(" (");
                    copyInside(Part.OPERAND);
                    settled.append(") ");
                } else if ((depth > 0 || part != Part.CODE) && !definesMacro && passArgumentSign()) {
                    settled.append("=(");
                    copyInside(Part.ARGUMENT);
                    settled.append(')');
                }
                previous = word;
            } else if (code.startsWith(REVERSE, position)) {
                settled.append('|').append(TemplateSource.REVERSED);
                position += REVERSE.length();
            } else {
                if ("([{".indexOf(c) >= 0) {
                    depth++;
                    requireShallow(++allDepth);
                } else if (")]}".indexOf(c) >= 0) {
                    depth--;
                    // What ends an operand is seen again by whoever copies around it.
                    allDepth -= part == Part.CODE || depth >= 0 ? 1 : 0;
                }
                if (part != Part.CODE && (depth < 0 || depth == 0 && (c == ',' || c == ':'))) {
                    return;
                }
                previous = Character.isWhitespace(c) ? previous : "";
                settled.append(c);
                position++;
            }
        }
    }

    private void copyInside(Part part) {
        requireShallow(++allDepth);
        copy(part);
        allDepth--;
    }

    /// Passes over the `=` of a named argument, if there is one.
    private boolean passArgumentSign() {
        Matcher sign = ARGUMENT_SIGN.matcher(code).region(position, code.length());
        if (!sign.lookingAt()) {
            return false;
        }
        position = sign.end();
        return true;
    }

    /// The engine's parser looks ahead at every bracket.
    private static void requireShallow(int depth) {
        if (depth > MAXIMUM_DEPTH) {
            throw new IllegalArgumentException("brackets are nested more than " + MAXIMUM_DEPTH + " deep");
        }
    }

    private static boolean endsOperand(String word) {
        return word.equals("and") || word.equals("or") || word.equals("if") || word.equals("else");
    }

    private String word() {
        int end = position;
        while (end < code.length() && (Character.isLetterOrDigit(code.charAt(end)) || code.charAt(end) == '_')) {
            end++;
        }
        return code.substring(position, end);
    }

    private boolean nextWordIsIn() {
        return code.substring(position).stripLeading().matches("(?s)in\\b.*");
    }

    private void quoted(char quote) {
        int end = position + 1;
        while (end < code.length() && code.charAt(end) != quote) {
            end += code.charAt(end) == '\\' ? 2 : 1;
        }
        end = Math.min(end + 1, code.length());
        settled.append(code, position, end);
        position = end;
    }
}

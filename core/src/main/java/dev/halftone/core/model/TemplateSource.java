package dev.halftone.core.model;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Applies Jinja's rules about the space around tags to the source itself, as transformers sets them: one newline
/// behind a block is dropped (`trim_blocks`), so is the space before a block that begins a line (`lstrip_blocks`), a
/// minus takes all space on its side, a plus takes none; comments go, `\r\n` is `\n`, the last newline goes.
final class TemplateSource {
    /// The filter that stands for the slice `[::-1]`.
    static final String REVERSED = "reversed_slice";

    private static final Pattern OPENING = Pattern.compile("\\{[%{#]");
    private static final Pattern RAW = Pattern.compile("\\{%[-+]?\\s*raw\\s*[-+]?%\\}");
    private static final Pattern END_OF_RAW = Pattern.compile("\\{%([-+]?)\\s*endraw\\s*([-+]?)%\\}");

    private final String source;
    private final StringBuilder plain = new StringBuilder();
    private boolean stripNext; // all space at the beginning of the next text
    private boolean trimNext; // one newline there

    private TemplateSource(String source) {
        this.source = source;
    }

    /// The source with all that settled, so that an engine need only copy text.
    ///
    /// @throws IllegalArgumentException if a tag does not end
    static String settle(String template) {
        String unix = template.replace("\r\n", "\n").replace('\r', '\n');
        TemplateSource source = new TemplateSource(unix.endsWith("\n") ? unix.substring(0, unix.length() - 1) : unix);
        source.run();
        return source.plain.toString();
    }

    private void run() {
        int position = 0;
        Matcher opening = OPENING.matcher(source);
        Matcher raw = RAW.matcher(source);
        while (opening.find(position)) {
            int start = opening.start();
            if (raw.find(start) && raw.start() == start) {
                position = raw(position, start, raw.end());
            } else {
                int end = end(start);
                boolean comment = source.charAt(start + 1) == '#';
                tag(position, start, end, !comment, source.charAt(start + 1) != '{');
                position = end;
            }
        }
        text(source.substring(position), false, false);
    }

    /// @param block whether the rules for blocks apply: to tags and comments, not to expressions
    private void tag(int position, int start, int end, boolean keep, boolean block) {
        String inside = source.substring(start + 2, end - 2);
        char before = inside.isEmpty() ? ' ' : inside.charAt(0);
        boolean opens = before == '-' || before == '+';
        inside = opens ? inside.substring(1) : inside;
        char after = inside.isEmpty() ? ' ' : inside.charAt(inside.length() - 1);
        boolean closes = after == '-' || after == '+';
        inside = closes ? inside.substring(0, inside.length() - 1) : inside;
        text(source.substring(position, start), before == '-', block && !opens);
        if (keep) {
            plain.append(source, start, start + 2).append(' ');
            plain.append(TemplateCode.settle(inside.strip())).append(' ').append(source, end - 2, end);
        }
        stripNext = after == '-';
        trimNext = block && !closes;
    }

    /// The body is text, whose beginning the opening tag trims and whose end the closing tag strips.
    private int raw(int position, int start, int bodyStart) {
        Matcher close = END_OF_RAW.matcher(source);
        if (!close.find(bodyStart)) {
            throw new IllegalArgumentException("'{% raw %}' without '{% endraw %}'");
        }
        tag(position, start, bodyStart, false, true);
        text(
                source.substring(bodyStart, close.start()),
                close.group(1).equals("-"),
                close.group(1).isEmpty());
        stripNext = close.group(2).equals("-");
        trimNext = close.group(2).isEmpty();
        return close.end();
    }

    private void text(String text, boolean stripEnd, boolean stripLine) {
        int from = 0;
        int to = text.length();
        if (stripNext) {
            while (from < to && Character.isWhitespace(text.charAt(from))) {
                from++;
            }
        } else if (trimNext && text.startsWith("\n")) {
            from = 1;
        }
        if (stripEnd) {
            while (to > from && Character.isWhitespace(text.charAt(to - 1))) {
                to--;
            }
        } else if (stripLine) {
            to = endWithoutIndent(text, from, to);
        }
        // A brace that is text must not make a tag with what follows it.
        plain.append(text.substring(from, to).replace("{", "{{ '{' }}"));
        stripNext = false;
        trimNext = false;
    }

    /// Spaces and tabs before a block go if nothing else stands before it on its line.
    private int endWithoutIndent(String text, int from, int to) {
        int end = to;
        while (end > 0 && (text.charAt(end - 1) == ' ' || text.charAt(end - 1) == '\t')) {
            end--;
        }
        boolean beginsLine = end == 0 ? plain.isEmpty() : text.charAt(end - 1) == '\n';
        return beginsLine ? Math.max(from, end) : to;
    }

    /// The end of the tag at `start`, quoted texts inside it passed over.
    private int end(int start) {
        char kind = source.charAt(start + 1);
        if (kind == '#') {
            int end = source.indexOf("#}", start + 2);
            if (end < 0) {
                throw new IllegalArgumentException("a comment does not end");
            }
            return end + 2;
        }
        char closing = kind == '%' ? '%' : '}';
        int depth = 0;
        for (int i = start + 2; i + 1 < source.length(); i++) {
            char c = source.charAt(i);
            if (c == '\'' || c == '"') {
                i = endOfQuote(i);
            } else if (depth == 0 && c == closing && source.charAt(i + 1) == '}') {
                return i + 2;
            } else if (c == '{') {
                depth++;
            } else if (c == '}') {
                depth--;
            }
        }
        throw new IllegalArgumentException("'" + source.substring(start, start + 2) + "' without an end");
    }

    private int endOfQuote(int start) {
        for (int i = start + 1; i < source.length(); i++) {
            if (source.charAt(i) == '\\') {
                i++;
            } else if (source.charAt(i) == source.charAt(start)) {
                return i;
            }
        }
        throw new IllegalArgumentException("a quoted text does not end");
    }
}

package dev.halftone.core.model;

import java.math.BigDecimal;
import java.util.Collection;
import java.util.Iterator;
import java.util.Map;
import java.util.TreeMap;

/// Values as Python writes them: templates are made for it, and models were trained on what it wrote.
final class PythonText {
    /// A small template can build a list that holds itself many times over.
    private static final int MAXIMUM_LENGTH = 1 << 24;

    private final StringBuilder text = new StringBuilder();
    private final int indent; // -1: one line
    private final boolean json;
    private final boolean sortKeys;
    private final boolean ascii;

    private PythonText(int indent, boolean json, boolean sortKeys, boolean ascii) {
        this.indent = indent;
        this.json = json;
        this.sortKeys = sortKeys;
        this.ascii = ascii;
    }

    /// What `str(value)` gives; null is an undefined value and gives nothing.
    static String str(Object value) {
        return switch (value) {
            case null -> "";
            case Boolean truth -> truth ? "True" : "False";
            case Number number -> number(number);
            case Collection<?> list -> repr(list);
            case Map<?, ?> map -> repr(map);
            default -> value.toString();
        };
    }

    private static String repr(Object value) {
        PythonText out = new PythonText(-1, false, false, false);
        out.append(value, 0);
        return out.text.toString();
    }

    /// What `json.dumps(value)` gives.
    ///
    /// @param indent spaces per level, or -1 for one line
    static String json(Object value, int indent, boolean sortKeys, boolean ascii) {
        PythonText out = new PythonText(indent, true, sortKeys, ascii);
        out.append(value, 0);
        return out.text.toString();
    }

    private void append(Object value, int level) {
        if (text.length() > MAXIMUM_LENGTH) {
            throw new TemplateValues.InvalidArgument("a value is longer than " + MAXIMUM_LENGTH + " characters");
        }
        switch (value) {
            case null -> text.append(json ? "null" : "None");
            case Boolean truth -> text.append(json ? truth.toString() : str(truth));
            case Number number -> text.append(number(number));
            case Map<?, ?> map -> appendMap(map, level);
            case Collection<?> list -> appendList(list, level);
            default -> appendText(value.toString());
        }
    }

    private void appendList(Collection<?> list, int level) {
        text.append('[');
        for (Iterator<?> items = list.iterator(); items.hasNext(); ) {
            breakLine(level + 1);
            append(items.next(), level + 1);
            separate(items.hasNext(), level);
        }
        text.append(']');
    }

    private void appendMap(Map<?, ?> map, int level) {
        text.append('{');
        Map<?, ?> ordered = sortKeys ? new TreeMap<>(map) : map;
        for (Iterator<? extends Map.Entry<?, ?>> entries = ordered.entrySet().iterator(); entries.hasNext(); ) {
            Map.Entry<?, ?> entry = entries.next();
            breakLine(level + 1);
            append(entry.getKey(), level + 1);
            text.append(": ");
            append(entry.getValue(), level + 1);
            separate(entries.hasNext(), level);
        }
        text.append('}');
    }

    private void breakLine(int level) {
        if (indent >= 0) {
            text.append('\n').repeat(' ', indent * level);
        }
    }

    private void separate(boolean more, int level) {
        if (!more) {
            breakLine(level);
        } else {
            text.append(indent >= 0 ? "," : ", ");
        }
    }

    private void appendText(String value) {
        // Python prefers the quote that needs no escape.
        char quote = json || value.indexOf('\'') >= 0 && value.indexOf('"') < 0 ? '"' : '\'';
        text.append(quote);
        for (int i = 0; i < value.length(); i++) {
            char c = value.charAt(i);
            switch (c) {
                case '\n' -> text.append("\\n");
                case '\r' -> text.append("\\r");
                case '\t' -> text.append("\\t");
                case '\\' -> text.append("\\\\");
                default -> appendCharacter(c, quote);
            }
        }
        text.append(quote);
    }

    private void appendCharacter(char c, char quote) {
        if (c == quote) {
            text.append('\\').append(c);
        } else if (json && c == '\b') {
            text.append("\\b");
        } else if (json && c == '\f') {
            text.append("\\f");
        } else if (json && (c < ' ' || ascii && c > '~')) {
            text.append(String.format("\\u%04x", (int) c));
        } else if (!json && (c < ' ' || c == 0x7F)) {
            text.append(String.format("\\x%02x", (int) c));
        } else {
            text.append(c);
        }
    }

    /// Whole numbers as they are; others with the fewest digits, and an exponent where Python has one.
    static String number(Number number) {
        if (!(number instanceof Double) && !(number instanceof Float) && !(number instanceof BigDecimal)) {
            return number.toString();
        }
        double value = number.doubleValue();
        if (Double.isNaN(value) || Double.isInfinite(value)) {
            return Double.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
        }
        double size = Math.abs(value);
        if (size != 0 && (size < 1e-4 || size >= 1e16)) {
            String[] parts = Double.toString(value).split("E");
            int exponent = Integer.parseInt(parts[1]);
            String digits = parts[0].endsWith(".0") ? parts[0].substring(0, parts[0].length() - 2) : parts[0];
            return digits + "e" + (exponent < 0 ? "-" : "+") + String.format("%02d", Math.abs(exponent));
        }
        String plain = new BigDecimal(Double.toString(value)).toPlainString();
        return plain.contains(".") ? plain : plain + ".0";
    }
}

package dev.halftone.cli;

import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Sizes as people type them: `2GB` is two thousand million bytes, as for the makers of disks and other tools of this
/// trade, and `2GiB` is 2 · 1024³.
final class ByteSize {
    private static final Pattern FORM = Pattern.compile("(\\d{1,15}(?:\\.\\d{1,9})?)\\s*([A-Za-z]*)");
    private static final Map<String, Long> UNITS = Map.of(
            "", 1L,
            "b", 1L,
            "kb", 1_000L,
            "mb", 1_000_000L,
            "gb", 1_000_000_000L,
            "kib", 1L << 10,
            "mib", 1L << 20,
            "gib", 1L << 30);

    private ByteSize() {}

    /// @param option that was given the text, for the message
    /// @throws dev.halftone.core.HalftoneException of kind USAGE if it is no size of at least one byte
    static long of(String option, String text) {
        Matcher matcher = FORM.matcher(text.strip());
        Long unit = matcher.matches() ? UNITS.get(matcher.group(2).toLowerCase(Locale.ROOT)) : null;
        if (unit != null) {
            BigDecimal bytes = new BigDecimal(matcher.group(1)).multiply(BigDecimal.valueOf(unit));
            long whole = bytes.setScale(0, RoundingMode.DOWN)
                    .min(BigDecimal.valueOf(Long.MAX_VALUE))
                    .longValue();
            if (whole > 0) {
                return whole;
            }
        }
        throw Usage.fault(option + " must be a size, found '" + text + "'", option + " 2GB");
    }
}

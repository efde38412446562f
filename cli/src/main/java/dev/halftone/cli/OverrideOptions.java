package dev.halftone.cli;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.quantize.SchemeOverride;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/// From `--override` and `--skip` to rules, in the order in which they count.
final class OverrideOptions {
    private static final String EXAMPLE = "--override 'down_proj=bits:8,group:64'";

    private OverrideOptions() {}

    /// @param skips     regular expressions of linears that stay in floating point; they go first
    /// @param overrides as in [#EXAMPLE]
    /// @throws HalftoneException of kind USAGE for what is no such rule
    static List<SchemeOverride> of(List<String> skips, List<String> overrides) {
        List<SchemeOverride> rules = new ArrayList<>();
        for (String skip : skips) {
            rules.add(SchemeOverride.leave(pattern("--skip", skip)));
        }
        for (String override : overrides) {
            rules.add(rule(override));
        }
        return rules;
    }

    private static SchemeOverride rule(String text) {
        // Regular expressions may hold the sign as well; changes do not.
        int sign = text.lastIndexOf('=');
        if (sign < 1) {
            throw Usage.fault("--override is REGEX=CHANGES, found '" + text + "'", EXAMPLE);
        }
        Pattern pattern = pattern("--override", text.substring(0, sign));
        Integer bits = null;
        Integer group = null;
        for (String change : text.substring(sign + 1).split(",", -1)) {
            int colon = change.indexOf(':');
            String name = colon < 0 ? change : change.substring(0, colon);
            String value = colon < 0 ? "" : change.substring(colon + 1);
            if (name.equals("bits") && bits == null) {
                bits = number(text, value);
                if (!SchemeOptions.BITS.contains(bits)) {
                    throw Usage.fault("--override: bits must be 2, 3, 4 or 8, found " + bits, EXAMPLE);
                }
            } else if (name.equals("group") && group == null) {
                group = number(text, value);
                if (group < 1 && group != -1) {
                    throw Usage.fault("--override: group must be positive, or -1, found " + group, EXAMPLE);
                }
            } else {
                throw Usage.fault(
                        "--override changes bits and group, once each; found '" + change + "' in '" + text + "'",
                        EXAMPLE);
            }
        }
        return SchemeOverride.round(pattern, bits, group);
    }

    private static int number(String rule, String value) {
        try {
            return Integer.parseInt(value);
        } catch (NumberFormatException e) {
            throw Usage.fault("--override: '" + value + "' in '" + rule + "' is no whole number", EXAMPLE);
        }
    }

    private static Pattern pattern(String option, String text) {
        try {
            return Pattern.compile(text);
        } catch (PatternSyntaxException e) {
            throw Usage.fault(
                    option + ": '" + text + "' is no regular expression: " + e.getDescription(),
                    option.equals("--skip") ? "--skip 'layers\\.0\\.'" : EXAMPLE);
        }
    }
}

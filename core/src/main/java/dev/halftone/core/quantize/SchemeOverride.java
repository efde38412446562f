package dev.halftone.core.quantize;

import dev.halftone.core.weight.QuantizationScheme;
import java.util.Objects;
import java.util.Optional;
import java.util.regex.Pattern;

/// A rule that some linears are rounded otherwise than the others, or not at all.
///
/// @param pattern   regular expression that is found somewhere in the linear's full name, such as `layers\.0\.`
/// @param bits      null for as many as the others
/// @param groupSize null for that of the others
/// @param dense     left in floating point; `bits` and `groupSize` are null then
public record SchemeOverride(Pattern pattern, Integer bits, Integer groupSize, boolean dense) {
    public SchemeOverride {
        Objects.requireNonNull(pattern);
        if (dense != (bits == null && groupSize == null)) {
            throw new IllegalArgumentException(
                    pattern + ": " + bits + " bits, groups of " + groupSize + ", dense: " + dense);
        }
    }

    /// Rounds the linears that match to other bits or groups.
    public static SchemeOverride round(Pattern pattern, Integer bits, Integer groupSize) {
        return new SchemeOverride(pattern, bits, groupSize, false);
    }

    /// Leaves the linears that match in floating point.
    public static SchemeOverride leave(Pattern pattern) {
        return new SchemeOverride(pattern, null, null, true);
    }

    boolean matches(String linear) {
        return pattern.matcher(linear).find();
    }

    /// What becomes of `usual`; empty for floating point.
    public Optional<QuantizationScheme> apply(QuantizationScheme usual) {
        return dense
                ? Optional.empty()
                : Optional.of(new QuantizationScheme(
                        bits == null ? usual.bits() : bits,
                        groupSize == null ? usual.groupSize() : groupSize,
                        usual.symmetric(),
                        usual.scaleType(),
                        usual.lowestZero()));
    }

    /// As the command line has it.
    @Override
    public String toString() {
        if (dense) {
            return pattern + "=float";
        }
        String change = bits == null ? "" : "bits:" + bits;
        String group = groupSize == null ? "" : "group:" + groupSize;
        return pattern + "=" + change + (change.isEmpty() || group.isEmpty() ? "" : ",") + group;
    }
}

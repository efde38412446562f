package dev.halftone.cli;

import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.weight.QuantizationScheme;
import java.util.Arrays;
import java.util.List;

/// From the words of a command line to a scheme.
final class SchemeOptions {
    /// What the file format holds.
    private static final List<Integer> BITS = List.of(2, 3, 4, 8);

    /// Tried in this order when the user names none.
    private static final List<Integer> USUAL_GROUPS = List.of(128, 64, 32);

    private SchemeOptions() {}

    /// @param groupSize null for the first usual one that divides every linear of the model, or per channel
    static QuantizationScheme scheme(int bits, Integer groupSize, boolean symmetric, LlamaConfig config) {
        if (!BITS.contains(bits)) {
            throw Usage.fault("--bits must be 2, 3, 4 or 8, found " + bits, "--bits 4");
        }
        int group = groupSize == null ? usualGroup(config) : groupSize;
        if (group != QuantizationScheme.PER_CHANNEL && group < 1) {
            throw Usage.fault(
                    "--group-size must be positive, or -1 for one group per output, found " + group,
                    "--group-size 128");
        }
        return QuantizationScheme.gptq(bits, group, symmetric);
    }

    private static int usualGroup(LlamaConfig config) {
        return USUAL_GROUPS.stream()
                .filter(group -> Arrays.stream(InputSite.values()).allMatch(site -> site.width(config) % group == 0))
                .findFirst()
                .orElse(QuantizationScheme.PER_CHANNEL);
    }
}

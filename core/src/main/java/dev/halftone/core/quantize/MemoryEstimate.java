package dev.halftone.core.quantize;

import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.weight.QuantizationScheme;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;

/// Memory that a run needs at its peak, in bytes by purpose, besides the mapped weight files, which the system drops
/// as it likes. Does not depend on the number of layers.
///
/// @param parts in the order in which they are explained
public record MemoryEstimate(SequencedMap<String, Long> parts) {
    public MemoryEstimate {
        parts = Collections.unmodifiableSequencedMap(new LinkedHashMap<>(parts));
    }

    public long total() {
        return parts.values().stream().mapToLong(Long::longValue).sum();
    }

    /// @param transformed whether the float block will be run as well, to choose what to fold into it
    /// @param calibration what will be run through the model, or null for nothing
    static MemoryEstimate of(
            LlamaConfig config,
            List<LinearTask> linears,
            QuantizationScheme scheme,
            boolean transformed,
            Calibration.Facts calibration) {
        SequencedMap<String, Long> parts = new LinkedHashMap<>();
        if (calibration != null) {
            int widest = CalibrationSamples.widest(config);
            long rows = (long) CalibrationSamples.windowsAtOnce(calibration) * calibration.length();
            int queries = config.heads() * config.headSize();
            int keysAndValues = 2 * config.kvHeads() * config.headSize();
            parts.put("calibration activations", 4 * calibration.tokens() * (config.hidden() + widest));
            long pass = 4
                    * rows
                    * (widest + 2L * config.hidden() + 2L * queries + 2L * keysAndValues + 2L * config.intermediate());
            parts.put("forward pass", pass);
            long block = linears.stream()
                    .filter(linear -> linear.layer() == 0)
                    .mapToLong(LinearTask::parameters)
                    .sum();
            parts.put("quantized block", scheme.bits() <= 4 ? block / 2 : block);
            if (transformed) {
                long tokens = FoldSearch.probed(calibration).tokens();
                // A second set of samples and scratch, the float block, and in float32 the linears of one site.
                parts.put("float block", pass + 4 * tokens * (config.hidden() + widest) + 6 * block);
            }
            long square = linears.stream()
                    .mapToLong(linear -> (long) linear.inputs() * linear.inputs())
                    .max()
                    .orElse(0);
            parts.put("moments and their factor", 2 * 4 * square);
        }
        // Codes, twice the packed form, and for methods with feedback a working copy in float32.
        double bytesPerWeight = 1 + 2 * scheme.bits() / 8.0 + (calibration == null ? 0 : 4);
        long largest = linears.stream().mapToLong(LinearTask::parameters).max().orElse(0);
        parts.put("largest linear", (long) (bytesPerWeight * largest));
        return new MemoryEstimate(parts);
    }
}

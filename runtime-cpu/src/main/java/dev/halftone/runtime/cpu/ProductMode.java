package dev.halftone.runtime.cpu;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/// What computes linears over many rows. Few rows and the quantizers' own products are not concerned, and attention and
/// moments only where it is said.
public enum ProductMode {
    /// The kernels of this module, in float32.
    VECTOR,
    /// oneDNN in float32: other sums of the same products.
    ONEDNN,
    /// Weights and activations rounded to bfloat16, where the weights are not float32 themselves: on the tiles of AMX
    /// where the processor has them, which then also compute attention and moments of many tokens, else by oneDNN.
    ONEDNN_BF16,
    /// As [#ONEDNN] where that can be had, else as [#VECTOR]. Nothing is measured, so that a machine computes the same
    /// numbers every time.
    STEADY,
    /// As [#ONEDNN_BF16] where the processor has tiles for it; else codes by inputs rounded to 16 bits where it has
    /// VNNI, and all else as [#STEADY]. Nothing is measured either.
    QUICK,
    /// As [#ONEDNN_BF16] where the processor has tiles for it; else codes by inputs rounded to 16 bits where it has
    /// VNNI, and all else the fastest by a clear factor, measured when first needed.
    AUTO;

    /// The name of this choice among the settings of [CpuBackendProvider].
    public static final String SETTING = "matmul";

    /// How a user writes it, such as `onednn-bf16`.
    public String word() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /// All words, for messages.
    public static String words() {
        return Arrays.stream(values()).map(ProductMode::word).collect(Collectors.joining(", "));
    }

    /// @throws HalftoneException of kind USAGE if there is none of that name
    public static ProductMode of(String word) {
        for (ProductMode mode : values()) {
            if (mode.word().equals(word)) {
                return mode;
            }
        }
        throw new HalftoneException(
                Kind.USAGE,
                "there is no way of multiplying matrices called '" + word + "'",
                "known are " + words(),
                "--matmul " + AUTO.word());
    }
}

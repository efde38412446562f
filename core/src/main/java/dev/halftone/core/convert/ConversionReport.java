package dev.halftone.core.convert;

import java.util.List;

/// What a conversion did to every tensor.
///
/// @param tensors in the order of the output
public record ConversionReport(List<TensorReport> tensors) {
    /// @param name              in the output
    /// @param stored            how it is stored now, such as `Q4_0`, `BF16` or `gptq 4-bit g32 symmetric`
    /// @param largestDifference between a value that was read and the one that the output restores; 0 if it is
    ///     exact
    public record TensorReport(String name, String stored, double largestDifference) {
        public boolean exact() {
            return largestDifference == 0;
        }
    }

    public ConversionReport {
        tensors = List.copyOf(tensors);
    }

    /// True if the output means the very numbers of the input.
    public boolean exact() {
        return tensors.stream().allMatch(TensorReport::exact);
    }

    /// The largest difference of all tensors.
    public double largestDifference() {
        return tensors.stream()
                .mapToDouble(TensorReport::largestDifference)
                .max()
                .orElse(0);
    }
}

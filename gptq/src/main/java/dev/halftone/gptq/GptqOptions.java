package dev.halftone.gptq;

/// Settings of GPTQ besides the scheme.
///
/// @param damping share of the mean diagonal that is added to the diagonal of the moments, in (0, 1]; doubled up to 1
///                if the factorisation fails
/// @param order   of the columns
public record GptqOptions(double damping, ColumnOrder order) {
    /// Damping 0.01 and group-aware order.
    public static final GptqOptions DEFAULT = new GptqOptions(0.01, ColumnOrder.GROUP_AWARE);

    public GptqOptions {
        if (!(damping > 0 && damping <= 1)) {
            throw new IllegalArgumentException("damping must be above 0 and at most 1, found " + damping);
        }
    }

    public GptqOptions withDamping(double newDamping) {
        return new GptqOptions(newDamping, order);
    }

    public GptqOptions withOrder(ColumnOrder newOrder) {
        return new GptqOptions(damping, newOrder);
    }
}

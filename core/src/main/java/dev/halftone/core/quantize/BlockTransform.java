package dev.halftone.core.quantize;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import java.util.List;
import java.util.SortedMap;

/// A rewriting of a float block that leaves what it computes unchanged and makes it easier to round. The inputs of a
/// site are divided channel by channel, the columns of the weights that read them multiplied by the same, and the
/// division is folded into whatever produces the inputs, see [Fold]; so it costs nothing at run time.
///
/// A transform only chooses the divisors. [FoldedBlock] applies them.
public interface BlockTransform {
    /// As the command line and reports call it, such as `awq` or `smoothquant`.
    String name();

    /// Settings for reports and the written configuration.
    SortedMap<String, Object> settings();

    /// Chooses the divisors of one site.
    ///
    /// @param fold    the site, and which of its channels must share a divisor
    /// @param weights of the linears that read the site, in the order of its names; float, `[outputs, width]`
    /// @param seen    inputs of the float block at this site, with details; not modified
    /// @param scheme  that the weights will be rounded to
    /// @return `[fold.producers()]`, positive and finite; null to leave the site alone
    float[] divisors(Fold fold, List<Weight> weights, InputStatistics seen, QuantizationScheme scheme, Backend backend);
}

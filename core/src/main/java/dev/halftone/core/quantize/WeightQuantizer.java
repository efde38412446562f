package dev.halftone.core.quantize;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import java.util.SortedMap;

/// A method that finds integer codes for the weight of one linear.
public interface WeightQuantizer {
    /// As the command line and reports call it, such as `rtn` or `gptq`.
    String name();

    /// Settings of the method besides the scheme, for reports and the written configuration, under the names that
    /// other tools use for them where there are such; values are texts, numbers and truth values.
    SortedMap<String, Object> settings();

    /// Whether [#quantize] must be shown the inputs of the linear. If not, nothing of the model is ever run.
    boolean needsMoments();

    /// Whether the statistics must also hold [InputStatistics#drift], for which the float model is run beside the
    /// quantized one. Only looked at if moments are needed.
    default boolean needsFloatInputs() {
        return false;
    }

    /// Whether the statistics must hold [InputStatistics#outputMoments] instead of the drift where the linear
    /// adds to the hidden states: what it should add so that they become the float model's. Only looked at if
    /// float inputs are needed.
    default boolean needsFloatStates() {
        return false;
    }

    /// Finds the codes of `weight`.
    ///
    /// @param linear     full name, for messages
    /// @param statistics what was seen at the input of this linear, shared by the linears with the same input; null
    ///                   if the method does not need it
    /// @throws dev.halftone.core.HalftoneException of kind NUMERICS if the statistics do not allow the computation;
    ///         never falls back to another method
    Quantized quantize(
            String linear, Weight weight, QuantizationScheme scheme, InputStatistics statistics, Backend backend);
}

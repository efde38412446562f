package dev.halftone.core.quantize;

import dev.halftone.core.layout.PackedLayout;
import dev.halftone.core.weight.QuantizationScheme;
import java.util.List;
import java.util.Objects;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// How a model is to be quantized. Every linear of the decoder blocks is; embedding, head, norms and biases are not.
///
/// @param transforms rewrite each block before its weights are rounded, in this order
/// @param quantizer  finds the codes
/// @param scheme     bits, groups and range of the codes
/// @param layout     how they are stored
public record Recipe(
        List<BlockTransform> transforms, WeightQuantizer quantizer, QuantizationScheme scheme, PackedLayout layout) {
    public Recipe {
        transforms = List.copyOf(transforms);
        Objects.requireNonNull(quantizer);
        Objects.requireNonNull(scheme);
        Objects.requireNonNull(layout);
    }

    /// A quantizer alone.
    public Recipe(WeightQuantizer quantizer, QuantizationScheme scheme, PackedLayout layout) {
        this(List.of(), quantizer, scheme, layout);
    }

    /// Whether the model must be run over a text.
    public boolean needsCalibration() {
        return quantizer.needsMoments() || !transforms.isEmpty();
    }

    /// What the method is called in reports: its steps in order, such as `awq+gptq`.
    public String method() {
        return Stream.concat(transforms.stream().map(BlockTransform::name), Stream.of(quantizer.name()))
                .collect(Collectors.joining("+"));
    }

    /// Settings of all steps; those of a transform begin with its name where two steps have one of the same name.
    public SortedMap<String, Object> settings() {
        SortedMap<String, Object> settings = new TreeMap<>(quantizer.settings());
        for (BlockTransform transform : transforms) {
            transform
                    .settings()
                    .forEach((name, value) ->
                            settings.put(settings.containsKey(name) ? transform.name() + "_" + name : name, value));
        }
        return settings;
    }
}

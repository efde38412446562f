package dev.halftone.core.quantize;

import dev.halftone.core.layout.PackedLayout;
import dev.halftone.core.layout.PackedLayouts;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.Llama;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizationScheme;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// How a model is to be quantized. Every linear of the decoder blocks is, unless an override leaves it out, and the
/// head and the embeddings where that is asked for; norms and biases are not.
///
/// @param transforms rewrite each block before its weights are rounded, in this order
/// @param quantizer  finds the codes
/// @param scheme     bits, groups and range of the codes
/// @param overrides  linears with other schemes; the first that matches counts
/// @param layout     how they are stored
/// @param inputs     how the inputs of every linear of the blocks are rounded when the written model runs
/// @param tables     bits of a code of [Llama#HEAD] and of [Llama#EMBEDDING], which are rounded to nearest; one that is
///                   not named stays in floating point
public record Recipe(
        List<BlockTransform> transforms,
        WeightQuantizer quantizer,
        QuantizationScheme scheme,
        List<SchemeOverride> overrides,
        PackedLayout layout,
        InputRounding inputs,
        SortedMap<String, Integer> tables) {
    /// Under which [#settings] tells of overrides.
    public static final String OVERRIDES = "overrides";

    /// Under which [#settings] tells of head and embeddings.
    public static final Map<String, String> TABLE_BITS =
            Map.of(Llama.HEAD, "head_bits", Llama.EMBEDDING, "embedding_bits");

    public Recipe {
        overrides = List.copyOf(overrides);
        transforms = List.copyOf(transforms);
        Objects.requireNonNull(quantizer);
        Objects.requireNonNull(scheme);
        Objects.requireNonNull(layout);
        Objects.requireNonNull(inputs);
        tables = Collections.unmodifiableSortedMap(new TreeMap<>(tables));
        if (!TABLE_BITS.keySet().containsAll(tables.keySet())) {
            throw new IllegalArgumentException("no tables: " + tables.keySet());
        }
    }

    /// Every linear in one scheme.
    public Recipe(
            List<BlockTransform> transforms,
            WeightQuantizer quantizer,
            QuantizationScheme scheme,
            PackedLayout layout,
            InputRounding inputs) {
        this(transforms, quantizer, scheme, List.of(), layout, inputs, Collections.emptySortedMap());
    }

    /// For inputs that stay in floating point.
    public Recipe(
            List<BlockTransform> transforms,
            WeightQuantizer quantizer,
            QuantizationScheme scheme,
            PackedLayout layout) {
        this(transforms, quantizer, scheme, List.of(), layout, InputRounding.NONE, Collections.emptySortedMap());
    }

    /// A quantizer alone.
    public Recipe(WeightQuantizer quantizer, QuantizationScheme scheme, PackedLayout layout) {
        this(List.of(), quantizer, scheme, layout);
    }

    /// The same, but for some linears.
    public Recipe withOverrides(List<SchemeOverride> some) {
        return new Recipe(transforms, quantizer, scheme, some, layout, inputs, tables);
    }

    /// The same, but with a head of so many bits, or null for one in floating point.
    public Recipe withHeadBits(Integer bits) {
        return withTableBits(Llama.HEAD, bits);
    }

    /// The same, but with embeddings of 8 bits, each row with a scale of its own, or null for floating point.
    public Recipe withEmbeddingBits(Integer bits) {
        return withTableBits(Llama.EMBEDDING, bits);
    }

    private Recipe withTableBits(String table, Integer bits) {
        SortedMap<String, Integer> changed = new TreeMap<>(tables);
        if (bits == null) {
            changed.remove(table);
        } else {
            changed.put(table, bits);
        }
        return new Recipe(transforms, quantizer, scheme, overrides, layout, inputs, changed);
    }

    /// The scheme of a linear; empty if it stays in floating point.
    ///
    /// @param linear full name
    public Optional<QuantizationScheme> schemeOf(String linear) {
        return overrides.stream()
                .filter(override -> override.matches(linear))
                .findFirst()
                .map(override -> override.apply(scheme))
                .orElse(Optional.of(scheme));
    }

    /// The schemes of head and embeddings, where they are quantized: that of the others but for its bits, and with one
    /// scale for each row of the embeddings, which nobody multiplies.
    SortedMap<String, QuantizationScheme> tableSchemes() {
        SortedMap<String, QuantizationScheme> schemes = new TreeMap<>();
        tables.forEach((table, bits) -> {
            boolean rows = table.equals(Llama.EMBEDDING);
            schemes.put(
                    table,
                    new QuantizationScheme(
                            bits,
                            rows ? QuantizationScheme.PER_CHANNEL : scheme.groupSize(),
                            rows || scheme.symmetric(),
                            scheme.scaleType(),
                            scheme.lowestZero()));
        });
        return schemes;
    }

    /// The layout as it stores a linear.
    PackedLayout layoutOf(LinearTask linear) {
        if (linear.isEmbedding()) {
            return PackedLayouts.ofTable(layout.name(), linear.scheme());
        }
        if (linear.isHead()) {
            // Its inputs stay in floating point, whatever becomes of those of the blocks.
            return PackedLayouts.of(layout.name(), linear.scheme(), ActivationScheme.Kind.NONE);
        }
        return linear.scheme().equals(scheme)
                ? layout
                : PackedLayouts.of(layout.name(), linear.scheme(), inputs.kind());
    }

    /// Whether the model must be run over a text.
    public boolean needsCalibration() {
        return quantizer.needsMoments() || !transforms.isEmpty() || inputs.needsCalibration();
    }

    /// Whether the float model must be run beside the quantized one.
    boolean needsFloatTwin() {
        return quantizer.needsMoments() && quantizer.needsFloatInputs();
    }

    /// Whether the linears behind `site` are to put out what makes the hidden states the float model's.
    boolean meansOutputs(InputSite site) {
        return needsFloatTwin() && quantizer.needsFloatStates() && site.addsToStates();
    }

    /// What the method is called in reports: its steps in order, such as `awq+gptq`.
    public String method() {
        return Stream.concat(transforms.stream().map(BlockTransform::name), Stream.of(quantizer.name()))
                .collect(Collectors.joining("+"));
    }

    /// Settings of all steps and of the rounding of inputs; those of a transform begin with its name where two steps
    /// have one of the same name.
    public SortedMap<String, Object> settings() {
        SortedMap<String, Object> settings = new TreeMap<>(quantizer.settings());
        for (BlockTransform transform : transforms) {
            transform
                    .settings()
                    .forEach((name, value) ->
                            settings.put(settings.containsKey(name) ? transform.name() + "_" + name : name, value));
        }
        if (!overrides.isEmpty()) {
            settings.put(
                    OVERRIDES, overrides.stream().map(SchemeOverride::toString).collect(Collectors.joining(" ")));
        }
        tables.forEach((table, bits) -> settings.put(TABLE_BITS.get(table), bits));
        if (inputs.kind() != ActivationScheme.Kind.NONE) {
            settings.put("activations", spelled(inputs.kind()));
        }
        if (inputs.range() != null) {
            settings.put("activation_range", spelled(inputs.range()));
        }
        return settings;
    }

    private static String spelled(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
}

package dev.halftone.core.model;

import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/// The families whose blocks [DecoderBlock] computes, by `model_type`, with what their configurations leave unsaid.
public enum ModelFamily {
    LLAMA("llama", "LlamaForCausalLM", 2048),
    MISTRAL("mistral", "MistralForCausalLM", 131072),
    QWEN2("qwen2", "Qwen2ForCausalLM", 32768),
    QWEN3("qwen3", "Qwen3ForCausalLM", 32768);

    private final String modelType;
    private final String architecture;
    private final int usualContext;

    ModelFamily(String modelType, String architecture, int usualContext) {
        this.modelType = modelType;
        this.architecture = architecture;
        this.usualContext = usualContext;
    }

    /// As `model_type` spells it.
    public String modelType() {
        return modelType;
    }

    /// As `architectures` spells it.
    public String architecture() {
        return architecture;
    }

    /// Context of a configuration that names none.
    int usualContext() {
        return usualContext;
    }

    /// Key/value heads of a configuration that names none.
    int usualKvHeads(int heads) {
        return switch (this) {
            case LLAMA -> heads;
            case MISTRAL -> 8;
            case QWEN2, QWEN3 -> 32;
        };
    }

    /// Head size of a configuration that names none.
    int usualHeadSize(int hidden, int heads) {
        return switch (this) {
            case LLAMA, MISTRAL, QWEN2 -> hidden / heads;
            case QWEN3 -> 128;
        };
    }

    /// The token that begins a text where a configuration names none, if the family has one.
    List<Integer> usualBos() {
        return switch (this) {
            case LLAMA, MISTRAL -> List.of(1);
            case QWEN2, QWEN3 -> List.of();
        };
    }

    /// The token that ends a text where a configuration names none, if the family has one.
    List<Integer> usualEndToken() {
        return switch (this) {
            case LLAMA, MISTRAL -> List.of(2);
            case QWEN2, QWEN3 -> List.of();
        };
    }

    /// Sites whose linears have a bias whatever the configuration says.
    Set<InputSite> alwaysBiased() {
        return switch (this) {
            case QWEN2 -> Set.of(InputSite.ATTENTION_INPUT);
            case LLAMA, MISTRAL, QWEN3 -> Set.of();
        };
    }

    /// Whether `attention_bias` and `mlp_bias` mean something here.
    boolean hasOptionalBias(InputSite site) {
        return switch (this) {
            case LLAMA -> true;
            case QWEN3 -> site == InputSite.ATTENTION_INPUT || site == InputSite.ATTENTION_OUTPUT;
            case MISTRAL, QWEN2 -> false;
        };
    }

    /// Whether queries and keys are normalised per head.
    boolean headNorms() {
        return this == QWEN3;
    }

    static String supported() {
        return Arrays.stream(values())
                .map(family -> family.modelType + " (" + family.architecture + ")")
                .collect(Collectors.joining(", "));
    }
}

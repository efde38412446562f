package dev.halftone.core.model;

import java.util.List;

/// The four places of a block where linears share an input. Quantization observes them, so what they mean stands here
/// as data.
public enum InputSite {
    /// After the first norm; read by q, k and v.
    ATTENTION_INPUT("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    /// The attended values; read by o.
    ATTENTION_OUTPUT("self_attn.o_proj"),
    /// After the second norm; read by gate and up.
    MLP_INPUT("mlp.gate_proj", "mlp.up_proj"),
    /// The gated activation; read by down.
    MLP_OUTPUT("mlp.down_proj");

    private final List<String> linears;

    InputSite(String... linears) {
        this.linears = List.of(linears);
    }

    /// Names of the linears that read this input, inside a block: `self_attn.q_proj`, ...
    public List<String> linears() {
        return linears;
    }

    /// Columns of the input.
    public int width(LlamaConfig config) {
        return switch (this) {
            case ATTENTION_INPUT, MLP_INPUT -> config.hidden();
            case ATTENTION_OUTPUT -> config.heads() * config.headSize();
            case MLP_OUTPUT -> config.intermediate();
        };
    }

    /// Columns of what `linear`, one of [#linears], puts out.
    public int outputs(String linear, LlamaConfig config) {
        return switch (this) {
            case ATTENTION_INPUT ->
                linear.equals("self_attn.q_proj")
                        ? config.heads() * config.headSize()
                        : config.kvHeads() * config.headSize();
            case ATTENTION_OUTPUT, MLP_OUTPUT -> config.hidden();
            case MLP_INPUT -> config.intermediate();
        };
    }

    /// Whether what the linear here puts out is added to the hidden states.
    public boolean addsToStates() {
        return this == ATTENTION_OUTPUT || this == MLP_OUTPUT;
    }

    /// The site whose input `linear` reads.
    ///
    /// @throws IllegalArgumentException if a block has no such linear
    public static InputSite of(String linear) {
        for (InputSite site : values()) {
            if (site.linears.contains(linear)) {
                return site;
            }
        }
        throw new IllegalArgumentException("a block has no linear '" + linear + "'");
    }
}

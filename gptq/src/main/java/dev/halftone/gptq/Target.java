package dev.halftone.gptq;

/// What the outputs of a quantized linear should come near to.
public enum Target {
    /// What the float weight makes of the same inputs, which carry the errors of all linears before.
    SAME_INPUTS,
    /// What the float model has in this place, so that each linear also takes back what it can of the errors before it
    /// ([GPTAQ](https://arxiv.org/abs/2504.02692)); see [FloatTarget].
    FLOAT_OUTPUTS,
    /// The same, and the linears that add to the hidden states also take back how far these have drifted.
    FLOAT_STATES
}

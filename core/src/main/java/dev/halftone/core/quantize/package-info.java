/// How a checkpoint becomes a quantized one: the contract of the methods, what they are shown of the activations, plain
/// rounding, and the one loop over the layers.
package dev.halftone.core.quantize;

/// Packed formats: how a [dev.halftone.core.weight.QuantizedWeight] lies in the tensors of a file.
///
/// A layout knows bytes and configuration keys, neither how codes were found nor how they are multiplied.
/// [LinearWeights] answers for a whole checkpoint, packed or dense.
package dev.halftone.core.layout;

/// Packed formats: how a [dev.halftone.core.weight.QuantizedWeight] lies in the tensors of a file.
///
/// A layout knows bytes and configuration keys, neither how codes were found nor how they are multiplied.
/// [LinearWeights] answers for a whole checkpoint, packed or dense. The blocks of GGUF files are read by [GgufBlocks],
/// filled by rounding in [GgufRounding], and by codes that exist already in [GgufCodes].
package dev.halftone.core.layout;

/// Whole models from one file format to another: names, order of rows, configuration and tokenizer, around the
/// weights that [dev.halftone.core.layout] reads and writes. [Conversion] is the door.
///
/// | Question | Class |
/// |---|---|
/// | which tensor of one format is which of the other? | [ModelTensors] |
/// | what becomes of config.json? | [GgufConfig], [RotaryFactors] |
/// | and of the tokenizer? | [GgufTokenizerReader], [GgufTokenizerWriter], [PreTokenizer], [SentencePieceMerges] |
/// | what did it cost? | [ConversionReport] |
package dev.halftone.core.convert;

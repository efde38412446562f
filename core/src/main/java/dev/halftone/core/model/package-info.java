/// The decoder: what a configuration means, the graph written once over [dev.halftone.core.compute.Backend], and what
/// turns text into tokens, tokens into text and logits into a choice.
///
/// | Question | Class |
/// |---|---|
/// | what does config.json say? | [LlamaConfig] |
/// | how does a token pass through a block? | [DecoderBlock], its sites as data in [InputSite] |
/// | and through the model? | [Llama], with a [Workspace] and a cache of the backend's |
/// | what is the next token? | [Generation], [Sampler] |
/// | text to tokens and back? | [Tokenizer], [StreamingDecoder] |
/// | a conversation to text? | [ChatTemplate] |
package dev.halftone.core.model;

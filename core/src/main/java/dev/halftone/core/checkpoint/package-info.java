/// A checkpoint is a directory: `config.json`, weights in one or more safetensors files, and whatever else belongs to
/// the model.
///
/// Reading maps every file and checks every header once ([SafetensorsFile], [Checkpoint]); after that a tensor is a
/// view whose bounds are known to be right. Writing plans every header before the first byte ([SafetensorsWriter])
/// and builds the directory beside its target, which appears whole or not at all ([CheckpointWriter]).
///
/// A GGUF file holds a whole model by itself. It is read ([GgufFile]) and written ([GgufWriter]) under the same rules.
package dev.halftone.core.checkpoint;

/// What a model is worth: perplexity, and divergence from the float model.
package dev.halftone.eval;

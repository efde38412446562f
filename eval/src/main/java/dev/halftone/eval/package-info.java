/// What a model is worth: perplexity, divergence from the float model, and speed.
package dev.halftone.eval;

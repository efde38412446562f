/// Room of SmoothQuant: activation outliers moved into the weights, block in, block out.
package dev.halftone.smoothquant;

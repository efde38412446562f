/// Room of AWQ: activation-aware scaling and clipping, block in, block out.
package dev.halftone.awq;

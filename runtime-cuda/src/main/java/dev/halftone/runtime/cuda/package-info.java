/// Room of the CUDA backend: JCuda calls, kernels with their launchers, device memory.
package dev.halftone.runtime.cuda;

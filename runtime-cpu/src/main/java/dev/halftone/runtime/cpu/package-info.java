/// The CPU backend: Vector API kernels and the worker pool.
package dev.halftone.runtime.cpu;

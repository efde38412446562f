/// Machine code for x86-64, written and run by this process: what the Vector API has no operation for, and no compiler
/// but the JVM's is there to make. It knows instructions and memory, and nothing of weights.
package dev.halftone.runtime.cpu.assembly;

package dev.halftone.runtime.cpu.assembly;

/// General registers in the order of their numbers. A function finds its first argument in [#RDI]; it has to restore
/// [#RBX], [#RBP] and [#R12] to [#R15] before it returns.
public enum Register {
    RAX,
    RCX,
    RDX,
    RBX,
    RSP,
    RBP,
    RSI,
    RDI,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15
}

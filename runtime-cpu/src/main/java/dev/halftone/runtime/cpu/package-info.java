/// The CPU backend. [dev.halftone.runtime.cpu.CpuBackend] checks arguments and hands on addresses; everything behind it
/// works on native memory without checks (`-Dhalftone.cpu.checked=true` checks every access).
///
/// - **Layout.** Every right-hand side lies in *strips*: one output (or key, or column) per lane. No kernel sums across
///   lanes, groups of any length are alike, and one bound form serves single rows, few rows and matrix products.
/// - **Few rows** ([dev.halftone.runtime.cpu.SmallProduct]) are bound by reading the weight, four strips far apart side
///   by side. Where the processor sums products of bytes (AVX512-VNNI, and AMX from three rows on) inputs are cut into
///   digits and multiplied by codes as they are, in machine code of our own
///   ([dev.halftone.runtime.cpu.DigitKernels]); elsewhere codes become floats by masking
///   ([dev.halftone.runtime.cpu.WeightForm]).
/// - **Many rows** ([dev.halftone.runtime.cpu.Gemm]), Gram matrices, attention and the factorisation share one register
///   tile ([dev.halftone.runtime.cpu.Kernels#tile]); the first has a larger one in machine code
///   ([dev.halftone.runtime.cpu.ProductTile]).
/// - **Many rows by oneDNN.** Where it is asked for, or measured to be faster
///   ([dev.halftone.runtime.cpu.ManyRows]), linears over many rows are restored a bounded part at a time and multiplied
///   by oneDNN ([dev.halftone.runtime.cpu.PanelProduct]), in float32 or rounded to bfloat16. Its library comes in a jar
///   and is called through `java.lang.foreign`; it computes on our pool's threads, each call on the calling thread
///   alone.
/// - **Many rows on tiles.** Where bfloat16 was chosen and the processor has AMX, linears
///   ([dev.halftone.runtime.cpu.TileProduct]), attention ([dev.halftone.runtime.cpu.TileAttention]) and moments
///   ([dev.halftone.runtime.cpu.TileGram]) share one product of 32 rows in machine code
///   ([dev.halftone.runtime.cpu.BFloat16Tiles]).
/// - **Threads.** Work is split so that every element is computed by the same operations in the same order: results do
///   not depend on the number of threads.
/// - **Kernels** come in the width of the process ([dev.halftone.runtime.cpu.VectorWidth]) or as plain loops. They must
///   stay small: where the compiler stops inlining, a vector becomes an object and the speed falls tenfold. The tests
///   count allocated bytes for that reason.
package dev.halftone.runtime.cpu;

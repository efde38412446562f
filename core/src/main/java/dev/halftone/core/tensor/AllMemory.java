package dev.halftone.core.tensor;

import java.lang.foreign.MemorySegment;

/// The whole address space as one segment, for kernels that address native memory by absolute address: bounds and
/// liveness checks fold away, so a wrong address is a crash. Callers keep the owning arena reachable while they use it.
public final class AllMemory {
    public static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

    private AllMemory() {}
}

package dev.halftone.runtime.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// One product of [OneDnn] with its shape and strides fixed; belongs to it and is closed by it.
final class OneDnnProduct implements AutoCloseable {
    // In the order of a worker's memories.
    private static final int[] ARGUMENTS = {1, 33, 17, 80, 41}; // source, weights, destination, scratch, bias
    private static final int ARGUMENT_BYTES = 16; // an int, padding, a pointer

    private final OneDnn owner;
    private final long primitive;
    private final long[][] memories; // [workers]
    private final long[] arguments; // [workers]
    private final Arena arena = Arena.ofShared();
    private final String implementation;
    private final int rows;
    private final int columns;

    OneDnnProduct(OneDnn owner, long primitive, long[][] memories, String implementation, int rows, int columns) {
        this.owner = owner;
        this.primitive = primitive;
        this.memories = memories;
        this.implementation = implementation;
        this.rows = rows;
        this.columns = columns;
        arguments = new long[memories.length];
        for (int worker = 0; worker < memories.length; worker++) {
            MemorySegment list = arena.allocate((long) memories[worker].length * ARGUMENT_BYTES, JAVA_LONG.byteSize());
            for (int i = 0; i < memories[worker].length; i++) {
                list.set(JAVA_INT, (long) i * ARGUMENT_BYTES, ARGUMENTS[i]);
                list.set(JAVA_LONG, (long) i * ARGUMENT_BYTES + Long.BYTES, memories[worker][i]);
            }
            arguments[worker] = list.address();
        }
    }

    /// Which of oneDNN's kernels computes it, such as `brg_matmul:avx512_core`.
    String implementation() {
        return implementation;
    }

    int rows() {
        return rows;
    }

    int columns() {
        return columns;
    }

    /// Computes on the calling thread alone, as `worker`.
    ///
    /// @param bias first of the columns' addends; 0 if the product takes none
    void run(int worker, long a, long b, long c, long bias) {
        OneDnnLibrary library = owner.library();
        library.setThreads.call(1);
        long[] memory = memories[worker];
        OneDnnLibrary.require(library.setData.call(memory[0], a), "dnnl_memory_set_data_handle");
        OneDnnLibrary.require(library.setData.call(memory[1], b), "dnnl_memory_set_data_handle");
        OneDnnLibrary.require(library.setData.call(memory[2], c), "dnnl_memory_set_data_handle");
        OneDnnLibrary.require(library.setData.call(memory[3], owner.scratch(worker)), "dnnl_memory_set_data_handle");
        if (memory.length == ARGUMENTS.length) {
            OneDnnLibrary.require(library.setData.call(memory[4], bias), "dnnl_memory_set_data_handle");
        }
        OneDnnLibrary.require(
                library.execute.call(primitive, owner.stream(worker), memory.length, arguments[worker]),
                "dnnl_primitive_execute");
    }

    @Override
    public void close() {
        OneDnnLibrary library = owner.library();
        for (long[] memory : memories) {
            for (long one : memory) {
                library.destroyMemory.call(one);
            }
        }
        library.destroyPrimitive.call(primitive);
        arena.close();
    }
}

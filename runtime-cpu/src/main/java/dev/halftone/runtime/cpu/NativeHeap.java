package dev.halftone.runtime.cpu;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.Optional;

/// Memory of the C library. An arena of Java's would write zeros to all of it at once and on one thread; here the
/// kernel hands out zeroed pages as they are first touched, which for weights is when all threads pack them.
final class NativeHeap {
    /// From here on a block is worth pages of two megabytes: fewer to hand out, and fewer to look up in every pass over
    /// the weights.
    private static final long LARGE = 4L << 20;

    private static final long PAGE = 4096;

    /// `MADV_HUGEPAGE` of Linux.
    private static final int HUGE_PAGES = 14;

    private static final Linker LINKER = Linker.nativeLinker();
    private static final SymbolLookup LIBRARY = LINKER.defaultLookup();
    private static final MethodHandle CALLOC = LINKER.downcallHandle(
            LIBRARY.findOrThrow("calloc"),
            FunctionDescriptor.of(ValueLayout.ADDRESS, ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG));
    private static final MethodHandle FREE =
            LINKER.downcallHandle(LIBRARY.findOrThrow("free"), FunctionDescriptor.ofVoid(ValueLayout.ADDRESS));
    private static final Optional<MethodHandle> ADVISE =
            System.getProperty("os.name").equals("Linux")
                    ? LIBRARY.find("madvise")
                            .map(address -> LINKER.downcallHandle(
                                    address,
                                    FunctionDescriptor.of(
                                            ValueLayout.JAVA_INT,
                                            ValueLayout.ADDRESS,
                                            ValueLayout.JAVA_LONG,
                                            ValueLayout.JAVA_INT)))
                    : Optional.empty();

    private NativeHeap() {}

    /// Zeroed, at no particular boundary.
    ///
    /// @throws OutOfMemoryError if there is none
    static MemorySegment allocate(long bytes) {
        try {
            MemorySegment block = (MemorySegment) CALLOC.invokeExact(1L, bytes);
            if (block.address() == 0) {
                throw new OutOfMemoryError("no " + bytes + " bytes of native memory");
            }
            if (bytes >= LARGE && ADVISE.isPresent()) {
                long begin = Math.ceilDiv(block.address(), PAGE) * PAGE;
                long length = (block.address() + bytes - begin) / PAGE * PAGE;
                // Advice: whether it is taken changes no result.
                int unused = (int) ADVISE.get().invokeExact(MemorySegment.ofAddress(begin), length, HUGE_PAGES);
            }
            return block;
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    /// Gives back what [#allocate] handed out.
    static void free(MemorySegment block) {
        try {
            FREE.invokeExact(block);
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }
}

package dev.halftone.runtime.cpu.assembly;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.List;

/// Functions in memory that the processor may execute and nobody may write. They stay for the life of the process.
public final class MachineCode {
    private static final int READ = 1;
    private static final int WRITE = 2;
    private static final int EXECUTE = 4;

    /// `MAP_PRIVATE | MAP_ANONYMOUS` of Linux.
    private static final int OF_ITS_OWN = 0x22;

    /// Functions begin on the boundary of a cache line.
    private static final int BOUNDARY = 64;

    // System call and arguments by which a process asks Linux for tiles.
    private static final long ARCH_PRCTL = 158;
    private static final long REQUEST_STATE = 0x1023;
    private static final long TILES = 18;

    private static final Linker LINKER = Linker.nativeLinker();

    // Critical: a call costs nanoseconds, and the JVM waits for it where it would stop its threads, so a function has
    // to
    // be short.
    private static final MethodHandle CALL =
            LINKER.downcallHandle(FunctionDescriptor.ofVoid(ValueLayout.JAVA_LONG), Linker.Option.critical(false));

    private MachineCode() {}

    /// Makes functions executable.
    ///
    /// @return where each begins
    /// @throws IllegalStateException if the system refuses
    public static MemorySegment[] place(List<byte[]> functions) {
        long bytes = 0;
        for (byte[] function : functions) {
            bytes += Math.ceilDiv(function.length, BOUNDARY) * BOUNDARY;
        }
        MemorySegment block = allocate(bytes);
        MemorySegment[] places = new MemorySegment[functions.size()];
        long offset = 0;
        for (int i = 0; i < places.length; i++) {
            byte[] function = functions.get(i);
            places[i] = block.asSlice(offset, function.length);
            MemorySegment.copy(function, 0, block, ValueLayout.JAVA_BYTE, offset, function.length);
            offset += Math.ceilDiv(function.length, BOUNDARY) * BOUNDARY;
        }
        protect(block);
        return places;
    }

    /// Calls a function of one argument.
    public static void call(MemorySegment function, long argument) {
        try {
            CALL.invokeExact(function, argument);
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    /// Asks the system for the tiles of AMX, for all threads of this process.
    ///
    /// @return whether they may be used
    public static boolean requestTiles() {
        FunctionDescriptor syscall = FunctionDescriptor.of(
                ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG);
        try {
            long status = (long) bind("syscall", syscall, Linker.Option.firstVariadicArg(1))
                    .invokeExact(ARCH_PRCTL, REQUEST_STATE, TILES);
            return status == 0;
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    @SuppressWarnings("restricted") // the block is as long as it was asked for
    private static MemorySegment allocate(long bytes) {
        FunctionDescriptor mmap = FunctionDescriptor.of(
                ValueLayout.ADDRESS,
                ValueLayout.ADDRESS,
                ValueLayout.JAVA_LONG,
                ValueLayout.JAVA_INT,
                ValueLayout.JAVA_INT,
                ValueLayout.JAVA_INT,
                ValueLayout.JAVA_LONG);
        try {
            MemorySegment block = (MemorySegment)
                    bind("mmap", mmap).invokeExact(MemorySegment.NULL, bytes, READ | WRITE, OF_ITS_OWN, -1, 0L);
            if (block.address() == -1) {
                throw new IllegalStateException("the system gives no memory for " + bytes + " bytes of machine code");
            }
            return block.reinterpret(bytes);
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    private static void protect(MemorySegment block) {
        FunctionDescriptor mprotect = FunctionDescriptor.of(
                ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT);
        try {
            int status = (int) bind("mprotect", mprotect).invokeExact(block, block.byteSize(), READ | EXECUTE);
            if (status != 0) {
                throw new IllegalStateException("the system lets no memory be executed");
            }
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    @SuppressWarnings("restricted") // the descriptors are those of the C declarations
    private static MethodHandle bind(String name, FunctionDescriptor descriptor, Linker.Option... options) {
        SymbolLookup library = LINKER.defaultLookup();
        return LINKER.downcallHandle(library.findOrThrow(name), descriptor, options);
    }
}

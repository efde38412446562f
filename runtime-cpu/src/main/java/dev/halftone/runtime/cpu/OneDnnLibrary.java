package dev.halftone.runtime.cpu;

import static dev.halftone.core.tensor.AllMemory.ALL;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandleProxies;
import java.lang.reflect.Method;
import java.nio.file.Path;
import java.util.Arrays;

/// oneDNN's C interface, loaded once per process and never unloaded. Addresses are `long`, statuses are `int` with 0
/// for success; [#require] turns any other into an exception.
final class OneDnnLibrary {
    /// The status of what this processor or version lacks.
    static final int NOT_IMPLEMENTED = 3;

    // What sets dnnl_cpu_isa_avx2_vnni and dnnl_cpu_isa_avx512_core_vnni apart from those without.
    private static final int WITH_AVX2_VNNI = 0x08;
    private static final int WITH_AVX512_VNNI = 0x40;

    // One interface for each shape of function: a handle behind an interface throws nothing that must be caught.
    // Public,
    // because others than public ones cannot stand before a handle.
    public interface Pointer1 {
        int call(long a);
    }

    public interface Pointer2 {
        int call(long a, long b);
    }

    public interface CreateEngine {
        int call(long result, int kind, long index);
    }

    public interface CreateStream {
        int call(long result, long engine, int flags);
    }

    public interface DescribeByStrides {
        int call(long result, int dimensions, long sizes, int type, long strides);
    }

    public interface DescribeByTag {
        int call(long result, int dimensions, long sizes, int type, int tag);
    }

    public interface CreateMemory {
        int call(long result, long descriptor, long engine, long data);
    }

    public interface SetMode {
        int call(long attributes, int mode);
    }

    public interface DescribeProduct {
        int call(long result, long engine, long a, long b, long bias, long c, long attributes);
    }

    public interface QueryDescriptor {
        long call(long primitive, int what, int index);
    }

    public interface QuerySize {
        long call(long descriptor);
    }

    public interface Query {
        int call(long primitive, int what, int index, long result);
    }

    public interface Execute {
        int call(long primitive, long stream, int count, long arguments);
    }

    public interface GetNumber {
        int call();
    }

    public interface GetPointer {
        long call();
    }

    public interface SetThreads {
        void call(int threads);
    }

    final CreateEngine createEngine;
    final Pointer1 destroyEngine;
    final CreateStream createStream;
    final Pointer1 destroyStream;
    final DescribeByStrides describeByStrides;
    final DescribeByTag describeByTag;
    final Pointer1 destroyDescriptor;
    final QuerySize descriptorSize;
    final CreateMemory createMemory;
    final Pointer2 setData;
    final Pointer1 destroyMemory;
    final Pointer1 createAttributes;
    final SetMode setScratchMode;
    final Pointer1 destroyAttributes;
    final DescribeProduct describeProduct;
    final QueryDescriptor queryDescriptor;
    final Query query;
    final Pointer1 destroyProductDescriptor;
    final Pointer2 createPrimitive;
    final Pointer1 destroyPrimitive;
    final Execute execute;

    /// Threads that oneDNN may use when called from this thread.
    final SetThreads setThreads;

    private final GetPointer version;
    private final GetNumber instructions;

    private static OneDnnLibrary loaded;
    private static OneDnnUnavailable refusal;

    private OneDnnLibrary(Path folder) throws OneDnnUnavailable {
        // Its threads first: the name of a loaded library satisfies those that need it.
        SymbolLookup threads = open(folder.resolve(OneDnnFiles.THREADS));
        SymbolLookup library = open(folder.resolve(OneDnnFiles.LIBRARY));
        createEngine = bind(library, "dnnl_engine_create", CreateEngine.class);
        destroyEngine = bind(library, "dnnl_engine_destroy", Pointer1.class);
        createStream = bind(library, "dnnl_stream_create", CreateStream.class);
        destroyStream = bind(library, "dnnl_stream_destroy", Pointer1.class);
        describeByStrides = bind(library, "dnnl_memory_desc_create_with_strides", DescribeByStrides.class);
        describeByTag = bind(library, "dnnl_memory_desc_create_with_tag", DescribeByTag.class);
        destroyDescriptor = bind(library, "dnnl_memory_desc_destroy", Pointer1.class);
        descriptorSize = bind(library, "dnnl_memory_desc_get_size", QuerySize.class);
        createMemory = bind(library, "dnnl_memory_create", CreateMemory.class);
        setData = bind(library, "dnnl_memory_set_data_handle", Pointer2.class);
        destroyMemory = bind(library, "dnnl_memory_destroy", Pointer1.class);
        createAttributes = bind(library, "dnnl_primitive_attr_create", Pointer1.class);
        setScratchMode = bind(library, "dnnl_primitive_attr_set_scratchpad_mode", SetMode.class);
        destroyAttributes = bind(library, "dnnl_primitive_attr_destroy", Pointer1.class);
        describeProduct = bind(library, "dnnl_matmul_primitive_desc_create", DescribeProduct.class);
        queryDescriptor = bind(library, "dnnl_primitive_desc_query_md", QueryDescriptor.class);
        query = bind(library, "dnnl_primitive_desc_query", Query.class);
        destroyProductDescriptor = bind(library, "dnnl_primitive_desc_destroy", Pointer1.class);
        createPrimitive = bind(library, "dnnl_primitive_create", Pointer2.class);
        destroyPrimitive = bind(library, "dnnl_primitive_destroy", Pointer1.class);
        execute = bind(library, "dnnl_primitive_execute", Execute.class);
        instructions = bind(library, "dnnl_get_effective_cpu_isa", GetNumber.class);
        version = bind(library, "dnnl_version", GetPointer.class);
        setThreads = bind(threads, "omp_set_num_threads", SetThreads.class);
    }

    /// The library of this process.
    ///
    /// @throws OneDnnUnavailable if it cannot be loaded here; a second call says the same again
    static synchronized OneDnnLibrary load() throws OneDnnUnavailable {
        if (refusal != null) {
            throw refusal;
        }
        if (loaded == null) {
            try (OneDnnFiles files = OneDnnFiles.unpacked()) {
                loaded = new OneDnnLibrary(files.folder());
            } catch (OneDnnUnavailable problem) {
                refusal = problem;
                throw problem;
            }
        }
        return loaded;
    }

    @SuppressWarnings("restricted") // the library is the one that this module brings
    private static SymbolLookup open(Path file) throws OneDnnUnavailable {
        try {
            return SymbolLookup.libraryLookup(file, Arena.global());
        } catch (IllegalArgumentException problem) {
            throw new OneDnnUnavailable("the system does not load " + file, problem);
        }
    }

    /// The function behind the one method of `type`, whose parameters say what it takes.
    @SuppressWarnings("restricted") // parameters and results are those of the C declarations
    private static <T> T bind(SymbolLookup library, String name, Class<T> type) throws OneDnnUnavailable {
        MemorySegment address = library.find(name).orElse(null);
        if (address == null) {
            throw new OneDnnUnavailable("the library has no function " + name);
        }
        Method method = type.getDeclaredMethods()[0];
        ValueLayout[] parameters = Arrays.stream(method.getParameterTypes())
                .map(OneDnnLibrary::layout)
                .toArray(ValueLayout[]::new);
        FunctionDescriptor descriptor = method.getReturnType() == void.class
                ? FunctionDescriptor.ofVoid(parameters)
                : FunctionDescriptor.of(layout(method.getReturnType()), parameters);
        MethodHandle handle = Linker.nativeLinker().downcallHandle(address, descriptor);
        return MethodHandleProxies.asInterfaceInstance(type, handle);
    }

    private static ValueLayout layout(Class<?> type) {
        return type == long.class ? ValueLayout.JAVA_LONG : JAVA_INT;
    }

    /// Such as `3.11.0`.
    String version() {
        // dnnl_version_t begins with three ints: major, minor, patch.
        long numbers = version.call();
        return ALL.get(JAVA_INT, numbers) + "." + ALL.get(JAVA_INT, numbers + 4) + "." + ALL.get(JAVA_INT, numbers + 8);
    }

    /// Whether it uses AVX-VNNI or AVX512-VNNI here.
    boolean addsBytesExactly() {
        return (instructions.call() & (WITH_AVX2_VNNI | WITH_AVX512_VNNI)) != 0;
    }

    /// @throws IllegalStateException if `status` is not success
    static void require(int status, String call) {
        if (status != 0) {
            throw new IllegalStateException("oneDNN: " + call + " answers " + status + " (" + meaning(status) + ")");
        }
    }

    private static String meaning(int status) {
        return switch (status) {
            case 1 -> "out of memory";
            case 2 -> "invalid arguments";
            case NOT_IMPLEMENTED -> "not implemented";
            case 4 -> "last implementation reached";
            case 5 -> "runtime error";
            case 6 -> "not required";
            default -> "unknown";
        };
    }
}

package dev.halftone.runtime.cpu;

import static dev.halftone.core.tensor.AllMemory.ALL;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/// Matrix products of oneDNN, each computed by one thread alone: the caller's pool stays the only one. A product is
/// described once, by [#multiplyFloat32], [#multiplyBFloat16] or [#multiplyUnsigned8], and then run by any worker on
/// any
/// addresses.
///
/// Describing is for one thread at a time, and not while products run.
final class OneDnn implements AutoCloseable {
    /// What is multiplied into what. The right-hand side lies in blocks of [#BLOCK] columns, one block after
    /// another, the last one padded; a block holds, for every `together` neighbouring rows, the words of its
    /// columns.
    enum Numbers {
        /// Block `[k][64]`.
        FLOAT32(Types.FLOAT32, Types.FLOAT32, Types.FLOAT32, Types.FLOAT32, Types.BLOCKS),
        /// Block `[k / 2][64][2]`; both sides are bfloat16, the sums float32.
        BFLOAT16(Types.BFLOAT16, Types.BFLOAT16, Types.FLOAT32, Types.FLOAT32, Types.BLOCKS_OF_PAIRS),
        /// Block `[k / 4][64][4]`; the left side is unsigned bytes, the right side signed ones, the sums
        /// 32-bit integers. Signed by signed bytes, and addends, are not here because the library adds what
        /// they need in float32.
        UNSIGNED8(Types.UNSIGNED8, Types.SIGNED8, Types.INT32, 0, Types.BLOCKS_OF_FOURS);

        private final int type;
        private final int rightType;
        private final int resultType;
        private final int biasType; // 0 for none
        private final int layout; // of the right-hand side

        /// Bytes of one number of either side.
        final int bytes;

        /// Rows of the right-hand side that share a 32-bit word, the first in its lowest bits.
        final int together;

        /// The depth of a product is padded to a multiple of this, both sides with zeros.
        final int depthStep;

        /// For messages, such as `bfloat16`.
        String word() {
            return name().toLowerCase(Locale.ROOT);
        }

        Numbers(int type, int rightType, int resultType, int biasType, int layout) {
            this.type = type;
            this.rightType = rightType;
            this.resultType = resultType;
            this.biasType = biasType;
            this.layout = layout;
            bytes = type == Types.FLOAT32 ? 4 : type == Types.BFLOAT16 ? 2 : 1;
            together = Integer.BYTES / bytes;
            depthStep = 16 * together;
        }
    }

    /// The library's numbers for types and orders.
    private static final class Types {
        static final int BFLOAT16 = 2;
        static final int FLOAT32 = 3;
        static final int INT32 = 4;
        static final int SIGNED8 = 5;
        static final int UNSIGNED8 = 6;
        static final int BLOCKS = 506; // BA16a64b
        static final int BLOCKS_OF_PAIRS = 384; // BA16a64b2a
        static final int BLOCKS_OF_FOURS = 388; // BA16a64b4a

        private Types() {}
    }

    /// Columns of one block of a right-hand side.
    static final int BLOCK = 64;

    private static final int ENGINE_OF_PROCESSOR = 1;
    private static final int STREAM_IN_ORDER = 1;
    private static final int SCRATCH_OF_CALLER = 1;
    private static final int QUERY_NAME = 8;
    private static final int QUERY_SCRATCH = 136;
    private static final int MOST_PRODUCTS = 512;

    /// What makes one product another; strides are in numbers.
    private record Key(Numbers numbers, int rows, int depth, int columns, long aRow, long cRow) {}

    private final OneDnnLibrary library;
    private final int workers;
    private final Arena arena = Arena.ofShared();
    private final long result; // where functions put what they make
    private final long engine;
    private final long attributes;
    private final long[] streams;
    private final Map<Key, OneDnnProduct> products = new HashMap<>();
    private final Scratch scratch;

    /// @throws OneDnnUnavailable if the library does not load or does not serve this processor
    OneDnn(int workers) throws OneDnnUnavailable {
        library = OneDnnLibrary.load();
        this.workers = workers;
        result = arena.allocate(JAVA_LONG).address();
        scratch = new Scratch(workers);
        int status = library.createEngine.call(result, ENGINE_OF_PROCESSOR, 0);
        if (status != 0) {
            arena.close();
            scratch.close();
            throw new OneDnnUnavailable("it does not serve this processor (dnnl_engine_create answers " + status + ")");
        }
        engine = made();
        OneDnnLibrary.require(library.createAttributes.call(result), "dnnl_primitive_attr_create");
        attributes = made();
        // Memory that the library manages itself would be one block for all threads.
        OneDnnLibrary.require(
                library.setScratchMode.call(attributes, SCRATCH_OF_CALLER), "dnnl_primitive_attr_set_scratchpad_mode");
        streams = new long[workers];
        for (int i = 0; i < workers; i++) {
            OneDnnLibrary.require(library.createStream.call(result, engine, STREAM_IN_ORDER), "dnnl_stream_create");
            streams[i] = made();
        }
    }

    private long made() {
        return ALL.get(JAVA_LONG, result);
    }

    /// Such as `oneDNN 3.11.0`.
    String name() {
        return "oneDNN " + library.version();
    }

    /// `c = a·b + bias`, all of float32; `b` is in the order of [Numbers#FLOAT32].
    ///
    /// @param aRow from one row of `a` to the next, in numbers
    /// @param cRow from one row of `c` to the next, in numbers
    OneDnnProduct multiplyFloat32(int rows, int depth, int columns, long aRow, long cRow) {
        return product(Numbers.FLOAT32, rows, depth, columns, aRow, cRow);
    }

    /// `c = a·b + bias` with `a` and `b` of bfloat16, `b` in the order of [Numbers#BFLOAT16], bias and `c` of float32.
    OneDnnProduct multiplyBFloat16(int rows, int depth, int columns, long aRow, long cRow) {
        return product(Numbers.BFLOAT16, rows, depth, columns, aRow, cRow);
    }

    /// `c = a·b` with `a` of unsigned bytes, `b` of signed ones in the order of [Numbers#UNSIGNED8] and `c` of 32-bit
    /// integers. Exact if [#multiplies] says so; processors that add such products in 16 bits are not.
    OneDnnProduct multiplyUnsigned8(int rows, int depth, int columns, long aRow, long cRow) {
        return product(Numbers.UNSIGNED8, rows, depth, columns, aRow, cRow);
    }

    OneDnnProduct product(Numbers numbers, int rows, int depth, int columns, long aRow, long cRow) {
        assert depth % numbers.depthStep == 0 && aRow >= depth && cRow >= columns;
        Key key = new Key(numbers, rows, depth, columns, aRow, cRow);
        OneDnnProduct known = products.get(key);
        if (known == null) {
            known = describe(key);
            products.put(key, known);
        }
        return known;
    }

    /// Forgets all products if there are too many, those in the caller's hands too: to be called before asking for the
    /// products of one piece of work.
    void trim() {
        if (products.size() > MOST_PRODUCTS) {
            closeProducts();
        }
    }

    /// Whether the library has kernels for these numbers on this processor, other than loops that serve as reference.
    boolean multiplies(Numbers numbers) {
        if (numbers == Numbers.UNSIGNED8 && !library.addsBytesExactly()) {
            return false;
        }
        try {
            int depth = numbers.depthStep;
            return !product(numbers, 16, depth, BLOCK, depth, BLOCK)
                    .implementation()
                    .startsWith("ref");
        } catch (UnsupportedOperationException lacking) {
            return false;
        }
    }

    /// @throws UnsupportedOperationException if the library has nothing for these numbers here
    private OneDnnProduct describe(Key key) {
        // How many threads a product will use is settled when it is made.
        library.setThreads.call(1);
        Numbers numbers = key.numbers;
        long a = matrix(key.rows, key.depth, numbers.type, key.aRow);
        long b = blocks(key.depth, key.columns, numbers.rightType, numbers.layout);
        long bias = numbers.biasType == 0 ? 0 : matrix(1, key.columns, numbers.biasType, key.columns);
        long c = matrix(key.rows, key.columns, numbers.resultType, key.cRow);
        try {
            int status = library.describeProduct.call(result, engine, a, b, bias, c, attributes);
            if (status == OneDnnLibrary.NOT_IMPLEMENTED) {
                throw new UnsupportedOperationException("oneDNN has no product of " + numbers + " for this processor");
            }
            OneDnnLibrary.require(status, "dnnl_matmul_primitive_desc_create");
            return make(key, made(), a, b, bias, c);
        } finally {
            for (long made : new long[] {a, b, c, bias}) {
                if (made != 0) {
                    library.destroyDescriptor.call(made);
                }
            }
        }
    }

    private OneDnnProduct make(Key key, long descriptor, long a, long b, long bias, long c) {
        try {
            OneDnnLibrary.require(library.createPrimitive.call(result, descriptor), "dnnl_primitive_create");
            long primitive = made();
            long work = library.queryDescriptor.call(descriptor, QUERY_SCRATCH, 0);
            scratch.require(Math.ceilDiv(library.descriptorSize.call(work), Float.BYTES));
            long[][] memories = new long[workers][];
            for (int i = 0; i < workers; i++) {
                memories[i] = bias == 0
                        ? new long[] {memory(a), memory(b), memory(c), memory(work)}
                        : new long[] {memory(a), memory(b), memory(c), memory(work), memory(bias)};
            }
            return new OneDnnProduct(this, primitive, memories, implementation(descriptor), key.rows, key.columns);
        } finally {
            library.destroyProductDescriptor.call(descriptor);
        }
    }

    private String implementation(long descriptor) {
        OneDnnLibrary.require(library.query.call(descriptor, QUERY_NAME, 0, result), "dnnl_primitive_desc_query");
        StringBuilder text = new StringBuilder();
        for (long at = made(); ALL.get(JAVA_BYTE, at) != 0; at++) {
            text.append((char) ALL.get(JAVA_BYTE, at));
        }
        return text.toString();
    }

    private long matrix(int rows, int columns, int type, long stride) {
        try (Arena call = Arena.ofConfined()) {
            MemorySegment sizes = call.allocateFrom(JAVA_LONG, rows, columns);
            MemorySegment strides = call.allocateFrom(JAVA_LONG, stride, 1);
            OneDnnLibrary.require(
                    library.describeByStrides.call(result, 2, sizes.address(), type, strides.address()),
                    "dnnl_memory_desc_create_with_strides");
        }
        return made();
    }

    private long blocks(int depth, int columns, int type, int layout) {
        try (Arena call = Arena.ofConfined()) {
            MemorySegment sizes = call.allocateFrom(JAVA_LONG, depth, columns);
            OneDnnLibrary.require(
                    library.describeByTag.call(result, 2, sizes.address(), type, layout),
                    "dnnl_memory_desc_create_with_tag");
        }
        return made();
    }

    private long memory(long descriptor) {
        OneDnnLibrary.require(library.createMemory.call(result, descriptor, engine, 0), "dnnl_memory_create");
        return made();
    }

    OneDnnLibrary library() {
        return library;
    }

    long stream(int worker) {
        return streams[worker];
    }

    long scratch(int worker) {
        return scratch.of(worker);
    }

    private void closeProducts() {
        products.values().forEach(OneDnnProduct::close);
        products.clear();
    }

    @Override
    public void close() {
        closeProducts();
        for (long stream : streams) {
            library.destroyStream.call(stream);
        }
        library.destroyAttributes.call(attributes);
        library.destroyEngine.call(engine);
        scratch.close();
        arena.close();
    }
}

package dev.halftone.core.checkpoint;

import dev.halftone.core.tensor.LittleEndian;
import dev.halftone.core.tensor.Shape;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/// Reads what stands in front of a GGUF file's data and believes nothing of it: no count or length is used before
/// the bytes it promises are known to be in the file, and the places of all tensors together must tile the rest.
/// Whatever passes needs no further check. For one use.
final class GgufParser {
    static final String ALIGNMENT_KEY = "general.alignment";
    static final int MAGIC = 'G' | 'G' << 8 | 'U' << 16 | 'F' << 24;
    static final int USUAL_ALIGNMENT = 32;

    /// Above any vocabulary. Each text takes eight bytes of the file and some thirty of memory.
    static final int MOST_TEXTS = 1 << 22;

    private static final int MOST_TENSORS = 1_000_000;
    private static final int MOST_KEYS = 1 << 16;
    private static final int LONGEST_KEY = (1 << 16) - 1;
    /// What readers reserve for a name, with a terminating zero.
    private static final int LONGEST_NAME = 63;

    private static final int LONGEST_TEXT = 8 << 20;
    private static final int HIGHEST_RANK = 4;
    private static final int LARGEST_ALIGNMENT = 1 << 20;
    private static final String AGAIN = "download the file again, or convert the model again";

    private final Path file;
    private final MemorySegment contents;
    private final List<Entry> entries = new ArrayList<>();
    private long position;
    private int version;

    /// @param begin first byte of the data, counted from the start of the file
    record Entry(GgufSpec spec, long begin) {}

    GgufParser(Path file, MemorySegment contents) {
        this.file = file;
        this.contents = contents;
    }

    int version() {
        return version;
    }

    /// In the order of the data.
    List<Entry> entries() {
        return entries;
    }

    /// @return the metadata
    /// @throws MalformedCheckpointException if anything is wrong
    Map<String, GgufValue> parse() {
        readMagic();
        long tensors = count("tensor count", MOST_TENSORS, 4 + 8 + 4 + 8);
        long keys = count("metadata count", MOST_KEYS, 4 + 8 + 1);
        Map<String, GgufValue> metadata = new LinkedHashMap<>();
        for (long i = 0; i < keys; i++) {
            String key = text("a metadata key", LONGEST_KEY);
            GgufValue value = value(key);
            if (metadata.put(key, value) != null) {
                throw fault("metadata hold the key " + Quoted.of(key) + " twice", null);
            }
        }
        int alignment = alignment(metadata);
        Set<String> names = new HashSet<>();
        for (long i = 0; i < tensors; i++) {
            Entry entry = tensor(alignment);
            if (!names.add(entry.spec().name())) {
                throw fault(entry.spec().name(), "is there twice", null);
            }
            entries.add(entry);
        }
        layOut(alignment);
        return metadata;
    }

    private void readMagic() {
        if (contents.byteSize() < 4 || contents.get(LittleEndian.INT, 0) != MAGIC) {
            SafetensorsFile.refuseImpostor(file, contents);
            throw new MalformedCheckpointException(
                    file,
                    null,
                    contents.byteSize() == 0 ? "file is empty" : "not a GGUF file",
                    "expected the first bytes to spell GGUF",
                    "check the path, or download the file again");
        }
        position = 4;
        version = number("version");
        if (version != 2 && version != 3) {
            boolean swapped = Integer.reverseBytes(version) == 2 || Integer.reverseBytes(version) == 3;
            throw new MalformedCheckpointException(
                    file,
                    null,
                    swapped
                            ? "big-endian GGUF is not supported"
                            : "GGUF version " + Integer.toUnsignedString(version) + " is not supported",
                    "supported: little-endian versions 2 and 3",
                    "convert the model again with a newer tool");
        }
    }

    /// A count of things that take at least `bytesOfEach` bytes.
    private long count(String what, long most, long bytesOfEach) {
        long count = longNumber(what);
        // Division instead of multiplication: a count of 2^60 must not wrap.
        long fitting = Math.min(most, remaining() / bytesOfEach);
        if (count < 0 || count > fitting) {
            throw fault(
                    what + " is " + Long.toUnsignedString(count),
                    remaining() + " bytes follow, enough for " + fitting + " at most");
        }
        return count;
    }

    private long remaining() {
        return contents.byteSize() - position;
    }

    private void need(String what, long bytes) {
        if (bytes > remaining()) {
            throw fault(
                    "file is cut short within " + what,
                    "needs " + bytes + " bytes at " + position + ", file ends at " + contents.byteSize());
        }
    }

    private int number(String what) {
        need(what, 4);
        int value = contents.get(LittleEndian.INT, position);
        position += 4;
        return value;
    }

    private long longNumber(String what) {
        need(what, 8);
        long value = contents.get(LittleEndian.LONG, position);
        position += 8;
        return value;
    }

    private String text(String what, int longest) {
        long length = longNumber("the length of " + what);
        if (length < 0 || length > longest) {
            throw fault(
                    what + " is " + Long.toUnsignedString(length) + " bytes long", "at most " + longest + " are read");
        }
        need(what, length);
        byte[] bytes = contents.asSlice(position, length).toArray(ValueLayout.JAVA_BYTE);
        position += length;
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(bytes))
                    .toString();
        } catch (CharacterCodingException e) {
            throw fault(what + " is not UTF-8", e.getMessage());
        }
    }

    private GgufValueType valueType(String key) {
        int id = number("the type of " + Quoted.of(key));
        return GgufValueType.of(id)
                .orElseThrow(() -> fault(
                        "metadata key " + Quoted.of(key) + " has the unknown type " + Integer.toUnsignedString(id),
                        "expected 0 to " + (GgufValueType.values().length - 1)));
    }

    private GgufValue value(String key) {
        GgufValueType type = valueType(key);
        return switch (type) {
            case TEXT -> new GgufValue.Text(text("the value of " + Quoted.of(key), LONGEST_TEXT));
            case ARRAY -> array(key);
            case BOOL -> {
                long flag = numbers(key, type, 1).data().get(ValueLayout.JAVA_BYTE, 0);
                if (flag != 0 && flag != 1) {
                    throw fault("metadata key " + Quoted.of(key) + " is neither true nor false", "found " + flag);
                }
                yield new GgufValue.Flag(flag == 1);
            }
            case U8, I8, U16, I16, U32, I32, U64, I64 ->
                new GgufValue.Whole(type, numbers(key, type, 1).whole(0));
            case F32, F64 -> new GgufValue.Real(type, numbers(key, type, 1).real(0));
        };
    }

    private GgufValue array(String key) {
        GgufValueType element = valueType(key);
        String what = "the length of " + Quoted.of(key);
        return switch (element) {
            case ARRAY ->
                throw fault(
                        "metadata key " + Quoted.of(key) + " is an array of arrays",
                        "supported: arrays of numbers, flags and texts");
            case TEXT -> {
                long count = count(what, MOST_TEXTS, 8);
                List<String> texts = new ArrayList<>((int) count);
                for (long i = 0; i < count; i++) {
                    texts.add(text("a text of " + Quoted.of(key), LONGEST_TEXT));
                }
                yield new GgufValue.Texts(texts);
            }
            case U8, I8, U16, I16, U32, I32, U64, I64, F32, F64, BOOL ->
                numbers(key, element, count(what, Long.MAX_VALUE, element.bytes()));
        };
    }

    private GgufValue.Numbers numbers(String key, GgufValueType element, long count) {
        long bytes = Math.multiplyExact(count, (long) element.bytes());
        need("the value of " + Quoted.of(key), bytes);
        MemorySegment data = contents.asSlice(position, bytes);
        position += bytes;
        return new GgufValue.Numbers(element, data);
    }

    private int alignment(Map<String, GgufValue> metadata) {
        GgufValue value = metadata.get(ALIGNMENT_KEY);
        if (value == null) {
            return USUAL_ALIGNMENT;
        }
        long alignment = value instanceof GgufValue.Whole whole ? whole.value() : -1;
        if (alignment < 1 || alignment > LARGEST_ALIGNMENT || Long.bitCount(alignment) != 1) {
            throw fault(
                    ALIGNMENT_KEY + " cannot be used",
                    "found " + (value instanceof GgufValue.Whole ? alignment : value.type())
                            + ", expected a power of two up to " + LARGEST_ALIGNMENT);
        }
        return (int) alignment;
    }

    /// @return an entry whose begin is still counted from the start of the data, and not known to fit the file
    private Entry tensor(int alignment) {
        String name = text("a tensor name", LONGEST_NAME);
        int rank = number("the rank of tensor " + Quoted.of(name));
        if (rank < 0 || rank > HIGHEST_RANK) {
            throw fault(name, "has " + Integer.toUnsignedString(rank) + " axes", "expected at most " + HIGHEST_RANK);
        }
        Long[] sizes = new Long[rank];
        for (int axis = 0; axis < rank; axis++) {
            long size = longNumber("the shape of tensor " + Quoted.of(name));
            if (size < 1) {
                throw fault(name, "has an axis of " + Long.toUnsignedString(size), "expected 1 to " + Long.MAX_VALUE);
            }
            // The file lists the innermost axis first.
            sizes[rank - 1 - axis] = size;
        }
        GgufSpec spec = spec(name, new Shape(Arrays.asList(sizes)));
        long begin = longNumber("the place of tensor " + Quoted.of(name));
        if (begin < 0 || begin > contents.byteSize()) {
            throw fault(
                    name,
                    "data begin outside of the file",
                    "at " + Long.toUnsignedString(begin) + ", the file has " + contents.byteSize() + " bytes");
        }
        if (begin % alignment != 0) {
            throw fault(name, "data are misaligned", "begin at " + begin + ", no multiple of " + alignment);
        }
        return new Entry(spec, begin);
    }

    private GgufSpec spec(String name, Shape shape) {
        int id = number("the type of tensor " + Quoted.of(name));
        Optional<GgufType> type = GgufType.of(id);
        if (type.isEmpty()) {
            throw new MalformedCheckpointException(
                    file,
                    name,
                    "GGUF type " + Integer.toUnsignedString(id) + " is not supported",
                    "supported: " + Arrays.toString(GgufType.values()),
                    "take a file of the same model in another type, such as Q8_0 or Q4_0");
        }
        long columns = shape.rank() == 0 ? 1 : shape.size(shape.rank() - 1);
        if (columns % type.get().blockElements() != 0) {
            throw fault(
                    name,
                    "rows hold no whole blocks",
                    "rows of " + columns + ", " + type.get() + " has blocks of "
                            + type.get().blockElements());
        }
        GgufSpec spec = new GgufSpec(name, type.get(), shape);
        try {
            if (spec.bytes() > contents.byteSize()) {
                throw fault(
                        name,
                        "data are larger than the file",
                        type.get() + " " + shape + " takes " + spec.bytes() + " bytes, the file has "
                                + contents.byteSize());
            }
        } catch (ArithmeticException e) {
            throw fault(name, "shape overflows", type.get() + " " + shape + " exceeds 63 bits");
        }
        return spec;
    }

    /// Places the entries in the file and sees that they tile it, each at the next aligned byte after the one
    /// before.
    private void layOut(int alignment) {
        long data = align(position, alignment);
        // No two tensors are empty, so two with the same begin overlap.
        entries.sort(Comparator.comparingLong(Entry::begin));
        long covered = 0;
        for (int i = 0; i < entries.size(); i++) {
            Entry entry = entries.get(i);
            String name = entry.spec().name();
            if (entry.begin() < covered) {
                throw fault(
                        name,
                        "data overlap those of tensor "
                                + Quoted.of(entries.get(i - 1).spec().name()),
                        "begins at byte " + entry.begin() + ", the other ends at " + covered);
            }
            if (entry.begin() > align(covered, alignment)) {
                throw fault(
                        name,
                        "a hole lies before the data",
                        "begins at byte " + entry.begin() + ", the data before end at " + covered);
            }
            covered = Math.addExact(entry.begin(), entry.spec().bytes());
            entries.set(i, new Entry(entry.spec(), Math.addExact(data, entry.begin())));
        }
        // A file without tensors may end before the padding.
        long available = Math.max(0, contents.byteSize() - data);
        if (covered > available) {
            throw new MalformedCheckpointException(
                    file,
                    null,
                    "file is cut short",
                    "header declares " + covered + " bytes of data, file has " + available,
                    "download the file again");
        }
        if (available > align(covered, alignment)) {
            throw fault(
                    "file goes on after its last tensor",
                    "header declares " + covered + " bytes of data, file has " + available);
        }
    }

    /// `position` rounded up; cannot overflow, as both are far below 2^62.
    static long align(long position, int alignment) {
        return position + alignment - 1 & -alignment;
    }

    private MalformedCheckpointException fault(String problem, String detail) {
        return fault(null, problem, detail);
    }

    private MalformedCheckpointException fault(String tensor, String problem, String detail) {
        return new MalformedCheckpointException(file, tensor, problem, detail, AGAIN);
    }
}

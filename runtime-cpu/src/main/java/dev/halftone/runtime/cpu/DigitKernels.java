package dev.halftone.runtime.cpu;

import dev.halftone.runtime.cpu.DigitCode.Product;
import dev.halftone.runtime.cpu.DigitCode.Row;
import dev.halftone.runtime.cpu.assembly.MachineCode;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/// Products of codes with inputs as whole numbers of [DigitCode#DIGITS] digits, by the processor's sums of products of
/// bytes (AVX512-VNNI), for which the Vector API has no operation: machine code of our own, written at the start.
///
/// A 4-bit code takes a third of the operations that it takes in floats, so that weights are read as fast as memory
/// gives them. Within a group an input counts as a multiple of `2⁻²³` of the largest one, which is what a float32 sum
/// keeps of it; the sums themselves are exact.
final class DigitKernels {
    /// Set to `false`, the vector kernels serve.
    static final String PROPERTY = "halftone.cpu.machine-code";

    private static final List<String> NEEDED = List.of("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni");
    private static final int LANES = 16;

    /// Bytes of a word's inputs, those of each piece side by side.
    private static final byte[] ORDER = {0, 2, 4, 6, 1, 3, 5, 7, 0, 0, 0, 0, 0, 0, 0, 0};

    /// Largest sum of the products of one group, which has to fit a signed number of 32 bits.
    private static final long MOST = Integer.MAX_VALUE / (255L * 128);

    private static DigitKernels loaded;
    private static String refusal;

    private final MemorySegment[] products; // [form][rows - 1], of DigitCode.strips(rows) strips
    private final MemorySegment[] narrowProducts; // likewise, of one strip
    private final MemorySegment[] largest; // [form]
    private final MemorySegment[] cuts; // [form]
    private final Memory order = Memory.ofBytes(ORDER.length);

    private DigitKernels() {
        List<byte[]> functions = new ArrayList<>();
        WeightForm[] forms = {WeightForm.CODES4, WeightForm.CODES8};
        for (WeightForm form : forms) {
            for (int rows = 1; rows <= DigitCode.ROWS; rows++) {
                functions.add(DigitCode.product(form, rows, DigitCode.strips(rows)));
            }
        }
        for (WeightForm form : forms) {
            for (int rows = 1; rows <= DigitCode.ROWS; rows++) {
                functions.add(DigitCode.product(form, rows, 1));
            }
        }
        for (WeightForm form : forms) {
            functions.add(DigitCode.largest(form));
        }
        for (WeightForm form : forms) {
            functions.add(DigitCode.cut(form));
        }
        MemorySegment[] places = MachineCode.place(functions);
        int count = forms.length * DigitCode.ROWS;
        products = Arrays.copyOfRange(places, 0, count);
        narrowProducts = Arrays.copyOfRange(places, count, 2 * count);
        largest = Arrays.copyOfRange(places, 2 * count, 2 * count + forms.length);
        cuts = Arrays.copyOfRange(places, 2 * count + forms.length, places.length);
        Memory.copyBytes(ORDER, order.address(), ORDER.length);
    }

    /// The kernels of this process, or null where [#refusal] tells why there are none.
    static synchronized DigitKernels load() {
        if (loaded == null && refusal == null) {
            refusal = missing();
            if (refusal == null) {
                try {
                    loaded = new DigitKernels();
                } catch (IllegalStateException problem) {
                    refusal = problem.getMessage();
                }
            }
        }
        return loaded;
    }

    /// What stands in the way of [#load], in one line; null if nothing does.
    static synchronized String refusal() {
        load();
        return refusal;
    }

    private static String missing() {
        if ("false".equals(System.getProperty(PROPERTY))) {
            return "switched off by " + PROPERTY;
        }
        if (!System.getProperty("os.name").equals("Linux") || !System.getProperty("os.arch").equals("amd64")) {
            return "not Linux on x86-64";
        }
        Set<String> flags = new HashSet<>();
        try {
            // What the system lets programs use, too, and not only what the processor has.
            for (String line : Files.readAllLines(Path.of("/proc/cpuinfo"))) {
                if (line.startsWith("flags")) {
                    flags.addAll(List.of(line.substring(line.indexOf(':') + 1).strip().split(" ")));
                    break;
                }
            }
        } catch (IOException problem) {
            return "/proc/cpuinfo cannot be read: " + problem.getMessage();
        }
        List<String> lacking =
                NEEDED.stream().filter(flag -> !flags.contains(flag)).toList();
        return lacking.isEmpty() ? null : "the processor lacks " + String.join(", ", lacking);
    }

    /// Whether they multiply this weight.
    boolean take(PackedWeight weight) {
        return weight.lanes == LANES && weight.form.isCodes() && weight.groupLength <= MOST;
    }

    /// Bytes of the digits of `rows` rows.
    static long digitBytes(PackedWeight weight, int rows) {
        return (long) weight.wordsPerStrip()
                * DigitCode.pieces(weight.form)
                * rows
                * DigitCode.DIGITS
                * Integer.BYTES;
    }

    /// Bytes of the constants of `rows` rows.
    static long constantBytes(PackedWeight weight, int rows) {
        return (long) weight.groups * rows * DigitCode.CONSTANTS * Float.BYTES;
    }

    /// Bytes that [#cut] needs to work in.
    static long scratchBytes(PackedWeight weight) {
        return weight.groups * (2L * DigitCode.width(weight.form).bytes() + Float.BYTES) + Memory.LINE;
    }

    /// Cuts one row into digits.
    ///
    /// @param x         the row in the weight's own order of columns, padded with zeros
    /// @param row       its number among the `rows` of a block
    /// @param digits    of the block, see [#digitBytes]
    /// @param constants of the block, see [#constantBytes]
    /// @param scratch   see [#scratchBytes]
    /// @param arguments room for [DigitCode.Row#COUNT] longs
    void cut(
            PackedWeight weight,
            long x,
            int row,
            int rows,
            long digits,
            long constants,
            long scratch,
            long arguments) {
        int fields = DigitCode.width(weight.form).bytes() / Float.BYTES;
        long inverses = scratch;
        long results = scratch + Math.ceilDiv(weight.groups * Float.BYTES, Memory.LINE) * Memory.LINE;
        long pieceStep = (long) rows * DigitCode.DIGITS * Integer.BYTES;
        int pieces = DigitCode.pieces(weight.form);
        if (Memory.CHECKED) {
            Memory.check(x, (long) weight.paddedInputs() * Float.BYTES);
            Memory.check(digits, digitBytes(weight, rows));
            Memory.check(constants, constantBytes(weight, rows));
            Memory.check(scratch, results - scratch + (long) weight.groups * fields * Double.BYTES);
        }
        put(arguments, Row.INPUTS, x);
        put(arguments, Row.INVERSES, inverses);
        put(arguments, Row.DIGITS, digits + (long) row * DigitCode.DIGITS * Integer.BYTES);
        put(arguments, Row.WORD_STEP, pieces * pieceStep);
        put(arguments, Row.PIECE_STEP, pieceStep);
        put(arguments, Row.WORDS_PER_GROUP, weight.wordsPerGroup());
        put(arguments, Row.GROUPS, weight.groups);
        put(arguments, Row.RESULT, results);
        put(arguments, Row.ORDER, order.address());
        MachineCode.call(largest[weight.form.ordinal()], arguments);
        for (int group = 0; group < weight.groups; group++) {
            int most = 0;
            for (int field = 0; field < fields; field++) {
                most = Math.max(most, Memory.getInt(results + ((long) group * fields + field) * Integer.BYTES));
            }
            Memory.putFloat(inverses + (long) group * Float.BYTES, Digits.inverse(most));
            Digits.constants(most, weight.form.span(), constants(constants, group, rows, row));
        }
        MachineCode.call(cuts[weight.form.ordinal()], arguments);
        for (int group = 0; group < weight.groups; group++) {
            double sum = 0;
            for (int field = 0; field < fields; field++) {
                sum += Memory.getDouble(results + ((long) group * fields + field) * Double.BYTES);
            }
            Digits.total(sum, weight.form.span(), constants(constants, group, rows, row));
        }
    }

    private static long constants(long constants, int group, int rows, int row) {
        return constants + ((long) group * rows + row) * DigitCode.CONSTANTS * Float.BYTES;
    }

    private static void put(long arguments, Row argument, long value) {
        Memory.putLong(arguments + (long) argument.ordinal() * Long.BYTES, value);
    }

    private static void put(long arguments, Product argument, long value) {
        Memory.putLong(arguments + (long) argument.ordinal() * Long.BYTES, value);
    }

    /// Strips `[from, to)` of a block of rows.
    ///
    /// @param rows      1 to [DigitCode#ROWS]
    /// @param y         first output of the first row
    /// @param yRow      bytes from one row of `y` to the next
    /// @param arguments room for [DigitCode.Product#COUNT] longs
    void multiply(
            PackedWeight weight,
            long digits,
            long constants,
            int rows,
            int from,
            int to,
            long y,
            long yRow,
            long arguments) {
        int vector = weight.vectorBytes();
        if (Memory.CHECKED) {
            check(weight, digits, constants, rows, from, to, y, yRow);
        }
        int index = weight.form.ordinal() * DigitCode.ROWS + rows - 1;
        int strips = DigitCode.strips(rows);
        int apart = (to - from) / strips;
        int end = from + apart * strips;
        put(arguments, Product.STRIP_STEP, apart * weight.stripBytes());
        put(arguments, Product.FACTOR_STEP, weight.factors(from + apart) - weight.factors(from));
        put(arguments, Product.CENTRE_STEP, weight.centres(from + apart) - weight.centres(from));
        put(arguments, Product.CENTRE_GROUP_STEP, weight.centreStep());
        put(arguments, Product.DIGITS, digits);
        put(arguments, Product.CONSTANTS, constants);
        put(arguments, Product.WORDS_PER_GROUP, weight.wordsPerGroup());
        put(arguments, Product.GROUPS, weight.groups);
        put(arguments, Product.BIAS_STEP, (long) apart * vector);
        put(arguments, Product.RESULT_STEP, (long) apart * vector);
        put(arguments, Product.RESULT_ROW, yRow);
        for (int strip = from; strip < from + apart; strip++) {
            multiply(products[index], weight, strip, y, arguments);
        }
        for (int strip = end; strip < to; strip++) {
            multiply(narrowProducts[index], weight, strip, y, arguments);
        }
    }

    private static void multiply(MemorySegment product, PackedWeight weight, int strip, long y, long arguments) {
        put(arguments, Product.WORDS, weight.words(strip));
        put(arguments, Product.FACTORS, weight.factors(strip));
        put(arguments, Product.CENTRES, weight.centres(strip));
        put(arguments, Product.BIAS, weight.bias(strip));
        put(arguments, Product.RESULT, y + (long) strip * weight.vectorBytes());
        MachineCode.call(product, arguments);
    }

    private static void check(
            PackedWeight weight, long digits, long constants, int rows, int from, int to, long y, long yRow) {
        Memory.check(digits, digitBytes(weight, rows));
        Memory.check(constants, constantBytes(weight, rows));
        Memory.check(weight.words(from), (to - from) * weight.stripBytes());
        Memory.check(weight.factors(from), weight.factors(to) - weight.factors(from));
        Memory.check(weight.centres(to - 1), Math.max(1L, weight.groups) * weight.centreStep());
        Memory.check(weight.bias(from), (long) (to - from) * weight.vectorBytes());
        for (int row = 0; row < rows; row++) {
            Memory.check(y + row * yRow + (long) from * weight.vectorBytes(), (long) (to - from) * weight.vectorBytes());
        }
    }
}

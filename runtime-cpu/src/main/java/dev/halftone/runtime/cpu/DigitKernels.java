package dev.halftone.runtime.cpu;

import dev.halftone.runtime.cpu.DigitCode.Product;
import dev.halftone.runtime.cpu.DigitTileCode.Argument;
import dev.halftone.runtime.cpu.assembly.MachineCode;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/// Products of codes with inputs as whole numbers of [DigitCode#DIGITS] digits, by the processor's sums of products of
/// bytes (AVX512-VNNI), for which the Vector API has no operation: machine code of our own, written at the start.
///
/// A 4-bit code takes a third of the operations that it takes in floats, so that weights are read as fast as memory
/// gives them. Within a group an input counts as a multiple of `2⁻²²` of the power of two below the largest one, which
/// is about what a float32 sum keeps of it; the sums themselves are exact. Where the processor has tiles (AMX), several
/// rows take these, with the same result to the bit.
final class DigitKernels {
    private static final List<String> NEEDED = List.of("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni");
    private static final int LANES = 16;

    /// Largest sum of the products of one group, which has to fit a signed number of 32 bits.
    private static final long MOST = Integer.MAX_VALUE / (255L * 128);

    /// Inputs that a row of a tile holds.
    private static final int CHUNK = DigitTileCode.TILE_ROW;

    /// From here on tiles cost less.
    private static final int LEAST_TILE_ROWS = 3;

    private static DigitKernels loaded;
    private static String refusal;

    private final MemorySegment[] products; // [form][rows - 1], of DigitCode.strips(rows) strips
    private final MemorySegment[] narrowProducts; // likewise, of one strip
    private final MemorySegment[] tileProducts; // [form][rows - 1]; null without tiles
    private final Memory configurations; // [rows - 1][2], for chunks of CHUNK and CHUNK / 2 inputs
    private final RowCutter cutter = new RowCutter(DigitCode.DIGITS);
    private final BFloat16Restorer restorer; // null without AVX512-BF16
    private final RowProducts rowProducts = new RowProducts();
    private final MachineVerbs verbs = new MachineVerbs();
    private final ShortKernels shortKernels = new ShortKernels();
    private final boolean tiles;
    private final FloatTile floatTile = new FloatTile();
    private final ProductTile productTile = new ProductTile();

    /// @param tiles whether the processor's tiles may be used
    DigitKernels(boolean tiles) {
        this.tiles = tiles;
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
        for (int i = 0; tiles && i < forms.length; i++) {
            for (int rows = 1; rows <= DigitTileCode.ROWS; rows++) {
                functions.add(DigitTileCode.product(forms[i], rows));
            }
        }
        List<MemorySegment> places = List.of(MachineCode.place(functions));
        int count = forms.length * DigitCode.ROWS;
        products = taken(places, 0, count);
        narrowProducts = taken(places, count, count);
        tileProducts = tiles ? taken(places, 2 * count, forms.length * DigitTileCode.ROWS) : null;
        restorer = Processor.has("avx512_bf16") ? new BFloat16Restorer() : null;
        configurations = Memory.ofBytes(2L * DigitTileCode.ROWS * Memory.LINE);
        for (int rows = 1; rows <= DigitTileCode.ROWS; rows++) {
            configure(rows, CHUNK);
            configure(rows, CHUNK / 2);
        }
    }

    private static MemorySegment[] taken(List<MemorySegment> places, int from, int count) {
        return places.subList(from, from + count).toArray(MemorySegment[]::new);
    }

    private long configuration(int rows, int chunk) {
        return configurations.address() + (2L * (rows - 1) + (chunk == CHUNK ? 0 : 1)) * Memory.LINE;
    }

    /// Tiles of sums first, then as many of digits, then the one of codes.
    private void configure(int rows, int chunk) {
        byte[] bytes = new byte[(int) Memory.LINE];
        bytes[0] = 1; // the only palette there is
        for (int tile = 0; tile < DigitTileCode.tiles(rows); tile++) {
            int left = rows * DigitCode.DIGITS - tile * DigitTileCode.TILE;
            configure(bytes, tile, Math.min(left, DigitTileCode.TILE), DigitTileCode.TILE_ROW);
            configure(bytes, DigitTileCode.INPUTS + tile, Math.min(left, DigitTileCode.TILE), chunk);
        }
        configure(bytes, DigitTileCode.CODES, chunk / Integer.BYTES, DigitTileCode.TILE_ROW);
        Memory.copyBytes(bytes, configuration(rows, chunk), bytes.length);
    }

    private static void configure(byte[] bytes, int tile, int rows, int rowBytes) {
        bytes[16 + 2 * tile] = (byte) rowBytes;
        bytes[48 + tile] = (byte) rows;
    }

    /// Whether weights lie as these kernels read them.
    static boolean suits(Kernels kernels) {
        return kernels instanceof VectorKernels && kernels.lanes() == LANES;
    }

    /// The kernels of this process, or null where [#refusal] tells why there are none.
    static synchronized DigitKernels load() {
        if (loaded == null && refusal == null) {
            refusal = Processor.missing(NEEDED);
            if (refusal == null) {
                try {
                    loaded = new DigitKernels(Processor.hasTiles("amx_int8"));
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

    /// What restores weights to bfloat16; null where the processor does not round to it.
    BFloat16Restorer restorer() {
        return restorer;
    }

    /// What multiplies few rows by weights without groups.
    RowProducts rowProducts() {
        return rowProducts;
    }

    /// What attention of few tokens is computed by.
    FloatTile floatTile() {
        return floatTile;
    }

    /// What products of floats are computed by.
    ProductTile productTile() {
        return productTile;
    }

    /// What multiplies many rows by codes where there are no tiles.
    ShortKernels shortKernels() {
        return shortKernels;
    }

    /// Whether the processor's tiles may be used.
    boolean mayUseTiles() {
        return tiles;
    }

    /// What treats each row by itself.
    MachineVerbs verbs() {
        return verbs;
    }

    /// What they compute with.
    String name() {
        return tileProducts == null ? "VNNI" : "VNNI and AMX";
    }

    /// Whether they multiply this weight.
    static boolean take(PackedWeight weight) {
        return weight.lanes == LANES && weight.form.isCodes() && weight.groupLength <= MOST;
    }

    /// The rows that [#multiply] takes at a time, if there are `rows`.
    int blockRows(PackedWeight weight, int rows) {
        return takesTiles(weight, rows) ? DigitTileCode.ROWS : DigitCode.ROWS;
    }

    private boolean takesTiles(PackedWeight weight, int rows) {
        return tileProducts != null && rows >= LEAST_TILE_ROWS && weight.groupLength % (CHUNK / 2) == 0;
    }

    private static int chunk(PackedWeight weight) {
        return weight.groupLength % CHUNK == 0 ? CHUNK : CHUNK / 2;
    }

    /// What tells how digits lie: those of one weight serve another of the same.
    static boolean isAlike(PackedWeight one, PackedWeight other) {
        return one.form == other.form && one.sharesPreparation(other);
    }

    /// Bytes of the digits of `rows` rows, however many there are in all.
    static long digitBytes(PackedWeight weight, int rows) {
        return rows * DigitCode.DIGITS * digitStep(weight);
    }

    /// Bytes from one digit of a row's inputs to the next, on tiles: an odd number of lines, so that the rows of a tile
    /// lie in different sets of a cache.
    private static long digitStep(PackedWeight weight) {
        return (Math.ceilDiv(weight.paddedInputs(), Memory.LINE) | 1) * Memory.LINE;
    }

    /// Bytes of the constants of `rows` rows.
    static long constantBytes(PackedWeight weight, int rows) {
        return (long) weight.groups * rows * DigitCode.CONSTANTS * Float.BYTES;
    }

    /// Bytes that [#multiply] needs to work in.
    static long scratchBytes() {
        return DigitTileCode.SCRATCH;
    }

    /// Cuts one row into digits.
    ///
    /// @param x         the row in the weight's own order of columns, padded with zeros
    /// @param row       its number among the `rows` of a block
    /// @param all       rows of all blocks
    /// @param digits    of the block, see [#digitBytes]
    /// @param constants of the block, see [#constantBytes]
    /// @param arguments room for [RowCutter#ARGUMENTS] longs
    void cut(PackedWeight weight, long x, int row, int rows, int all, long digits, long constants, long arguments) {
        boolean tiled = takesTiles(weight, all);
        long rowStep = DigitCode.DIGITS * (tiled ? digitStep(weight) : Integer.BYTES);
        long pieceStep = tiled ? Integer.BYTES : rows * rowStep;
        long rowConstants = (long) DigitCode.CONSTANTS * Float.BYTES;
        cutter.cut(
                weight,
                x,
                digits + row * rowStep,
                DigitCode.pieces(weight.form) * pieceStep,
                pieceStep,
                rowStep / DigitCode.DIGITS,
                constants + row * rowConstants,
                rows * rowConstants,
                arguments);
    }

    private static void put(long arguments, Argument argument, long value) {
        Memory.putLong(arguments + (long) argument.ordinal() * Long.BYTES, value);
    }

    private static void put(long arguments, Product argument, long value) {
        Memory.putLong(arguments + (long) argument.ordinal() * Long.BYTES, value);
    }

    /// Strips `[from, to)` of a block of rows.
    ///
    /// @param rows      1 to [#blockRows]
    /// @param all       rows of all blocks
    /// @param y         first output of the first row
    /// @param yRow      bytes from one row of `y` to the next
    /// @param scratch   see [#scratchBytes]
    /// @param arguments room for [DigitCode.Product#COUNT] or [DigitTileCode.Argument#COUNT] longs
    void multiply(
            PackedWeight weight,
            long digits,
            long constants,
            int rows,
            int all,
            int from,
            int to,
            long y,
            long yRow,
            long scratch,
            long arguments) {
        if (Memory.CHECKED) {
            check(weight, digits, constants, rows, from, to, y, yRow);
            Memory.check(scratch, scratchBytes());
        }
        if (takesTiles(weight, all)) {
            multiplyTiles(weight, digits, constants, rows, from, to, y, yRow, scratch, arguments);
        } else {
            multiply(weight, digits, constants, rows, from, to, y, yRow, arguments);
        }
    }

    private void multiplyTiles(
            PackedWeight weight,
            long digits,
            long constants,
            int rows,
            int from,
            int to,
            long y,
            long yRow,
            long scratch,
            long arguments) {
        int chunk = chunk(weight);
        long sums = Math.ceilDiv(scratch, 4L * DigitTileCode.SUMS) * 4 * DigitTileCode.SUMS;
        put(arguments, Argument.WORDS, weight.words(from));
        put(arguments, Argument.FACTORS, weight.factors(from));
        put(arguments, Argument.CENTRES, weight.centres(from));
        put(arguments, Argument.CENTRE_GROUP_STEP, weight.centreStep());
        put(arguments, Argument.DIGITS, digits);
        put(arguments, Argument.DIGIT_STEP, digitStep(weight));
        put(arguments, Argument.TILE_STEP, DigitTileCode.TILE * digitStep(weight));
        put(arguments, Argument.CONSTANTS, constants);
        put(arguments, Argument.GROUPS, weight.groups);
        put(arguments, Argument.CHUNKS, weight.groupLength / chunk);
        put(arguments, Argument.ALL_CHUNKS, (long) (to - from) * weight.groups * (weight.groupLength / chunk));
        put(arguments, Argument.CHUNK_INPUTS, chunk);
        put(arguments, Argument.CHUNK_WORDS, chunk / weight.form.fields / DigitTileCode.WORDS);
        put(arguments, Argument.SLOT_REST, DigitTileCode.SLOT - (long) chunk * LANES);
        put(arguments, Argument.GROUPS_LEFT, weight.groups);
        put(arguments, Argument.ALL_GROUPS_LEFT, (long) (to - from) * weight.groups);
        put(arguments, Argument.SUMS, sums);
        put(arguments, Argument.SLOTS, sums + 2 * DigitTileCode.SUMS);
        put(arguments, Argument.CONFIGURATION, configuration(rows, chunk));
        put(arguments, Argument.STRIPS, to - from);
        put(arguments, Argument.BIAS, weight.bias(from));
        put(arguments, Argument.RESULT, y + (long) from * weight.vectorBytes());
        put(arguments, Argument.RESULT_ROW, yRow);
        MachineCode.call(tileProducts[weight.form.ordinal() * DigitTileCode.ROWS + rows - 1], arguments);
    }

    private void multiply(
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
            Memory.check(
                    y + row * yRow + (long) from * weight.vectorBytes(), (long) (to - from) * weight.vectorBytes());
        }
    }
}

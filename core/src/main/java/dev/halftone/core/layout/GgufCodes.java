package dev.halftone.core.layout;

import dev.halftone.core.checkpoint.GgufTensor;
import dev.halftone.core.checkpoint.GgufType;
import dev.halftone.core.tensor.LittleEndian;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/// Moves integer codes between a [QuantizedWeight] and GGUF blocks without rounding them again.
///
/// A block of 32 has one step, so a weight fits where its groups are multiples of 32 columns in order. Q4_0 holds
/// `code - zero` from -8 to 7 and Q8_0 from -128 to 127, both exactly if the scale is a float16; Q4_1 holds any
/// code of 4 bits, but its `m = -scale * zero` is rounded to float16.
public final class GgufCodes {
    /// Columns that share a scale.
    public static final int GROUP = 32;

    /// Smallest positive float16. Stands for a step of zero, which no scale may be.
    private static final float TINIEST = 0x1p-24f;

    private GgufCodes() {}

    /// The smallest type whose blocks can take over the codes of `weight`: Q4_0, Q4_1 or Q8_0; empty if its groups
    /// do not fill blocks, a scale is too large for float16, or an asymmetric weight has more than 4 bits.
    public static Optional<GgufType> typeFor(QuantizedWeight weight) {
        int length = weight.scheme().groupLength(weight.inputs());
        if (weight.groupOfColumn() != null || length % GROUP != 0) {
            return Optional.empty();
        }
        for (float scale : weight.scales()) {
            if (!Float.isFinite(half(scale))) {
                return Optional.empty();
            }
        }
        boolean fourBits = true;
        boolean eightBits = true;
        int[] levels = new int[GROUP];
        for (int row = 0; row < weight.outputs(); row++) {
            for (int block = 0; block < weight.inputs() / GROUP; block++) {
                readLevels(weight, row, block, levels);
                fourBits &= fits(levels, 8);
                eightBits &= fits(levels, 128);
            }
        }
        if (fourBits) {
            return Optional.of(GgufType.Q4_0);
        }
        if (weight.scheme().bits() <= 4) {
            return minimaFit(weight) ? Optional.of(GgufType.Q4_1) : Optional.empty();
        }
        return eightBits ? Optional.of(GgufType.Q8_0) : Optional.empty();
    }

    /// True if all levels are in `[-bound, bound)`, or all of them negated are.
    private static boolean fits(int[] levels, int bound) {
        int lowest = 0;
        int highest = 0;
        for (int level : levels) {
            lowest = Math.min(lowest, level);
            highest = Math.max(highest, level);
        }
        return lowest >= -bound && highest < bound || lowest > -bound && highest <= bound;
    }

    /// `code - zero` of the 32 columns of a block.
    private static void readLevels(QuantizedWeight weight, int row, int block, int[] levels) {
        int zero = weight.zeros()[cell(weight, row, block)];
        int first = row * weight.inputs() + block * GROUP;
        for (int j = 0; j < GROUP; j++) {
            levels[j] = (weight.codes()[first + j] & 0xFF) - zero;
        }
    }

    private static int cell(QuantizedWeight weight, int row, int block) {
        return row * weight.groups() + block * GROUP / weight.scheme().groupLength(weight.inputs());
    }

    private static boolean minimaFit(QuantizedWeight weight) {
        for (int cell = 0; cell < weight.scales().length; cell++) {
            if (!Float.isFinite(half(-weight.scales()[cell] * weight.zeros()[cell]))) {
                return false;
            }
        }
        return true;
    }

    private static float half(float value) {
        return Float.float16ToFloat(Float.floatToFloat16(value));
    }

    /// Writes row `row` as blocks of `type`, which [#typeFor] has given, into `destination` from its start.
    public static void writeRow(QuantizedWeight weight, GgufType type, int row, MemorySegment destination) {
        int[] levels = new int[GROUP];
        for (int block = 0; block < weight.inputs() / GROUP; block++) {
            readLevels(weight, row, block, levels);
            int cell = cell(weight, row, block);
            float scale = weight.scales()[cell];
            MemorySegment at = destination.asSlice((long) block * type.blockBytes(), type.blockBytes());
            switch (type) {
                case Q4_0 -> {
                    putStep(scale, levels, 8, at);
                    writePairs(levels, 8, at, 2);
                }
                case Q4_1 -> {
                    int zero = weight.zeros()[cell];
                    putHalf(scale, at, 0);
                    putHalf(-scale * zero, at, 2);
                    writePairs(levels, zero, at, 4);
                }
                case Q8_0 -> {
                    putStep(scale, levels, 128, at);
                    for (int j = 0; j < GROUP; j++) {
                        at.set(ValueLayout.JAVA_BYTE, 2 + j, (byte) levels[j]);
                    }
                }
                default -> throw new IllegalArgumentException("codes are not written as " + type);
            }
        }
    }

    /// Writes the step, and negates both it and all levels if one of them is `bound`, which no code stands for.
    private static void putStep(float scale, int[] levels, int bound, MemorySegment block) {
        boolean negative = false;
        for (int level : levels) {
            negative |= level == bound;
        }
        for (int j = 0; j < GROUP && negative; j++) {
            levels[j] = -levels[j];
        }
        putHalf(negative ? -scale : scale, block, 0);
    }

    private static void putHalf(float value, MemorySegment block, long at) {
        block.set(LittleEndian.SHORT, at, Float.floatToFloat16(value));
    }

    private static void writePairs(int[] levels, int zero, MemorySegment block, int at) {
        for (int j = 0; j < GROUP / 2; j++) {
            int low = levels[j] + zero;
            int high = levels[j + GROUP / 2] + zero;
            assert (low | high) >>> 4 == 0 : low + " and " + high;
            block.set(ValueLayout.JAVA_BYTE, at + j, (byte) (low | high << 4));
        }
    }

    /// The codes of a Q4_0 or Q8_0 matrix, in groups of 32: it restores the same values as the blocks, bit for bit
    /// but for the sign of a zero.
    ///
    /// Half of the steps of a Q4_0 file are negative, and so are the scales then. A group whose step is 0 gets the
    /// smallest step and only codes of zero.
    ///
    /// @param rowOf  row of the tensor that becomes row `i`
    /// @param scheme symmetric groups of 32 with 4 bits for Q4_0, 8 for Q8_0
    /// @throws IllegalArgumentException if the tensor is no such matrix, or the scheme not its own
    public static QuantizedWeight read(GgufTensor tensor, RowOrder rowOf, QuantizationScheme scheme) {
        int bits = tensor.type() == GgufType.Q4_0 ? 4 : 8;
        boolean known = tensor.type() == GgufType.Q4_0 || tensor.type() == GgufType.Q8_0;
        boolean fits = scheme.bits() == bits && scheme.groupSize() == GROUP && scheme.symmetric();
        if (!known || tensor.shape().rank() != 2 || !fits) {
            throw new IllegalArgumentException(
                    tensor.name() + ": " + tensor.type() + " " + tensor.shape() + " has no codes of " + scheme);
        }
        int outputs = Math.toIntExact(tensor.rows());
        int inputs = Math.toIntExact(tensor.columns());
        int middle = 1 << bits - 1;
        int groups = inputs / GROUP;
        byte[] codes = new byte[Math.multiplyExact(outputs, inputs)];
        float[] scales = new float[outputs * groups];
        int[] zeros = new int[outputs * groups];
        for (int row = 0; row < outputs; row++) {
            long begin = tensor.type().bytes(rowOf.source(row) * inputs);
            for (int group = 0; group < groups; group++) {
                MemorySegment block = tensor.data()
                        .asSlice(
                                begin + (long) group * tensor.type().blockBytes(),
                                tensor.type().blockBytes());
                int cell = row * groups + group;
                float d = Float.float16ToFloat(block.get(LittleEndian.SHORT, 0));
                scales[cell] = d == 0 ? TINIEST : d;
                zeros[cell] = middle;
                for (int j = 0; j < GROUP; j++) {
                    int code = d == 0 ? middle : code(tensor.type(), block, j);
                    codes[row * inputs + group * GROUP + j] = (byte) code;
                }
            }
        }
        return new QuantizedWeight(scheme, outputs, inputs, codes, scales, zeros, null);
    }

    private static int code(GgufType type, MemorySegment block, int j) {
        if (type == GgufType.Q8_0) {
            return block.get(ValueLayout.JAVA_BYTE, 2 + j) + 128;
        }
        return block.get(ValueLayout.JAVA_BYTE, 2 + j % 16) >> j / 16 * 4 & 15;
    }

    /// Which row of a stored matrix comes where.
    @FunctionalInterface
    public interface RowOrder {
        /// The stored row that becomes row `row`.
        long source(long row);
    }
}

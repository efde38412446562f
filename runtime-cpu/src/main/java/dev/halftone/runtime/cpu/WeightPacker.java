package dev.halftone.runtime.cpu;

import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.CodedWeight;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.StoredWeight;
import dev.halftone.core.weight.Weight;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Arrays;

/// Brings a weight into the order of [PackedWeight].
final class WeightPacker {
    // Beyond this a zero point would no longer be exact as a fraction of a float.
    private static final int LARGEST_ZERO = 1 << 18;

    // Products of two signed bytes, each at most 2^14, whose sum stays below 2^31.
    private static final int MOST_INTEGERS = (1 << 17) - 1;

    /// Outputs whose codes are read at a time.
    private static final int ROWS = 128;

    private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle INTS = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);

    /// The lower half of every byte.
    private static final long NIBBLES = 0x0F0F_0F0F_0F0F_0F0FL;

    private WeightPacker() {}

    static PackedWeight pack(Weight weight, float[] bias, int lanes, WorkerPool pool) {
        if (bias != null && bias.length != weight.outputs()) {
            throw new IllegalArgumentException(
                    "a bias of " + bias.length + " for a weight with " + weight.outputs() + " outputs");
        }
        PackedWeight packed = switch (weight) {
            case DenseWeight dense -> packDense(dense, lanes, pool);
            case CodedWeight codes -> pack(codes.stored(), lanes, pool);
        };
        if (bias != null) {
            Memory.copyFloats(bias, 0, packed.bias(0), bias.length);
        }
        return packed;
    }

    private static PackedWeight pack(StoredWeight weight, int lanes, WorkerPool pool) {
        if (weight.activations().kind() != ActivationScheme.Kind.NONE) {
            if (weight.inputs() > MOST_INTEGERS) {
                throw new IllegalArgumentException(
                        weight.inputs() + " products of integers do not fit 32 bits, at most " + MOST_INTEGERS + " do");
            }
            return packCodes(weight, WeightForm.CODES8, lanes, pool);
        }
        WeightForm form = weight.scheme().bits() <= 4 ? WeightForm.CODES4 : WeightForm.CODES8;
        return hasExactFactors(weight, form)
                ? packCodes(weight, form, lanes, pool)
                : packFloats(weight.unpacked(), WeightForm.FLOAT32, lanes, pool);
    }

    private static PackedWeight packDense(DenseWeight weight, int lanes, WorkerPool pool) {
        return switch (weight.tensor().type()) {
            case BF16 -> packFloats(weight, WeightForm.BFLOAT16, lanes, pool);
            // No kernel widens float16 as cheaply as bfloat16; float32 holds it exactly.
            case F16, F32, F64 -> packFloats(weight, WeightForm.FLOAT32, lanes, pool);
            case I64, I32, I16, I8, U8, BOOL ->
                throw new IllegalArgumentException(
                        "no floats in " + weight.tensor().type());
        };
    }

    private static PackedWeight packFloats(Weight weight, WeightForm form, int lanes, WorkerPool pool) {
        int inputs = weight.inputs();
        int padded = Math.ceilDiv(inputs, form.fields) * form.fields;
        int[] columns = null;
        if (padded != inputs) {
            columns = new int[padded];
            Arrays.setAll(columns, i -> i < inputs ? i : -1);
        }
        PackedWeight packed = new PackedWeight(form, weight.outputs(), inputs, lanes, 1, padded, columns, true);
        pool.split(packed.strips, (worker, from, to) -> {
            float[] row = new float[padded];
            for (int output = from * lanes; output < Math.min(to * lanes, weight.outputs()); output++) {
                weight.restoreRow(output, row, 0);
                for (int k = 0; k < packed.wordsPerStrip(); k++) {
                    int word = form == WeightForm.FLOAT32
                            ? Float.floatToRawIntBits(row[k])
                            : Float.floatToRawIntBits(row[2 * k]) >>> 16
                                    | Float.floatToRawIntBits(row[2 * k + 1]) & 0xFFFF0000;
                    Memory.putInt(wordAddress(packed, output, k), word);
                }
            }
        });
        return packed;
    }

    /// Address of word `k` of `output`.
    static long wordAddress(PackedWeight packed, int output, int k) {
        return packed.words(output / packed.lanes)
                + (long) k * packed.vectorBytes()
                + (long) (output % packed.lanes) * Integer.BYTES;
    }

    /// A scale so large that a multiple of it overflows, or an absurd zero point, is bound as float32 instead.
    private static boolean hasExactFactors(StoredWeight weight, WeightForm form) {
        float span = form.span();
        for (float scale : weight.scales()) {
            if (!Float.isFinite(scale * span)) {
                return false;
            }
        }
        for (int zero : weight.zeros()) {
            if (zero <= -LARGEST_ZERO || zero >= LARGEST_ZERO) {
                return false;
            }
        }
        return true;
    }

    private static PackedWeight packCodes(StoredWeight weight, WeightForm form, int lanes, WorkerPool pool) {
        int groups = weight.groups();
        int[] places = places(weight, form.fields);
        boolean identity = isIdentity(places, weight.inputs());
        int firstZero = weight.zeros()[0];
        boolean oneCentre = Arrays.stream(weight.zeros()).allMatch(zero -> zero == firstZero);
        PackedWeight packed = new PackedWeight(
                form,
                weight.outputs(),
                weight.inputs(),
                lanes,
                groups,
                places.length / groups,
                identity ? null : places,
                oneCentre);
        if (oneCentre) {
            for (int lane = 0; lane < lanes; lane++) {
                Memory.putFloat(packed.centres(0) + (long) lane * Float.BYTES, 1 + firstZero / form.span());
            }
        }
        pool.split(packed.strips, (worker, from, to) -> {
            int end = Math.min(to * lanes, weight.outputs());
            byte[] codes = new byte[Math.multiplyExact(Math.min(ROWS, end - from * lanes), weight.inputs())];
            for (int first = from * lanes; first < end; first += ROWS) {
                int count = Math.min(ROWS, end - first);
                weight.codes().read(first, count, codes);
                for (int row = 0; row < count; row++) {
                    packCells(weight, packed, first + row);
                    packRow(codes, row * weight.inputs(), packed, first + row);
                }
            }
        });
        return packed;
    }

    private static void packCells(StoredWeight weight, PackedWeight packed, int output) {
        int strip = output / packed.lanes;
        long lane = (long) (output % packed.lanes) * Float.BYTES;
        float span = packed.form.span();
        for (int group = 0; group < packed.groups; group++) {
            int cell = output * packed.groups + group;
            long at = (long) group * packed.vectorBytes() + lane;
            Memory.putFloat(packed.factors(strip) + at, weight.scales()[cell] * span);
            if (packed.centreStep() != 0) {
                Memory.putFloat(packed.centres(strip) + at, 1 + weight.zeros()[cell] / span);
            }
        }
    }

    /// @param at of the row's first code
    private static void packRow(byte[] codes, int at, PackedWeight packed, int output) {
        WeightForm form = packed.form;
        for (int k = 0; k < packed.wordsPerStrip(); k++) {
            int word = packed.columns == null
                    ? neighbours(codes, at + k * form.fields, form)
                    : scattered(codes, at, packed.columns, k * form.fields, form);
            Memory.putInt(wordAddress(packed, output, k), Integer.rotateLeft(word, form.shift()));
        }
    }

    /// The codes from `at` on, the first one lowest.
    private static int neighbours(byte[] codes, int at, WeightForm form) {
        return form == WeightForm.CODES4
                ? (int) Long.compress((long) LONGS.get(codes, at), NIBBLES)
                : (int) INTS.get(codes, at);
    }

    /// The codes at `places[place]` and so on of the row that begins at `at`, the first one lowest.
    private static int scattered(byte[] codes, int at, int[] places, int place, WeightForm form) {
        int word = 0;
        for (int field = 0; field < form.fields; field++) {
            int column = places[place + field];
            word |= (column < 0 ? 0 : codes[at + column] & 0xFF) << field * form.bits;
        }
        return word;
    }

    /// Columns group by group, each group in ascending order and padded with -1 to the same multiple of `fields`.
    private static int[] places(StoredWeight weight, int fields) {
        int groups = weight.groups();
        int[] sizes = new int[groups];
        for (int i = 0; i < weight.inputs(); i++) {
            sizes[weight.group(i)]++;
        }
        int longest = Arrays.stream(sizes).max().orElseThrow();
        int length = Math.ceilDiv(longest, fields) * fields;
        int[] places = new int[Math.multiplyExact(groups, length)];
        Arrays.fill(places, -1);
        int[] filled = new int[groups];
        for (int i = 0; i < weight.inputs(); i++) {
            int group = weight.group(i);
            places[group * length + filled[group]++] = i;
        }
        return places;
    }

    private static boolean isIdentity(int[] places, int inputs) {
        for (int i = 0; i < places.length; i++) {
            if (places[i] != i) {
                return false;
            }
        }
        return places.length == inputs;
    }
}

package dev.halftone.core.layout;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/// Numbers of a few bits each, one after another from the lowest bit of the first 32-bit word on; where 32 is no
/// multiple of the width, a number continues in the next word. Word `k` of a stream is `words[base + k * stride]`, so
/// a stream may run along a row or down a column of a matrix.
final class BitStream {
    private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle INTS = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);

    /// The lower half of every byte.
    private static final long NIBBLES = 0x0F0F_0F0F_0F0F_0F0FL;

    private BitStream() {}

    /// Words that `count` numbers take.
    ///
    /// @throws IllegalArgumentException if they do not fill the last one
    static int words(int count, int bits) {
        long total = (long) count * bits;
        if (total % Integer.SIZE != 0) {
            throw new IllegalArgumentException(count + " numbers of " + bits + " bits do not fill whole words");
        }
        return (int) (total / Integer.SIZE);
    }

    /// Words that `count` numbers take, the last one perhaps not filled.
    static int wordsTouched(int count, int bits) {
        return (int) Math.ceilDiv((long) count * bits, Integer.SIZE);
    }

    static int get(int[] words, int base, int stride, int index, int bits) {
        long position = (long) index * bits;
        int at = base + (int) (position >>> 5) * stride;
        int shift = (int) (position & 31);
        int value = words[at] >>> shift;
        if (shift + bits > Integer.SIZE) {
            value |= words[at + stride] << Integer.SIZE - shift;
        }
        return value & (1 << bits) - 1;
    }

    /// Writes the first `count` numbers of a stream to `destination[offset .. offset + count)`, a byte each.
    static void get(int[] words, int base, int stride, int bits, byte[] destination, int offset, int count) {
        int done = 0;
        // Whole words of the usual widths at once: this is the way of every weight of a model that is loaded.
        if (bits == 4) {
            for (; done + 8 <= count; done += 8) {
                long spread = Long.expand(words[base + done / 8 * stride] & 0xFFFF_FFFFL, NIBBLES);
                LONGS.set(destination, offset + done, spread);
            }
        } else if (bits == 8) {
            for (; done + 4 <= count; done += 4) {
                INTS.set(destination, offset + done, words[base + done / 4 * stride]);
            }
        }
        for (; done < count; done++) {
            destination[offset + done] = (byte) get(words, base, stride, done, bits);
        }
    }

    /// Sets a number whose bits are all zero so far.
    static void set(int[] words, int base, int stride, int index, int bits, int value) {
        assert value >>> bits == 0 : value;
        long position = (long) index * bits;
        int at = base + (int) (position >>> 5) * stride;
        int shift = (int) (position & 31);
        words[at] |= value << shift;
        if (shift + bits > Integer.SIZE) {
            words[at + stride] |= value >>> Integer.SIZE - shift;
        }
    }
}

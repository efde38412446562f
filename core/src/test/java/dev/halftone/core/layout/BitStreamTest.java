package dev.halftone.core.layout;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class BitStreamTest {
    @Test
    void putsTheFirstNumberIntoTheLowestBits() {
        int[] words = new int[1];
        for (int i = 0; i < 8; i++) {
            BitStream.set(words, 0, 1, i, 4, i + 1);
        }
        assertEquals(0x87654321, words[0]);
    }

    /// The format of three bits, as its first tool spells it out: 32 codes in three words, the eleventh and the
    /// twenty-second cut in two.
    @Test
    void laysThreeBitsAsTheOriginalDoes() {
        int[] codes = new SplittableRandom(3).ints(32, 0, 8).toArray();
        int[] expected = new int[3];
        for (int k = 0; k < 10; k++) {
            expected[0] |= codes[k] << 3 * k;
        }
        expected[0] |= codes[10] << 30;
        expected[1] |= codes[10] >> 2;
        for (int k = 11; k < 21; k++) {
            expected[1] |= codes[k] << 3 * (k - 11) + 1;
        }
        expected[1] |= codes[21] << 31;
        expected[2] |= codes[21] >> 1;
        for (int k = 22; k < 32; k++) {
            expected[2] |= codes[k] << 3 * (k - 22) + 2;
        }
        int[] words = new int[3];
        for (int k = 0; k < 32; k++) {
            BitStream.set(words, 0, 1, k, 3, codes[k]);
        }
        assertArrayEquals(expected, words);
        for (int k = 0; k < 32; k++) {
            assertEquals(codes[k], BitStream.get(words, 0, 1, k, 3));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5, 6, 7, 8})
    void readsBackWhatItWroteDownAColumn(int bits) {
        int columns = 5;
        int count = 96;
        SplittableRandom random = new SplittableRandom(bits);
        int[][] values = new int[columns][];
        int[] words = new int[BitStream.words(count, bits) * columns];
        for (int c = 0; c < columns; c++) {
            values[c] = random.ints(count, 0, 1 << bits).toArray();
            for (int i = 0; i < count; i++) {
                BitStream.set(words, c, columns, i, bits, values[c][i]);
            }
        }
        for (int c = 0; c < columns; c++) {
            for (int i = 0; i < count; i++) {
                assertEquals(values[c][i], BitStream.get(words, c, columns, i, bits));
            }
        }
        byte[] bytes = new byte[count + 2];
        for (int some : new int[] {count, count - 1, 5, 0}) {
            Arrays.fill(bytes, (byte) 0x5A);
            BitStream.get(words, 3, columns, bits, bytes, 1, some);
            for (int i = 0; i < bytes.length; i++) {
                boolean written = i > 0 && i <= some;
                assertEquals(written ? values[3][i - 1] : 0x5A, bytes[i] & 0xFF);
            }
        }
    }

    @Test
    void countsWholeWordsOnly() {
        assertEquals(3, BitStream.words(32, 3));
        assertEquals(1, BitStream.words(8, 4));
        assertThrows(IllegalArgumentException.class, () -> BitStream.words(16, 3));
    }
}

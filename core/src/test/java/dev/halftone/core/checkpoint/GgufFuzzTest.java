package dev.halftone.core.checkpoint;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/// Damaged files may be refused or, where the damage does no harm, accepted; nothing else may happen.
class GgufFuzzTest {
    private static final long[] NUMBERS = {
        0,
        1,
        31,
        32,
        33,
        64,
        255,
        1 << 20,
        Integer.MAX_VALUE,
        1L << 31,
        0xFFFF_FFFFL,
        1L << 60,
        1L << 61,
        1L << 62,
        Long.MAX_VALUE,
        Long.MIN_VALUE,
        -1,
        -32
    };

    @Test
    void survivesDamagedFiles() {
        SplittableRandom random = new SplittableRandom(20240608);
        int accepted = 0;
        int refused = 0;
        for (int round = 0; round < 30_000; round++) {
            byte[] mutant = mutate(RawGguf.sound(3), random);
            try {
                touch(RawGguf.read(mutant));
                accepted++;
            } catch (MalformedCheckpointException e) {
                refused++;
            } catch (RuntimeException | StackOverflowError | OutOfMemoryError e) {
                fail("round " + round + ": " + HexFormat.of().formatHex(mutant), e);
            }
        }
        assertTrue(accepted > 1000, "only " + accepted + " mutants accepted: the mutations are too coarse");
        assertTrue(refused > 10_000, "only " + refused + " mutants refused: the mutations do nothing");
    }

    private static void touch(GgufFile file) {
        for (GgufTensor tensor : file.tensors().values()) {
            tensor.data().get(ValueLayout.JAVA_BYTE, tensor.data().byteSize() - 1);
        }
        for (GgufValue value : file.metadata().values().values()) {
            if (value instanceof GgufValue.Numbers numbers && numbers.count() > 0) {
                numbers.data().get(ValueLayout.JAVA_BYTE, numbers.data().byteSize() - 1);
            }
        }
    }

    private static byte[] mutate(byte[] file, SplittableRandom random) {
        byte[] mutant = file;
        int times = random.nextInt(1, 4);
        for (int i = 0; i < times && mutant.length > 16; i++) {
            int at = random.nextInt(4, mutant.length - 8);
            switch (random.nextInt(5)) {
                case 0 -> mutant[at] ^= (byte) (1 << random.nextInt(8));
                case 1 ->
                    ByteBuffer.wrap(mutant)
                            .order(ByteOrder.LITTLE_ENDIAN)
                            .putLong(at, NUMBERS[random.nextInt(NUMBERS.length)]);
                case 2 ->
                    ByteBuffer.wrap(mutant).order(ByteOrder.LITTLE_ENDIAN).putInt(at, (int)
                            NUMBERS[random.nextInt(NUMBERS.length)]);
                case 3 -> mutant = Arrays.copyOf(mutant, random.nextInt(mutant.length + 20));
                default -> {
                    // Bytes drop out or appear, and everything behind is read at another place.
                    byte[] moved = mutant.clone();
                    int to = random.nextInt(4, mutant.length - 8);
                    System.arraycopy(mutant, at, moved, to, mutant.length - Math.max(at, to));
                    mutant = moved;
                }
            }
        }
        return mutant;
    }
}

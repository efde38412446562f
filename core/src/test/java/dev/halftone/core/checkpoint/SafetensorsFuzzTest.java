package dev.halftone.core.checkpoint;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.halftone.core.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/// Damaged headers may be refused or, where the damage does no harm, accepted; nothing else may happen.
class SafetensorsFuzzTest {
    private static final int DATA_BYTES = 8 + 24 + 12 + 6;
    private static final String HEADER = """
        {"__metadata__":{"format":"pt"},"w":{"dtype":"F64","shape":[],"data_offsets":[0,8]},\
        "x.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[8,32]},\
        "y":{"dtype":"BF16","shape":[6],"data_offsets":[32,44]},\
        "empty":{"dtype":"I32","shape":[4,0],"data_offsets":[44,44]},\
        "z":{"dtype":"U8","shape":[1,2,3],"data_offsets":[44,50]}}\
        """;
    private static final List<String> SPLICES = List.of(
            "-1",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551616",
            "1e999",
            "4294967296",
            "0.5",
            "null",
            "true",
            "{}",
            "[]",
            "[[[[",
            "\"",
            "\\u0000",
            "\\ud800",
            "\"x.weight\":",
            "\"__metadata__\":{},",
            "BF16",
            "F8_E5M2",
            ",",
            "}");

    @Test
    void survivesDamagedHeaders() {
        SplittableRandom random = new SplittableRandom(20240607);
        int accepted = 0;
        int refused = 0;
        for (int round = 0; round < 20_000; round++) {
            byte[] mutant = mutate(RawFile.of(HEADER, DATA_BYTES), random);
            try {
                for (Tensor tensor : RawFile.read(mutant).tensors().values()) {
                    touch(tensor);
                }
                accepted++;
            } catch (MalformedCheckpointException e) {
                refused++;
            } catch (RuntimeException | StackOverflowError | OutOfMemoryError e) {
                fail("round " + round + ": " + HexFormat.of().formatHex(mutant), e);
            }
        }
        assertTrue(accepted > 100, "only " + accepted + " mutants accepted: the mutations are too coarse");
        assertTrue(refused > 10_000, "only " + refused + " mutants refused: the mutations do nothing");
    }

    private static void touch(Tensor tensor) {
        long bytes = Math.multiplyExact(tensor.elements(), tensor.type().bytes());
        if (bytes > 0) {
            tensor.data().get(ValueLayout.JAVA_BYTE, bytes - 1);
        }
    }

    private static byte[] mutate(byte[] file, SplittableRandom random) {
        byte[] mutant = file;
        int times = random.nextInt(1, 4);
        for (int i = 0; i < times && mutant.length > 9; i++) {
            // Most of the damage goes into the header, some into its length.
            int at = random.nextInt(10) == 0 ? random.nextInt(8) : random.nextInt(8, mutant.length);
            switch (random.nextInt(5)) {
                case 0 -> mutant[at] ^= (byte) (1 << random.nextInt(8));
                case 1 -> mutant[at] = (byte) ('0' + random.nextInt(10));
                case 2 -> mutant = resized(mutant, at, random.nextInt(1, 12), new byte[0]);
                case 3 ->
                    mutant = resized(
                            mutant,
                            at,
                            random.nextInt(3),
                            SPLICES.get(random.nextInt(SPLICES.size())).getBytes(StandardCharsets.UTF_8));
                default -> mutant = Arrays.copyOf(mutant, random.nextInt(mutant.length + 20));
            }
        }
        return mutant;
    }

    /// Replaces bytes, and mends the header length so that the parser gets to see the change.
    private static byte[] resized(byte[] file, int at, int removed, byte[] inserted) {
        int end = Math.min(at + removed, file.length);
        byte[] result = new byte[file.length - (end - at) + inserted.length];
        System.arraycopy(file, 0, result, 0, at);
        System.arraycopy(inserted, 0, result, at, inserted.length);
        System.arraycopy(file, end, result, at + inserted.length, file.length - end);
        int length = result.length - 8 - DATA_BYTES;
        if (at >= 8 && length >= 0) {
            for (int i = 0; i < 8; i++) {
                result[i] = (byte) ((long) length >>> 8 * i);
            }
        }
        return result;
    }
}

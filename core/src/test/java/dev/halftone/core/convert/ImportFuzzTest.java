package dev.halftone.core.convert;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.checkpoint.GgufType;
import dev.halftone.core.tensor.DType;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A container may be sound and what it says nonsense: settings, tokens and tensors that do not go together are
/// refused with a reason, and leave nothing behind.
class ImportFuzzTest {
    private static final int[] NUMBERS = {0, 1, 3, 7, 33, 4096, 1 << 22, Integer.MAX_VALUE, -1, 0x7F80_0000};

    @TempDir
    Path folder;

    @Test
    void survivesDamagedModels() throws IOException {
        Path file = folder.resolve("model.gguf");
        GgufOptions options = GgufOptions.of(GgufType.Q4_0, GgufType.Q8_0);
        Conversion.toGguf(TinyModel.unpack("llama31", folder), file, options, ConversionProgress.SILENT);
        byte[] sound = Files.readAllBytes(file);
        // What is not a block of weights: the keys, the names and shapes, and some data.
        int header = 8000;
        SplittableRandom random = new SplittableRandom(99);
        Path mutantFile = folder.resolve("mutant.gguf");
        Path out = folder.resolve("out");
        int accepted = 0;
        int refused = 0;
        for (int round = 0; round < 200; round++) {
            byte[] mutant = sound.clone();
            int at = random.nextInt(24, header);
            if (random.nextBoolean()) {
                mutant[at] ^= (byte) (1 << random.nextInt(8));
            } else {
                ByteBuffer.wrap(mutant)
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .putInt(at, NUMBERS[random.nextInt(NUMBERS.length)]);
            }
            Files.write(mutantFile, mutant);
            try {
                Conversion.toDense(mutantFile, out, DType.F32, ConversionProgress.SILENT);
                accepted++;
                delete(out);
            } catch (HalftoneException e) {
                refused++;
            } catch (RuntimeException | StackOverflowError | OutOfMemoryError e) {
                fail("round " + round + ", byte " + at, e);
            }
            assertTrue(Files.notExists(out));
        }
        assertTrue(accepted > 15 && refused > 40, accepted + " accepted, " + refused + " refused");
        try (Stream<Path> left = Files.list(folder)) {
            assertEquals(
                    List.of(),
                    left.filter(path -> path.toString().contains("partial")).toList());
        }
    }

    private static void delete(Path directory) throws IOException {
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}

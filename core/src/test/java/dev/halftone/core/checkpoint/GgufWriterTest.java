package dev.halftone.core.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class GgufWriterTest {
    private static final GgufSpec SMALL = new GgufSpec("small", GgufType.F32, Shape.of(3));
    private static final GgufSpec BLOCKS = new GgufSpec("blocks", GgufType.Q8_0, Shape.of(2, 64));

    @TempDir
    Path folder;

    @Test
    void writesTheBytesOfTheFormat() throws IOException {
        Path file = folder.resolve("a.gguf");
        try (GgufWriter writer = GgufWriter.create(file, Map.of("k", GgufValue.of(7)), List.of(SMALL))) {
            writer.append("small", bytes(12, 5));
            writer.publish();
        }
        byte[] expected = RawGguf.of(1, 1)
                .key("k", RawGguf.U32)
                .number(7)
                .tensor("small", 0, 0, 3)
                .data(0);
        expected = Arrays.copyOf(expected, expected.length + 32);
        Arrays.fill(expected, expected.length - 32, expected.length - 20, (byte) 5);
        assertArrayEquals(expected, Files.readAllBytes(file));
    }

    @Test
    void readsBackValuesOfEveryType() throws IOException {
        Map<String, GgufValue> metadata =
                new LinkedHashMap<>(RawGguf.read(RawGguf.sound(3)).metadata().values());
        Path file = folder.resolve("a.gguf");
        try (GgufWriter writer = GgufWriter.create(file, metadata, List.of())) {
            writer.publish();
        }
        try (Arena arena = Arena.ofConfined()) {
            Map<String, GgufValue> found = GgufFile.map(file, arena).metadata().values();
            assertEquals(List.copyOf(metadata.keySet()), List.copyOf(found.keySet()));
            metadata.forEach((key, value) -> {
                if (value instanceof GgufValue.Numbers numbers) {
                    GgufValue.Numbers other = (GgufValue.Numbers) found.get(key);
                    assertEquals(numbers.element(), other.element(), key);
                    assertEquals(-1, numbers.data().mismatch(other.data()), key);
                } else {
                    assertEquals(value, found.get(key), key);
                }
            });
        }
    }

    @Test
    void takesTensorsInAnyOrderAndInPieces() throws IOException {
        Path file = folder.resolve("a.gguf");
        try (GgufWriter writer = GgufWriter.create(file, Map.of(), List.of(SMALL, BLOCKS))) {
            writer.append("blocks", bytes(68, 1));
            writer.append("small", bytes(12, 3));
            writer.append("blocks", bytes(68, 2));
            writer.publish();
        }
        try (Arena arena = Arena.ofConfined()) {
            GgufFile read = GgufFile.map(file, arena);
            assertEquals(List.of("small", "blocks"), List.copyOf(read.tensors().keySet()));
            assertEquals(3, read.tensor("small").data().get(ValueLayout.JAVA_BYTE, 11));
            assertEquals(1, read.tensor("blocks").data().get(ValueLayout.JAVA_BYTE, 67));
            assertEquals(2, read.tensor("blocks").data().get(ValueLayout.JAVA_BYTE, 68));
        }
    }

    @Test
    void appearsOnlyWhenItIsWhole() throws IOException {
        Path file = folder.resolve("a.gguf");
        try (GgufWriter writer = GgufWriter.create(file, Map.of(), List.of(BLOCKS))) {
            writer.append("blocks", bytes(68, 1));
            assertEquals(
                    "tensor 'blocks' lacks 68 bytes of '" + file + "'",
                    assertThrows(IllegalStateException.class, writer::publish).getMessage());
            assertFalse(Files.exists(file));
        }
        try (Stream<Path> left = Files.list(folder)) {
            assertEquals(List.of(), left.toList());
        }
    }

    @Test
    void refusesAnExistingTarget() throws IOException {
        Path file = Files.createFile(folder.resolve("a.gguf"));
        HalftoneException refusal =
                assertThrows(HalftoneException.class, () -> GgufWriter.create(file, Map.of(), List.of(SMALL)));
        assertEquals(Kind.OUTPUT_TAKEN, refusal.kind());
    }

    @Test
    void refusesASecondWriterOfTheSameTarget() throws IOException {
        Path file = folder.resolve("a.gguf");
        try (GgufWriter writer = GgufWriter.create(file, Map.of(), List.of(SMALL))) {
            HalftoneException refusal =
                    assertThrows(HalftoneException.class, () -> GgufWriter.create(file, Map.of(), List.of(SMALL)));
            assertTrue(refusal.getMessage().endsWith("is being written by another run"), refusal.getMessage());
            writer.append("small", bytes(12, 1));
            writer.publish();
        }
        assertTrue(Files.exists(file));
    }

    @Test
    void takesOverWhatADeadRunLeft() throws IOException {
        Path file = folder.resolve("a.gguf");
        Files.write(folder.resolve(".a.gguf.partial"), new byte[5000]);
        try (GgufWriter writer = GgufWriter.create(file, Map.of(), List.of(SMALL))) {
            writer.append("small", bytes(12, 1));
            writer.publish();
        }
        try (Arena arena = Arena.ofConfined()) {
            assertEquals(1, GgufFile.map(file, arena).tensors().size());
        }
    }

    @Test
    void refusesMoreThanWasPlanned() throws IOException {
        try (GgufWriter writer = GgufWriter.create(folder.resolve("a.gguf"), Map.of(), List.of(SMALL))) {
            writer.append("small", bytes(8, 1));
            assertThrows(IllegalArgumentException.class, () -> writer.append("small", bytes(8, 1)));
            assertThrows(IllegalArgumentException.class, () -> writer.append("other", bytes(8, 1)));
        }
    }

    @Test
    void refusesPlansThatReadersWouldRefuse() {
        Path file = folder.resolve("a.gguf");
        GgufSpec longName = new GgufSpec("n".repeat(64), GgufType.F32, Shape.of(1));
        assertThrows(IllegalArgumentException.class, () -> GgufWriter.create(file, Map.of(), List.of(SMALL, SMALL)));
        assertThrows(IllegalArgumentException.class, () -> GgufWriter.create(file, Map.of(), List.of(longName)));
        assertThrows(IllegalArgumentException.class, () -> new GgufSpec("x", GgufType.Q4_0, Shape.of(2, 33)));
    }

    @Test
    void refusesADiskThatIsTooSmall() {
        GgufSpec huge = new GgufSpec("huge", GgufType.F32, Shape.of(1L << 20, 1L << 36));
        HalftoneException refusal = assertThrows(
                HalftoneException.class, () -> GgufWriter.create(folder.resolve("a"), Map.of(), List.of(huge)));
        assertEquals(Kind.RESOURCES, refusal.kind());
    }

    private static MemorySegment bytes(int count, int value) {
        byte[] bytes = new byte[count];
        Arrays.fill(bytes, (byte) value);
        return MemorySegment.ofArray(bytes);
    }
}

package dev.halftone.core.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class SafetensorsWriterTest {
    @TempDir
    Path folder;

    @Test
    void writesTheHeaderThatTheFormatAsksFor() throws IOException {
        Path file = folder.resolve("m.safetensors");
        Tensor bytes = random("b", DType.U8, Shape.of(3));
        Tensor half = random("z", DType.BF16, Shape.of(1, 2));
        Tensor quoted = random("a\"\\", DType.U8, Shape.of());
        write(file, List.of(bytes, half, quoted), Map.of("format", "pt"));

        String header = "{\"__metadata__\":{\"format\":\"pt\"},"
                + "\"z\":{\"dtype\":\"BF16\",\"shape\":[1,2],\"data_offsets\":[0,4]},"
                + "\"a\\\"\\\\\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[4,5]},"
                + "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[5,8]}}";
        String padded = header + " ".repeat(Math.floorMod(-header.length(), 8));
        byte[] expected = RawFile.of(padded, 8);
        int begin = expected.length - 8;
        System.arraycopy(contents(half), 0, expected, begin, 4);
        System.arraycopy(contents(quoted), 0, expected, begin + 4, 1);
        System.arraycopy(contents(bytes), 0, expected, begin + 5, 3);
        assertArrayEquals(expected, Files.readAllBytes(file));
    }

    @ParameterizedTest
    @EnumSource
    void readsBackEveryType(DType type) throws IOException {
        List<Tensor> tensors = List.of(
                random("matrix", type, Shape.of(5, 7)),
                random("scalar", type, Shape.of()),
                random("empty", type, Shape.of(3, 0)),
                random("deep", type, Shape.of(1, 2, 1, 2, 1, 2, 1, 2)));
        assertReadsBack(tensors);
    }

    @Test
    void alignsEveryTensorToItsElements() throws IOException {
        List<Tensor> tensors = new ArrayList<>();
        for (DType type : DType.values()) {
            tensors.add(random("t." + type, type, Shape.of(3)));
        }
        Path file = write(folder.resolve("m"), tensors, Map.of());
        try (Arena arena = Arena.ofConfined()) {
            for (Tensor tensor : SafetensorsFile.map(file, arena).tensors().values()) {
                assertEquals(0, tensor.data().address() % tensor.type().bytes(), tensor.name());
            }
        }
    }

    @Test
    void givesTheSameBytesInWhateverOrderTensorsCome() throws IOException {
        List<Tensor> tensors = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            tensors.add(random("t" + i, DType.values()[i % 10], Shape.of(i)));
        }
        byte[] first = Files.readAllBytes(write(folder.resolve("1"), tensors, Map.of()));
        Collections.shuffle(tensors, new Random(7));
        assertArrayEquals(first, Files.readAllBytes(write(folder.resolve("2"), tensors, Map.of())));
    }

    @Test
    void knowsTheSizeOfTheFileBeforehand() throws IOException {
        List<Tensor> tensors = List.of(random("a", DType.F32, Shape.of(11)), random("b", DType.I8, Shape.of(5)));
        Path file = write(folder.resolve("m"), tensors, Map.of("format", "pt"));
        List<TensorSpec> specs = tensors.stream().map(TensorSpec::of).toList();
        assertEquals(Files.size(file), SafetensorsWriter.fileBytes(specs, Map.of("format", "pt")));
    }

    @Test
    void placesTensorsBeyondTwoGibibytes() throws IOException {
        // The big tensor stays a hole, which takes no disk; the last one fixes the length of the file.
        TensorSpec hole = new TensorSpec("a", DType.U8, Shape.of(3L << 30));
        Tensor last = random("b", DType.U8, Shape.of(5));
        Path file = folder.resolve("sparse.safetensors");
        try (SafetensorsWriter writer = SafetensorsWriter.create(file, List.of(hole, TensorSpec.of(last)), Map.of())) {
            writer.write(last);
            try (Arena arena = Arena.ofConfined()) {
                Map<String, Tensor> read = SafetensorsFile.map(file, arena).tensors();
                assertEquals(3L << 30, read.get("a").elements());
                assertArrayEquals(contents(last), contents(read.get("b")));
                assertEquals(0, read.get("a").data().get(ValueLayout.JAVA_BYTE, (3L << 30) - 1));
            }
        }
    }

    @Test
    void writesDataLargerThanOneStep() throws IOException {
        Tensor large = random("large", DType.U8, Shape.of((64 << 20) + 12_345));
        Path file = write(folder.resolve("m"), List.of(large), Map.of());
        try (Arena arena = Arena.ofConfined()) {
            Tensor read = SafetensorsFile.map(file, arena).tensors().get("large");
            assertEquals(-1, large.data().mismatch(read.data()));
        }
    }

    @Test
    void refusesATensorThatIsNotPlanned() throws IOException {
        try (SafetensorsWriter writer = planned("a", DType.U8, 1)) {
            assertThrows(IllegalArgumentException.class, () -> writer.write(random("b", DType.U8, Shape.of(1))));
        }
    }

    @Test
    void refusesATensorOfAnotherTypeOrShapeThanPlanned() throws IOException {
        try (SafetensorsWriter writer = planned("a", DType.U8, 2)) {
            assertThrows(IllegalArgumentException.class, () -> writer.write(random("a", DType.I8, Shape.of(2))));
            assertThrows(IllegalArgumentException.class, () -> writer.write(random("a", DType.U8, Shape.of(2, 1))));
        }
    }

    @Test
    void refusesATensorWrittenTwice() throws IOException {
        try (SafetensorsWriter writer = planned("a", DType.U8, 1)) {
            Tensor tensor = random("a", DType.U8, Shape.of(1));
            writer.write(tensor);
            assertThrows(IllegalArgumentException.class, () -> writer.write(tensor));
        }
    }

    @Test
    void refusesToFinishWithoutAllTensors() throws IOException {
        try (SafetensorsWriter writer = planned("a", DType.U8, 1)) {
            String message =
                    assertThrows(IllegalStateException.class, writer::finish).getMessage();
            assertTrue(message.contains("lacks 1 planned tensors, among them 'a'"), message);
        }
    }

    @Test
    void refusesNamesPlannedTwiceOrReserved() {
        TensorSpec spec = new TensorSpec("a", DType.U8, Shape.of(1));
        TensorSpec reserved = new TensorSpec("__metadata__", DType.U8, Shape.of(1));
        Path file = folder.resolve("m");
        assertThrows(
                IllegalArgumentException.class, () -> SafetensorsWriter.create(file, List.of(spec, spec), Map.of()));
        assertThrows(IllegalArgumentException.class, () -> SafetensorsWriter.create(file, List.of(reserved), Map.of()));
        assertFalse(Files.exists(file));
    }

    @Test
    void neverOverwritesAFile() throws IOException {
        Path file = Files.writeString(folder.resolve("m"), "precious");
        assertThrows(FileAlreadyExistsException.class, () -> SafetensorsWriter.create(file, List.of(), Map.of()));
        assertEquals("precious", Files.readString(file));
    }

    @Test
    void deletesAFileThatWasNotFinished() throws IOException {
        Path file = folder.resolve("m.safetensors");
        try (SafetensorsWriter writer = planned("a", DType.U8, 1)) {
            assertTrue(Files.exists(file));
            writer.write(random("a", DType.U8, Shape.of(1)));
        }
        assertFalse(Files.exists(file));
    }

    @Test
    void deletesAFileWhoseHeaderCouldNotBeWritten() {
        Path file = folder.resolve("m");
        assertThrows(
                IOException.class, () -> SafetensorsWriter.create(file, List.of(), Map.of(), new FullDisk(4)::open));
        assertFalse(Files.exists(file));
    }

    private SafetensorsWriter planned(String name, DType type, long size) throws IOException {
        TensorSpec spec = new TensorSpec(name, type, Shape.of(size));
        return SafetensorsWriter.create(folder.resolve("m.safetensors"), List.of(spec), Map.of());
    }

    private void assertReadsBack(List<Tensor> tensors) throws IOException {
        Path file = write(folder.resolve("m"), tensors, Map.of());
        try (Arena arena = Arena.ofConfined()) {
            Map<String, Tensor> read = SafetensorsFile.map(file, arena).tensors();
            assertEquals(tensors.size(), read.size());
            for (Tensor tensor : tensors) {
                assertEquals(TensorSpec.of(tensor), TensorSpec.of(read.get(tensor.name())));
                assertArrayEquals(contents(tensor), contents(read.get(tensor.name())), tensor.name());
            }
        }
    }

    private static Path write(Path file, List<Tensor> tensors, Map<String, String> metadata) throws IOException {
        try (SafetensorsWriter writer = SafetensorsWriter.create(
                file, tensors.stream().map(TensorSpec::of).toList(), metadata)) {
            for (Tensor tensor : tensors.reversed()) {
                writer.write(tensor);
            }
            writer.finish();
        }
        return file;
    }

    static Tensor random(String name, DType type, Shape shape) {
        byte[] bytes = new byte[Math.toIntExact(shape.elements() * type.bytes())];
        new Random(name.hashCode()).nextBytes(bytes);
        return new Tensor(name, type, shape, MemorySegment.ofArray(bytes));
    }

    private static byte[] contents(Tensor tensor) {
        return tensor.data().toArray(ValueLayout.JAVA_BYTE);
    }
}

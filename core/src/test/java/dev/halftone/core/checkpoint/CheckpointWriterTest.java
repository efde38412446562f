package dev.halftone.core.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CheckpointWriterTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final JsonNode CONFIG = JSON.createObjectNode().put("model_type", "llama");

    private static final List<Tensor> TENSORS = List.of(
            SafetensorsWriterTest.random("c", DType.F32, Shape.of(10)),
            SafetensorsWriterTest.random("a", DType.F32, Shape.of(10)),
            SafetensorsWriterTest.random("b", DType.F32, Shape.of(30)),
            SafetensorsWriterTest.random("d", DType.U8, Shape.of(1)));
    private static final List<TensorSpec> SPECS =
            TENSORS.stream().map(TensorSpec::of).toList();
    private static final long DATA_BYTES = 201;

    @TempDir
    Path folder;

    @Test
    void publishesASingleFileThatReadsBack() throws IOException {
        Path target = folder.resolve("out");
        publish(target, Long.MAX_VALUE);
        assertEquals(Set.of("config.json", "model.safetensors"), names(target));
        assertReadsBack(target);
        assertEquals(Set.of("out"), names(folder));
    }

    @Test
    void fillsShardsInTheGivenOrder() throws IOException {
        Path target = folder.resolve("out");
        publish(target, 80);
        assertEquals(
                Set.of(
                        "config.json",
                        "model-00001-of-00003.safetensors",
                        "model-00002-of-00003.safetensors",
                        "model-00003-of-00003.safetensors",
                        "model.safetensors.index.json"),
                names(target));
        assertEquals("""
            {
              "metadata" : {
                "total_size" : 201
              },
              "weight_map" : {
                "a" : "model-00001-of-00003.safetensors",
                "b" : "model-00002-of-00003.safetensors",
                "c" : "model-00001-of-00003.safetensors",
                "d" : "model-00003-of-00003.safetensors"
              }
            }
            """, Files.readString(target.resolve("model.safetensors.index.json")));
        assertReadsBack(target);
    }

    @Test
    void copiesFilesAndWritesJson() throws IOException {
        Path tokenizer = Files.writeString(folder.resolve("tokenizer.json"), "{ }");
        Path target = folder.resolve("out");
        try (CheckpointWriter writer = CheckpointWriter.create(target, List.of(), 1)) {
            writer.copyFile(tokenizer);
            writer.writeJson("config.json", CONFIG);
            assertThrows(HalftoneException.class, () -> writer.copyFile(tokenizer));
            assertThrows(IllegalArgumentException.class, () -> writer.writeJson("../config.json", CONFIG));
            writer.publish();
        }
        assertEquals("{ }", Files.readString(target.resolve("tokenizer.json")));
        assertEquals("{\n  \"model_type\" : \"llama\"\n}\n", Files.readString(target.resolve("config.json")));
    }

    @Test
    void keepsTheTargetAbsentUntilItIsPublished() throws IOException {
        Path target = folder.resolve("out");
        try (CheckpointWriter writer = CheckpointWriter.create(target, SPECS, 80)) {
            for (Tensor tensor : TENSORS) {
                writer.write(tensor);
            }
            assertFalse(Files.exists(target));
            assertEquals(Set.of(".out.partial"), names(folder));
            writer.publish();
            assertTrue(Files.exists(target));
        }
        assertTrue(Files.exists(target));
    }

    @Test
    void canBeReadWhereItWasBuiltOnceItIsSealed() throws IOException {
        Path target = folder.resolve("out");
        try (CheckpointWriter writer = CheckpointWriter.create(target, SPECS, 80)) {
            assertThrows(IllegalStateException.class, writer::seal);
            for (Tensor tensor : TENSORS) {
                writer.write(tensor);
            }
            writer.writeJson("config.json", CONFIG);
            Path built = writer.seal();
            assertReadsBack(built);
            assertFalse(Files.exists(target));
            writer.writeJson("report.json", CONFIG);
            assertEquals(built, writer.seal());
            writer.publish();
        }
        assertReadsBack(target);
        assertTrue(Files.exists(target.resolve("report.json")));
    }

    @Test
    void leavesNothingBehindWhenItIsNotPublished() throws IOException {
        Path target = folder.resolve("deep/er/out");
        try (CheckpointWriter writer = CheckpointWriter.create(target, SPECS, 80)) {
            writer.write(TENSORS.getFirst());
            writer.writeJson("config.json", CONFIG);
            assertTrue(Files.exists(folder.resolve("deep/er/.out.partial/model/config.json")));
        }
        assertEquals(Set.of(), names(folder));
    }

    @Test
    void publishesIntoADirectoryThatIsThereButEmpty() throws IOException {
        Path target = Files.createDirectory(folder.resolve("out"));
        publish(target, 80);
        assertReadsBack(target);
    }

    @Test
    void publishesWhereALinkPoints() throws IOException {
        Path real = Files.createDirectories(folder.resolve("disk/models"));
        Path link = Files.createSymbolicLink(folder.resolve("out"), real);
        publish(link, 80);
        assertTrue(Files.isSymbolicLink(link));
        assertReadsBack(real);
    }

    @Test
    void refusesATargetThatIsNotEmpty() throws IOException {
        Path target = Files.createDirectory(folder.resolve("out"));
        Files.writeString(target.resolve("precious"), "1");
        assertTaken("'" + target + "' is not empty", target);
        assertEquals(Set.of("precious"), names(target));
        assertEquals(Set.of("out"), names(folder));
    }

    @Test
    void refusesATargetThatIsAFile() throws IOException {
        Path target = Files.writeString(folder.resolve("out"), "1");
        assertTaken("'" + target + "' is not a directory", target);
        assertEquals("1", Files.readString(target));
    }

    @Test
    void refusesTheRootOfTheFileSystem() {
        HalftoneException refusal = assertThrows(
                HalftoneException.class,
                () -> CheckpointWriter.create(folder.getRoot(), List.of(), 1).close());
        assertEquals(Kind.OUTPUT_TAKEN, refusal.kind());
    }

    @Test
    void refusesToPublishOverWhatAppearedMeanwhile() throws IOException {
        Path target = folder.resolve("out");
        try (CheckpointWriter writer = CheckpointWriter.create(target, List.of(), 1)) {
            Files.createDirectory(target);
            Files.writeString(target.resolve("precious"), "1");
            HalftoneException refusal = assertThrows(HalftoneException.class, writer::publish);
            assertEquals(Kind.OUTPUT_TAKEN, refusal.kind());
        }
        assertEquals(Set.of("out"), names(folder));
        assertEquals(Set.of("precious"), names(target));
    }

    @Test
    void refusesADiskThatIsTooSmallBeforeItWrites() {
        Path target = folder.resolve("out");
        List<TensorSpec> large = List.of(new TensorSpec("w", DType.F32, Shape.of(5L << 28)));
        HalftoneException refusal = assertThrows(
                HalftoneException.class,
                () -> CheckpointWriter.create(target, large, 1L << 40, FullDisk.claiming(3L << 29))
                        .close());
        assertEquals(Kind.RESOURCES, refusal.kind());
        assertEquals("not enough disk for '" + target + "'", refusal.getMessage());
        assertEquals("needs 5.0 GiB, 1.5 GiB free on the disk of '" + folder + "'", refusal.detail());
        assertEquals("free 3.5 GiB there, or write to another disk", refusal.remedy());
        assertEquals(Set.of(), assertNames());
    }

    @Test
    void countsHeadersAmongWhatItNeeds() throws IOException {
        long exact = 0;
        Path target = folder.resolve("out");
        publish(target, 80);
        try (Stream<Path> files = Files.list(target)) {
            for (Path file :
                    files.filter(f -> f.toString().endsWith(".safetensors")).toList()) {
                exact += Files.size(file);
            }
        }
        assertTrue(exact > DATA_BYTES);
        long free = exact;
        Path second = folder.resolve("second");
        CheckpointWriter.create(second, SPECS, 80, FullDisk.claiming(free)).close();
        assertThrows(
                HalftoneException.class,
                () -> CheckpointWriter.create(second, SPECS, 80, FullDisk.claiming(free - 1))
                        .close());
    }

    @Test
    void tellsHowFarItGotWhenTheDiskFills() throws IOException {
        Path target = folder.resolve("out");
        Tensor first = SafetensorsWriterTest.random("a", DType.U8, Shape.of(60_000));
        Tensor second = SafetensorsWriterTest.random("b", DType.U8, Shape.of(39_800));
        List<TensorSpec> specs = List.of(TensorSpec.of(first), TensorSpec.of(second));
        try (CheckpointWriter writer = CheckpointWriter.create(target, specs, 1 << 20, new FullDisk(80_000))) {
            writer.write(first);
            HalftoneException refusal = assertThrows(HalftoneException.class, () -> writer.write(second));
            assertEquals(Kind.RESOURCES, refusal.kind());
            assertEquals("writing '" + target + "' failed at 60 %: No space left on device", refusal.getMessage());
            assertEquals("58.6 KiB of 97.6 KiB written; no partial model was published", refusal.detail());
        }
        assertEquals(Set.of(), names(folder));
    }

    @Test
    void leavesNothingBehindWhereverTheDiskFills() throws IOException {
        long needed = 0;
        for (int room = 0; needed == 0; room += 16) {
            Path target = folder.resolve("out" + room);
            int before = names(folder).size();
            try (CheckpointWriter writer = CheckpointWriter.create(target, SPECS, 80, new FullDisk(room))) {
                for (Tensor tensor : TENSORS) {
                    writer.write(tensor);
                }
                writer.writeJson("config.json", CONFIG);
                writer.publish();
                needed = room;
            } catch (HalftoneException e) {
                assertEquals(Kind.RESOURCES, e.kind());
                assertTrue(e.getMessage().contains("No space left on device"), e.getMessage());
                assertEquals(before, names(folder).size());
            }
        }
        assertTrue(needed > 2 * DATA_BYTES, "stopped at " + needed);
        assertReadsBack(folder.resolve("out" + needed));
    }

    @Test
    void refusesTensorsThatAreNotPlannedOrPlannedTwice() throws IOException {
        Path target = folder.resolve("out");
        try (CheckpointWriter writer = CheckpointWriter.create(target, SPECS, 80)) {
            Tensor unplanned = SafetensorsWriterTest.random("x", DType.U8, Shape.of(1));
            assertThrows(IllegalArgumentException.class, () -> writer.write(unplanned));
            assertThrows(IllegalStateException.class, writer::publish);
        }
        // In different shards, so that no single header shows it.
        List<TensorSpec> twice = List.of(SPECS.getFirst(), SPECS.getFirst());
        assertThrows(
                IllegalArgumentException.class,
                () -> CheckpointWriter.create(target, twice, 40).close());
        assertThrows(
                IllegalArgumentException.class,
                () -> CheckpointWriter.create(target, SPECS, 0).close());
        assertEquals(Set.of(), names(folder));
    }

    @Test
    void namesTheFileThatIsAlreadyThere() throws IOException {
        try (CheckpointWriter writer = CheckpointWriter.create(folder.resolve("out"), SPECS, 1000)) {
            HalftoneException refusal =
                    assertThrows(HalftoneException.class, () -> writer.writeJson("model.safetensors", CONFIG));
            assertEquals(FileAlreadyExistsException.class, refusal.getCause().getClass());
        }
    }

    private void publish(Path target, long maximumShardBytes) throws IOException {
        try (CheckpointWriter writer = CheckpointWriter.create(target, SPECS, maximumShardBytes)) {
            for (Tensor tensor : TENSORS.reversed()) {
                writer.write(tensor);
            }
            writer.writeJson("config.json", CONFIG);
            writer.publish();
        }
    }

    private static void assertReadsBack(Path directory) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(directory)) {
            assertEquals(CONFIG, checkpoint.config());
            assertEquals(TENSORS.size(), checkpoint.tensors().size());
            for (Tensor tensor : TENSORS) {
                Tensor read = checkpoint.tensor(tensor.name());
                assertEquals(TensorSpec.of(tensor), TensorSpec.of(read));
                assertEquals(-1, tensor.data().mismatch(read.data()));
            }
        }
    }

    private static void assertTaken(String message, Path target) {
        HalftoneException refusal = assertThrows(
                HalftoneException.class,
                () -> CheckpointWriter.create(target, SPECS, 80).close());
        assertEquals(Kind.OUTPUT_TAKEN, refusal.kind());
        assertEquals(message, refusal.getMessage());
    }

    private Set<String> assertNames() {
        try {
            return names(folder);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    static Set<String> names(Path directory) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.map(file -> file.getFileName().toString()).collect(Collectors.toCollection(TreeSet::new));
        }
    }
}

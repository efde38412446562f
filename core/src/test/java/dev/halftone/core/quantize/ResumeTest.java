package dev.halftone.core.quantize;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.CheckpointWriter;
import dev.halftone.core.checkpoint.Disk;
import dev.halftone.core.checkpoint.ForgetfulDisk;
import dev.halftone.core.checkpoint.FullDisk;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.layout.GptqLayout;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.testing.SplittingBackend;
import dev.halftone.core.testing.SyntheticCheckpoint;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.CancellationException;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ResumeTest {
    private static final int LINEARS = 21;
    private static final int LINEARS_OF_BLOCK = 7;
    private static final QuantizationListener SILENT = new QuantizationListener() {};

    private final Backend backend = new ReferenceBackend();

    @TempDir
    private Path folder;

    private Path source;
    private Path target;
    private Path staging;

    @BeforeEach
    void writeTheModel() throws IOException {
        source = folder.resolve("model");
        target = folder.resolve("out");
        staging = folder.resolve(".out.partial");
        SyntheticCheckpoint.write(source, SyntheticCheckpoint.tinyConfig(), DType.BF16, 7);
    }

    private static QuantizationScheme scheme() {
        return QuantizationScheme.gptq(4, 32, false);
    }

    private static Recipe recipe(WeightQuantizer quantizer, BlockTransform... transforms) {
        return new Recipe(List.of(transforms), quantizer, scheme(), GptqLayout.v1(scheme()));
    }

    private static Recipe watching() {
        return recipe(new MomentsRounding(0.1));
    }

    private static Calibration calibration(int factor) {
        int[] tokens = IntStream.range(0, 3 * 16).map(i -> factor * i % 96).toArray();
        return Calibration.of("text " + factor, tokens, 3, 16);
    }

    private QuantizationRun run(Path output, Recipe recipe, Resume resume, Disk disk) {
        return new QuantizationRun(
                source,
                output,
                recipe,
                calibration(5),
                backend,
                OutputOptions.DEFAULT.withResume(resume).withDisk(disk));
    }

    private QuantizationRun run(Recipe recipe) {
        return run(target, recipe, Resume.AUTO, Disk.SYSTEM);
    }

    /// The recipe's output without any interruption.
    private SortedMap<String, byte[]> whole(Recipe recipe) throws IOException {
        Path whole = folder.resolve("whole");
        run(whole, recipe, Resume.NEVER, Disk.SYSTEM).run(SILENT);
        return contents(whole);
    }

    private static SortedMap<String, byte[]> contents(Path directory) throws IOException {
        SortedMap<String, byte[]> contents = new TreeMap<>();
        try (Stream<Path> files = Files.list(directory)) {
            for (Path file : files.toList()) {
                contents.put(file.getFileName().toString(), Files.readAllBytes(file));
            }
        }
        return contents;
    }

    private void assertSameAs(SortedMap<String, byte[]> expected) throws IOException {
        SortedMap<String, byte[]> found = contents(target);
        assertEquals(expected.keySet(), found.keySet());
        expected.forEach((file, bytes) -> assertArrayEquals(bytes, found.get(file), file));
        assertFalse(Files.exists(staging));
    }

    /// Ends a run by an exception out of its listener.
    private static final class Cut extends RuntimeException {
        private static final long serialVersionUID = 1L;
    }

    private static QuantizationListener cutAfter(int linears) {
        return new QuantizationListener() {
            private int done;

            @Override
            public void quantized(LinearReport linear) {
                if (++done == linears) {
                    throw new Cut();
                }
            }
        };
    }

    private void cut(QuantizationRun run, int linears) {
        assertThrows(Cut.class, () -> run.run(cutAfter(linears)));
        assertFalse(Files.exists(target));
    }

    /// What a run tells its listener.
    private static final class Heard implements QuantizationListener {
        final List<Resumption> resumptions = new ArrayList<>();
        final List<String> linears = new ArrayList<>();
        final List<Integer> kept = new ArrayList<>();
        final List<Double> fractions = new ArrayList<>();

        @Override
        public void resumed(Resumption resumption) {
            resumptions.add(resumption);
        }

        @Override
        public void kept(int blocks, Path directory) {
            assertTrue(Files.isRegularFile(directory.resolve("progress.json")));
            kept.add(blocks);
        }

        @Override
        public void quantized(LinearReport linear) {
            linears.add(linear.name());
        }

        @Override
        public void progressed(double fraction) {
            fractions.add(fraction);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 6, 7, 8, 14, 15, 20, 21})
    void goesOnWithTheBlockThatWasCut(int linears) throws IOException {
        SortedMap<String, byte[]> whole = whole(watching());
        cut(run(watching()), linears);
        int blocks = (linears - 1) / LINEARS_OF_BLOCK;
        assertEquals(blocks > 0, Files.exists(staging), "a run that finished no block leaves nothing");

        Heard heard = new Heard();
        QuantizationReport report = run(watching()).run(heard);

        assertSameAs(whole);
        assertEquals(
                blocks == 0 ? List.of() : List.of(blocks),
                heard.resumptions.stream().map(Resumption::blocks).toList());
        assertEquals(LINEARS - blocks * LINEARS_OF_BLOCK, heard.linears.size());
        assertEquals(LINEARS, report.linears().size());
        assertEquals(LINEARS, report.verified());
        assertEquals(heard.fractions.stream().sorted().toList(), heard.fractions);
        assertEquals(blocks / 3.0, heard.fractions.getFirst(), 0.15);
        assertEquals(1, heard.fractions.getLast(), 1e-9);
    }

    @Test
    void goesOnAgainAndAgain() throws IOException {
        SortedMap<String, byte[]> whole = whole(watching());
        for (int linears : new int[] {3, 8, 2, 7, 9, 1}) {
            cut(run(watching()), linears);
        }

        Heard heard = new Heard();
        run(watching()).run(heard);

        assertEquals(2, heard.resumptions.getFirst().blocks());
        assertSameAs(whole);
    }

    @Test
    void losesNothingThatWasFinishedWhenOnlyPublishingIsLeft() throws IOException {
        SortedMap<String, byte[]> whole = whole(watching());
        QuantizationRun run = run(watching());
        assertThrows(
                CancellationException.class,
                () -> run.run(new QuantizationListener() {
                    @Override
                    public void kept(int blocks, Path directory) {
                        if (blocks == 3) {
                            run.cancel();
                        }
                    }
                }));

        Heard heard = new Heard();
        run(watching()).run(heard);

        assertSameAs(whole);
        assertEquals(List.of(), heard.linears);
    }

    @Test
    void goesOnWithAMethodThatLooksAtNoText() throws IOException {
        Recipe rounding = recipe(new RoundToNearest());
        SortedMap<String, byte[]> whole = whole(rounding);
        cut(run(rounding), 9);

        Heard heard = new Heard();
        run(rounding).run(heard);

        assertSameAs(whole);
        assertEquals(LINEARS - LINEARS_OF_BLOCK, heard.linears.size());
        assertEquals(List.of(2, 3), heard.kept);
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void goesOnWithTheHeadThatWasCut(boolean watching) throws IOException {
        Recipe rounding = (watching ? watching() : recipe(new RoundToNearest())).withHeadBits(8);
        SortedMap<String, byte[]> whole = whole(rounding);
        cut(run(rounding), LINEARS + 1);

        Heard heard = new Heard();
        QuantizationReport report = run(rounding).run(heard);

        assertEquals(3, heard.resumptions.getFirst().blocks());
        assertEquals(List.of("lm_head"), heard.linears);
        assertEquals(LINEARS + 1, report.verified());
        assertSameAs(whole);
    }

    /// Divides every input by a number that depends on what was seen of it.
    private static final class Division implements BlockTransform {
        @Override
        public String name() {
            return "division";
        }

        @Override
        public SortedMap<String, Object> settings() {
            return Collections.emptySortedMap();
        }

        @Override
        public float[] divisors(
                Fold fold, List<Weight> weights, InputStatistics seen, QuantizationScheme scheme, Backend backend) {
            float[] row = new float[seen.width()];
            backend.copyOut(seen.moments().rows(0, 1), row, 0);
            float[] divisors = new float[fold.producers()];
            for (int i = 0; i < divisors.length; i++) {
                divisors[i] = 1 + Math.abs(row[i]);
            }
            return divisors;
        }
    }

    @Test
    void goesOnWithAnOutputInManyFiles() throws IOException {
        OutputOptions small = OutputOptions.DEFAULT.withShardBytes(20_000);
        Path uninterrupted = folder.resolve("whole");
        new QuantizationRun(source, uninterrupted, watching(), calibration(5), backend, small).run(SILENT);
        cut(new QuantizationRun(source, target, watching(), calibration(5), backend, small), 16);

        new QuantizationRun(source, target, watching(), calibration(5), backend, small).run(SILENT);

        assertSameAs(contents(uninterrupted));
    }

    @Test
    void keepsTheNormsThatATransformChanged() throws IOException {
        Recipe dividing = recipe(new MomentsRounding(0.1), new Division());
        SortedMap<String, byte[]> whole = whole(dividing);
        cut(run(dividing), 16);

        run(dividing).run(SILENT);

        assertSameAs(whole);
    }

    @Test
    void losesOnlyTheBlockInWorkWhenThePowerIsCut() throws IOException {
        SortedMap<String, byte[]> whole = whole(watching());
        for (int linears : new int[] {3, 7, 8, 13, 14, 15, 21}) {
            ForgetfulDisk disk = new ForgetfulDisk();
            cut(run(target, watching(), Resume.AUTO, disk), linears);
            disk.cutPower();

            Heard heard = new Heard();
            run(watching()).run(heard);

            assertEquals(LINEARS - (linears - 1) / LINEARS_OF_BLOCK * LINEARS_OF_BLOCK, heard.linears.size());
            assertSameAs(whole);
            deleteOutput();
        }
    }

    private void deleteOutput() throws IOException {
        for (String file : contents(target).keySet()) {
            Files.delete(target.resolve(file));
        }
        Files.delete(target);
    }

    @Test
    void publishesNothingWhereverTheDiskFillsAndGoesOnOnceThereIsRoom() throws IOException {
        SortedMap<String, byte[]> whole = whole(watching());
        FullDisk roomy = new FullDisk(Long.MAX_VALUE);
        run(target, watching(), Resume.AUTO, roomy).run(SILENT);
        deleteOutput();
        long needed = Long.MAX_VALUE - roomy.room();
        int resumed = 0;
        for (int i = 0; i < 20; i++) {
            FullDisk disk = new FullDisk(needed * i / 20);
            QuantizationRun refused = run(target, watching(), Resume.AUTO, disk);
            HalftoneException refusal = assertThrows(HalftoneException.class, () -> refused.run(SILENT));
            assertEquals(Kind.RESOURCES, refusal.kind(), refusal.explanation());
            assertTrue(refusal.getMessage().contains("No space left on device"), refusal.explanation());
            assertTrue(refusal.detail().contains("no partial model was published"), refusal.explanation());
            assertFalse(Files.exists(target));
            assertEquals(
                    Files.exists(staging), refusal.detail().contains("what was finished is kept"), refusal.detail());

            Heard heard = new Heard();
            run(watching()).run(heard);

            resumed += heard.resumptions.size();
            assertSameAs(whole);
            deleteOutput();
        }
        assertTrue(resumed > 10, resumed + " of 20 went on with something");
    }

    @Test
    void refusesToGoOnWithOtherSettingsAndNamesThem() throws IOException {
        cut(run(watching()), 10);
        SortedMap<String, byte[]> before = contents(staging.resolve("model"));

        assertRefused("strength was 0.1, is now 0.2", run(recipe(new MomentsRounding(0.2))));
        assertRefused("head_bits was none, is now 8", run(watching().withHeadBits(8)));
        assertRefused(
                "other calibration text", new QuantizationRun(source, target, watching(), calibration(7), backend));
        SyntheticCheckpoint.write(folder.resolve("other"), SyntheticCheckpoint.tinyConfig(), DType.BF16, 8);
        Path first = source;
        source = folder.resolve("other");
        assertRefused("other model weights", run(watching()));
        source = first;

        before.forEach((file, bytes) -> {
            try {
                assertArrayEquals(
                        bytes, Files.readAllBytes(staging.resolve("model").resolve(file)), file);
            } catch (IOException e) {
                throw new AssertionError(e);
            }
        });
        SortedMap<String, byte[]> whole = whole(watching());
        Heard heard = new Heard();
        run(watching()).run(heard);
        assertEquals(1, heard.resumptions.getFirst().blocks());
        assertSameAs(whole);
    }

    private void assertRefused(String difference, QuantizationRun run) {
        HalftoneException refusal = assertThrows(HalftoneException.class, () -> run.run(cutAfter(1)));
        assertEquals(Kind.OUTPUT_TAKEN, refusal.kind());
        assertTrue(refusal.getMessage().contains("1 of 3 blocks done"), refusal.explanation());
        assertTrue(refusal.detail().contains(difference), refusal.explanation());
        assertTrue(refusal.remedy().contains("--fresh"), refusal.explanation());
        assertTrue(Files.exists(staging.resolve("progress.json")));
    }

    @Test
    void goesOnWithAModelThatWasMoved() throws IOException {
        cut(run(watching()), 10);
        Path moved = folder.resolve("moved");
        Files.createDirectories(moved.resolve("model"));
        Files.move(source, moved.resolve("model"), StandardCopyOption.REPLACE_EXISTING);
        source = moved.resolve("model");

        Heard heard = new Heard();
        run(watching()).run(heard);

        assertEquals(1, heard.resumptions.getFirst().blocks());
    }

    @Test
    void goesOnWithAnyNumberOfThreads() throws IOException {
        SortedMap<String, byte[]> whole = whole(watching());
        cut(run(watching()), 10);

        new QuantizationRun(source, target, watching(), calibration(5), SplittingBackend.of(3)).run(SILENT);

        assertSameAs(whole);
    }

    @Test
    void tellsArithmeticsAndSettingsApart() {
        Fingerprint narrow = new Fingerprint(new TreeMap<>(Map.of("arithmetic", "256-bit", "a", "1")));
        Fingerprint wide = new Fingerprint(new TreeMap<>(Map.of("arithmetic", "512-bit", "b", "2")));

        assertEquals("", narrow.differences(narrow.json()));
        assertEquals(
                "a was none, is now 1; arithmetic was 512-bit, is now 256-bit; b was 2, is now none",
                narrow.differences(wide.json()));
    }

    @Test
    void startsAfreshWhenTold() throws IOException {
        Recipe other = recipe(new MomentsRounding(0.2));
        SortedMap<String, byte[]> whole = whole(other);
        for (Resume resume : List.of(Resume.FRESH, Resume.NEVER)) {
            cut(run(watching()), 16);
            Heard heard = new Heard();

            run(target, other, resume, Disk.SYSTEM).run(heard);

            assertEquals(List.of(), heard.resumptions);
            assertEquals(LINEARS, heard.linears.size());
            assertEquals(resume == Resume.NEVER ? List.of() : List.of(1, 2, 3), heard.kept);
            assertSameAs(whole);
            deleteOutput();
        }
    }

    @Test
    void keepsNothingWhenToldTo() {
        cut(run(target, watching(), Resume.NEVER, Disk.SYSTEM), 16);

        assertFalse(Files.exists(staging));
    }

    @Test
    void leavesTheProgressToItsOwnCommand() throws IOException {
        cut(run(watching()), 10);

        HalftoneException refusal = assertThrows(
                HalftoneException.class,
                () -> CheckpointWriter.create(target, List.of(), 1).close());

        assertEquals(Kind.OUTPUT_TAKEN, refusal.kind());
        assertTrue(refusal.getMessage().contains("was begun by another run"), refusal.explanation());
        assertTrue(Files.exists(staging.resolve("progress.json")));
    }

    @Test
    void keepsOnlyTheHiddenStatesOfTheLastBlock() throws IOException {
        cut(run(watching()), 15);

        try (Stream<Path> files = Files.list(staging)) {
            List<String> names =
                    files.map(file -> file.getFileName().toString()).sorted().toList();
            assertEquals(List.of(".owner", "model", "progress.json", "tensors-00002.safetensors"), names);
        }
        long tokens = 3 * 16;
        long size = Files.size(staging.resolve("tensors-00002.safetensors"));
        assertTrue(size > 4 * tokens * 64 && size < 4 * tokens * 64 + 2048, size + " bytes");
    }

    @Test
    void refusesHiddenStatesThatAreNotWhatWasKept() throws IOException {
        cut(run(watching()), 10);
        Path states = staging.resolve("tensors-00001.safetensors");
        try (RandomAccessFile access = new RandomAccessFile(states.toFile(), "rw")) {
            access.seek(access.length() - 100);
            int value = access.read();
            access.seek(access.length() - 100);
            access.write(value ^ 1);
        }
        QuantizationRun run = run(watching());

        HalftoneException refusal = assertThrows(HalftoneException.class, () -> run.run(SILENT));

        assertEquals(Kind.RESOURCES, refusal.kind());
        assertTrue(refusal.getMessage().contains("not what it wrote"), refusal.explanation());
        assertFalse(Files.exists(target));
    }

    @Test
    void refusesFilesThatAreNotTheOnesItKept() throws IOException {
        cut(run(watching()), 10);
        Files.delete(staging.resolve("model/model.safetensors"));
        QuantizationRun run = run(watching());

        HalftoneException refusal = assertThrows(HalftoneException.class, () -> run.run(SILENT));

        assertEquals(Kind.INPUT, refusal.kind());
        assertTrue(refusal.detail().contains("'model.safetensors' is missing"), refusal.explanation());
        Files.writeString(staging.resolve("progress.json"), "{\"half\":");
        assertEquals(
                Kind.INPUT,
                assertThrows(HalftoneException.class, () -> run(watching()).run(SILENT))
                        .kind());
        run(target, watching(), Resume.FRESH, Disk.SYSTEM).run(SILENT);
    }

    @Test
    void findsWhatChangedOnDiskBetweenTwoRunsAndDoesNotGoOnWithItAgain() throws IOException {
        cut(run(watching()), 10);
        flipABit(staging.resolve("model/model.safetensors"), "model.layers.0.mlp.up_proj.qweight");
        QuantizationRun run = run(watching());

        HalftoneException refusal = assertThrows(HalftoneException.class, () -> run.run(SILENT));

        assertEquals(Kind.RESOURCES, refusal.kind());
        assertTrue(refusal.getMessage().contains("model.layers.0.mlp.up_proj"), refusal.explanation());
        assertFalse(Files.exists(staging));
        assertFalse(Files.exists(target));
    }

    private static void flipABit(Path file, String tensor) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        int length = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getInt();
        JsonNode header = new ObjectMapper().readTree(bytes, 8, length);
        bytes[8 + length + header.get(tensor).get("data_offsets").get(0).asInt()] ^= 4;
        Files.write(file, bytes);
    }
}

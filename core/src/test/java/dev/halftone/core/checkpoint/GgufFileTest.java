package dev.halftone.core.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.tensor.LittleEndian;
import dev.halftone.core.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class GgufFileTest {
    private static final int F32 = 0;
    private static final int Q4_0 = 2;

    @TempDir
    Path folder;

    @ParameterizedTest
    @ValueSource(ints = {2, 3})
    void readsBothVersions(int version) {
        GgufFile file = RawGguf.read(RawGguf.sound(version));
        assertEquals(version, file.version());
        assertEquals(
                List.of("first", "second", "third"), List.copyOf(file.tensors().keySet()));
    }

    @Test
    void readsValuesOfEveryType() {
        GgufMetadata metadata = RawGguf.read(RawGguf.sound(3)).metadata();
        assertEquals(255, metadata.whole("u8", 0, 300));
        assertEquals(-1, metadata.whole("i8", -5, 5));
        assertEquals(65534, metadata.whole("u16", 0, 70_000));
        assertEquals(-2, metadata.whole("i16", -5, 5));
        assertEquals(7, metadata.whole("u32", 0, 10));
        assertEquals(-7, metadata.whole("i32", -10, 10));
        assertTrue(metadata.flag("yes", false));
        assertEquals("größe", metadata.text("text"));
        assertEquals(List.of("a", "", "Ġb"), metadata.texts("texts"));
        assertArrayEquals(new int[] {-1, 3}, metadata.wholes("wholes"));
        assertArrayEquals(new float[] {0.5f}, metadata.reals("reals"));
        assertEquals(2.5, metadata.positive("f64"));
        assertEquals(
                new GgufValue.Whole(GgufValueType.I64, Long.MIN_VALUE),
                metadata.values().get("i64"));
    }

    @Test
    void readsAFloatAsItsShortestDecimal() {
        assertEquals(0.00001, RawGguf.read(RawGguf.sound(3)).metadata().positive("f32"));
    }

    @Test
    void reversesTheAxes() {
        GgufTensor second = RawGguf.read(RawGguf.sound(3)).tensor("second");
        assertEquals(GgufType.Q4_0, second.type());
        assertEquals(Shape.of(2, 32), second.shape());
        assertEquals(32, second.columns());
        assertEquals(2, second.rows());
        assertEquals(36, second.data().byteSize());
        assertEquals(32, second.data().get(ValueLayout.JAVA_BYTE, 0));
    }

    @Test
    void readsAFileWithoutTensors() {
        assertTrue(RawGguf.read(RawGguf.of(0, 0).end()).tensors().isEmpty());
    }

    @Test
    void placesDataByTheAlignmentOfTheFile() {
        byte[] file = RawGguf.of(1, 1)
                .key("general.alignment", RawGguf.U32)
                .number(8)
                .tensor("a", F32, 0, 1)
                .end();
        int data = file.length + 7 & -8;
        byte[] whole = Arrays.copyOf(file, data + 4);
        whole[data] = 9;
        assertEquals(9, RawGguf.read(whole).tensor("a").data().get(LittleEndian.INT, 0));
    }

    @Test
    void mapsAFileForTheLifeOfItsArena() throws IOException {
        Path path = Files.write(folder.resolve("a.gguf"), RawGguf.sound(3));
        GgufTensor tensor;
        try (Arena arena = Arena.ofShared()) {
            tensor = GgufFile.map(path, arena).tensor("first");
            assertEquals(0x03020100, tensor.data().get(LittleEndian.INT, 0));
        }
        assertThrows(IllegalStateException.class, () -> tensor.data().get(LittleEndian.INT, 0));
    }

    @Test
    void refusesAMissingFile() {
        assertEquals("does not exist | null", problem(() -> GgufFile.map(folder.resolve("none.gguf"), Arena.global())));
    }

    @Test
    void refusesWhatIsNoGguf() {
        assertEquals("file is empty | expected the first bytes to spell GGUF", refusal(new byte[0]));
        assertEquals(
                "not a GGUF file | expected the first bytes to spell GGUF",
                refusal("GGML\0\0\0\0".getBytes(StandardCharsets.US_ASCII)));
    }

    @Test
    void refusesALargeFilePointer() {
        assertTrue(refusal("version https://git-lfs.github.com/spec/v1\n".getBytes(StandardCharsets.US_ASCII))
                .contains("Git LFS pointer"));
    }

    @Test
    void refusesOtherVersions() {
        assertEquals(
                "GGUF version 1 is not supported | supported: little-endian versions 2 and 3",
                refusal(RawGguf.of(1, 0, 0).end()));
        assertEquals(
                "GGUF version 4294967295 is not supported | supported: little-endian versions 2 and 3",
                refusal(RawGguf.of(-1, 0, 0).end()));
    }

    @Test
    void refusesBigEndianFiles() {
        assertEquals(
                "big-endian GGUF is not supported | supported: little-endian versions 2 and 3",
                refusal(RawGguf.of(3 << 24, 0, 0).end()));
    }

    @ParameterizedTest
    @ValueSource(longs = {1L << 60, Long.MAX_VALUE, -1, Long.MIN_VALUE, 3})
    void refusesMoreTensorsThanTheFileHasRoomFor(long count) {
        assertEquals(
                "tensor count is " + Long.toUnsignedString(count) + " | 56 bytes follow, enough for 2 at most",
                refusal(RawGguf.of(count, 0).raw(new byte[48]).end()));
    }

    @ParameterizedTest
    @ValueSource(longs = {1L << 60, Long.MAX_VALUE, -1, Long.MIN_VALUE, 4})
    void refusesMoreKeysThanTheFileHasRoomFor(long count) {
        assertEquals(
                "metadata count is " + Long.toUnsignedString(count) + " | 40 bytes follow, enough for 3 at most",
                refusal(RawGguf.of(0, count).raw(new byte[40]).end()));
    }

    @ParameterizedTest
    @ValueSource(longs = {Long.MIN_VALUE, Long.MAX_VALUE, -1, 65536})
    void refusesKeysOfHostileLength(long length) {
        assertEquals(
                "a metadata key is " + Long.toUnsignedString(length) + " bytes long | at most 65535 are read",
                refusal(RawGguf.of(0, 1).longNumber(length).raw(new byte[20]).end()));
    }

    @ParameterizedTest
    @ValueSource(longs = {Long.MIN_VALUE, Long.MAX_VALUE, -1, (8 << 20) + 1})
    void refusesTextsOfHostileLength(long length) {
        assertEquals(
                "the value of 'k' is " + Long.toUnsignedString(length) + " bytes long | at most 8388608 are read",
                refusal(RawGguf.of(0, 1)
                        .key("k", RawGguf.TEXT)
                        .longNumber(length)
                        .raw(new byte[20])
                        .end()));
    }

    @Test
    void refusesTextsThatTheFileDoesNotHold() {
        assertEquals(
                "file is cut short within the value of 'k' | needs 21 bytes at 45, file ends at 65",
                refusal(RawGguf.of(0, 1)
                        .key("k", RawGguf.TEXT)
                        .longNumber(21)
                        .raw(new byte[20])
                        .end()));
    }

    @Test
    void refusesTextsThatAreNotUtf8() {
        assertEquals(
                "the value of 'k' is not UTF-8 | Input length = 1",
                refusal(RawGguf.of(0, 1)
                        .key("k", RawGguf.TEXT)
                        .longNumber(2)
                        .raw((byte) 'a', (byte) 0xFF)
                        .end()));
    }

    @ParameterizedTest
    @ValueSource(ints = {13, -1, Integer.MAX_VALUE})
    void refusesUnknownTypesOfValues(int type) {
        assertEquals(
                "metadata key 'k' has the unknown type " + Integer.toUnsignedString(type) + " | expected 0 to 12",
                refusal(RawGguf.of(0, 1).key("k", type).longNumber(0).end()));
    }

    @Test
    void refusesFlagsThatAreNeitherTrueNorFalse() {
        assertEquals(
                "metadata key 'k' is neither true nor false | found 2",
                refusal(RawGguf.of(0, 1).key("k", 7).raw((byte) 2).end()));
    }

    @Test
    void refusesArraysOfArrays() {
        RawGguf file = RawGguf.of(0, 1).key("k", RawGguf.ARRAY);
        for (int depth = 0; depth < 10_000; depth++) {
            file.number(RawGguf.ARRAY).longNumber(1);
        }
        assertEquals(
                "metadata key 'k' is an array of arrays | supported: arrays of numbers, flags and texts",
                refusal(file.end()));
    }

    @ParameterizedTest
    @ValueSource(longs = {1L << 61, Long.MAX_VALUE, Long.MIN_VALUE, -1, 6})
    void refusesArraysThatTheFileDoesNotHold(long count) {
        for (int type : new int[] {U32_ELEMENT, RawGguf.TEXT}) {
            int fitting = type == RawGguf.TEXT ? 2 : 5;
            assertEquals(
                    "the length of 'k' is " + Long.toUnsignedString(count) + " | 20 bytes follow, enough for " + fitting
                            + " at most",
                    refusal(RawGguf.of(0, 1)
                            .key("k", RawGguf.ARRAY)
                            .number(type)
                            .longNumber(count)
                            .raw(new byte[20])
                            .end()));
        }
    }

    private static final int U32_ELEMENT = RawGguf.U32;

    @Test
    void refusesTheSameKeyTwice() {
        assertEquals(
                "metadata hold the key 'k' twice | null",
                refusal(RawGguf.of(0, 2)
                        .key("k", 0)
                        .raw((byte) 1)
                        .key("k", 0)
                        .raw((byte) 1)
                        .end()));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, -1, 24, 33, 1 << 21})
    void refusesAlignmentsThatAreNoPowerOfTwo(int alignment) {
        assertTrue(refusal(RawGguf.of(0, 1)
                        .key("general.alignment", RawGguf.U32)
                        .number(alignment)
                        .end())
                .startsWith("general.alignment cannot be used"));
    }

    @Test
    void refusesAnAlignmentThatIsNoNumber() {
        assertEquals(
                "general.alignment cannot be used | found TEXT, expected a power of two up to 1048576",
                refusal(RawGguf.of(0, 1)
                        .key("general.alignment", RawGguf.TEXT)
                        .text("32")
                        .end()));
    }

    @Test
    void refusesNamesThatReadersHaveNoRoomFor() {
        assertEquals(
                "a tensor name is 64 bytes long | at most 63 are read",
                refusal(RawGguf.of(1, 0).tensor("n".repeat(64), F32, 0, 1).data(4)));
        assertEquals(
                1,
                RawGguf.read(RawGguf.of(1, 0).tensor("n".repeat(63), F32, 0, 1).data(4))
                        .tensors()
                        .size());
    }

    @Test
    void refusesTheSameTensorTwice() {
        assertEquals(
                "is there twice | null",
                refusal(RawGguf.of(2, 0)
                        .tensor("a", F32, 0, 1)
                        .tensor("a", F32, 32, 1)
                        .data(36)));
    }

    @Test
    void refusesMoreAxesThanReadersKnow() {
        assertEquals(
                "has 5 axes | expected at most 4",
                refusal(RawGguf.of(1, 0).tensor("a", F32, 0, 1, 1, 1, 1, 1).data(4)));
        assertEquals(
                "has 4294967295 axes | expected at most 4",
                refusal(RawGguf.of(1, 0).text("a").number(-1).raw(new byte[40]).end()));
    }

    @ParameterizedTest
    @ValueSource(longs = {0, -1, Long.MIN_VALUE})
    void refusesAxesOfNothing(long size) {
        assertEquals(
                "has an axis of " + Long.toUnsignedString(size) + " | expected 1 to 9223372036854775807",
                refusal(RawGguf.of(1, 0).tensor("a", F32, 0, 4, size).data(16)));
    }

    @Test
    void refusesShapesThatOverflow() {
        assertEquals(
                "shape overflows | F32 [4294967296, 4294967296] exceeds 63 bits",
                refusal(RawGguf.of(1, 0).tensor("a", F32, 0, 1L << 32, 1L << 32).data(16)));
        // 2^62 elements are a long, their bytes are none.
        assertEquals(
                "shape overflows | F32 [4611686018427387904] exceeds 63 bits",
                refusal(RawGguf.of(1, 0).tensor("a", F32, 0, 1L << 62).data(16)));
        // The product wraps to 0.
        assertEquals(
                "shape overflows | Q4_0 [4, 4611686018427387904] exceeds 63 bits",
                refusal(RawGguf.of(1, 0).tensor("a", Q4_0, 0, 1L << 62, 4).data(16)));
    }

    @Test
    void refusesDataLargerThanTheFile() {
        assertEquals(
                "data are larger than the file | F32 [1048576] takes 4194304 bytes, the file has 80",
                refusal(RawGguf.of(1, 0).tensor("a", F32, 0, 1 << 20).data(16)));
    }

    @ParameterizedTest
    @ValueSource(ints = {4, 5, 31, -1, 1000})
    void refusesUnknownTypesOfTensors(int type) {
        assertTrue(refusal(RawGguf.of(1, 0).tensor("a", type, 0, 32).data(64))
                .startsWith("GGUF type " + Integer.toUnsignedString(type) + " is not supported"));
    }

    @Test
    void refusesRowsThatHoldNoWholeBlocks() {
        assertEquals(
                "rows hold no whole blocks | rows of 33, Q4_0 has blocks of 32",
                refusal(RawGguf.of(1, 0).tensor("a", Q4_0, 0, 33, 32).data(640)));
    }

    @ParameterizedTest
    @ValueSource(longs = {Long.MIN_VALUE, -32, Long.MAX_VALUE - 31, 128})
    void refusesDataOutsideOfTheFile(long place) {
        assertTrue(refusal(RawGguf.of(1, 0).tensor("a", F32, place, 4).data(16))
                .startsWith("data begin outside of the file"));
    }

    @Test
    void refusesDataBehindTheEnd() {
        assertEquals(
                "a hole lies before the data | begins at byte 64, the data before end at 0",
                refusal(RawGguf.of(1, 0).tensor("a", F32, 64, 4).data(16)));
        assertEquals(
                "file is cut short | header declares 16 bytes of data, file has 15",
                refusal(RawGguf.of(1, 0).tensor("a", F32, 0, 4).data(15)));
    }

    @Test
    void refusesMisalignedData() {
        assertEquals(
                "data are misaligned | begin at 16, no multiple of 32",
                refusal(RawGguf.of(2, 0)
                        .tensor("a", F32, 0, 4)
                        .tensor("b", F32, 16, 4)
                        .data(32)));
    }

    @Test
    void refusesDataThatOverlap() {
        assertEquals(
                "data overlap those of tensor 'a' | begins at byte 32, the other ends at 36",
                refusal(RawGguf.of(2, 0)
                        .tensor("a", F32, 0, 9)
                        .tensor("b", F32, 32, 4)
                        .data(64)));
        assertEquals(
                "data overlap those of tensor 'a' | begins at byte 0, the other ends at 4",
                refusal(RawGguf.of(2, 0)
                        .tensor("a", F32, 0, 1)
                        .tensor("b", F32, 0, 1)
                        .data(4)));
    }

    @Test
    void refusesHolesAndWhatHidesBehindTheLastTensor() {
        assertEquals(
                "a hole lies before the data | begins at byte 64, the data before end at 4",
                refusal(RawGguf.of(2, 0)
                        .tensor("a", F32, 0, 1)
                        .tensor("b", F32, 64, 1)
                        .data(68)));
        assertEquals(
                "file goes on after its last tensor | header declares 4 bytes of data, file has 33",
                refusal(RawGguf.of(1, 0).tensor("a", F32, 0, 1).data(33)));
        RawGguf.read(RawGguf.of(1, 0).tensor("a", F32, 0, 1).data(32));
    }

    @Test
    void refusesAFileCutAnywhere() {
        byte[] sound = RawGguf.sound(3);
        for (int length = 0; length < sound.length; length++) {
            byte[] cut = Arrays.copyOf(sound, length);
            assertThrows(MalformedCheckpointException.class, () -> RawGguf.read(cut), length + " bytes");
        }
    }

    @Test
    void namesTheKeyThatIsMissingOrUnfit() {
        GgufMetadata metadata = RawGguf.read(RawGguf.sound(3)).metadata();
        assertEquals("metadata lack 'general.name' | expected a text", problem(() -> metadata.text("general.name")));
        assertEquals(
                "metadata key 'text' cannot be used | found TEXT, expected a whole number from 1 to 9",
                problem(() -> metadata.whole("text", 1, 9)));
        assertEquals(
                "metadata key 'u64' cannot be used | found -1, expected a whole number from 0 to 9",
                problem(() -> metadata.whole("u64", 0, 9)));
        assertEquals(
                "metadata key 'reals' cannot be used | found a list of F32, expected whole numbers",
                problem(() -> metadata.wholes("reals")));
        assertEquals(
                "metadata key 'wholes' cannot be used | found a list of I32, expected numbers with a fraction",
                problem(() -> metadata.reals("wholes")));
    }

    private static String refusal(byte[] contents) {
        return problem(() -> RawGguf.read(contents));
    }

    /// "problem | detail", without the place.
    private static String problem(org.junit.jupiter.api.function.Executable call) {
        MalformedCheckpointException refusal = assertThrows(MalformedCheckpointException.class, call);
        String message = refusal.getMessage();
        return message.substring(message.indexOf("': ", message.lastIndexOf(", tensor '") + 1) + 3) + " | "
                + refusal.detail();
    }
}

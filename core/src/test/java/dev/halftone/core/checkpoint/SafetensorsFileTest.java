package dev.halftone.core.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SafetensorsFileTest {
    @TempDir
    Path folder;

    @Test
    void readsTensorsInTheOrderOfTheirData() {
        SafetensorsFile file = RawFile.read(RawFile.of("""
            {"__metadata__":{"format":"pt","note":"ü"},
             "second":{"dtype":"U8","shape":[2,2],"data_offsets":[4,8]},
             "first":{"data_offsets":[0,4],"shape":[2],"dtype":"I16"}}\
            """, 8));
        assertEquals(Map.of("format", "pt", "note", "ü"), file.metadata());
        assertEquals(List.of("first", "second"), List.copyOf(file.tensors().keySet()));
        Tensor second = file.tensors().get("second");
        assertEquals(DType.U8, second.type());
        assertEquals(Shape.of(2, 2), second.shape());
        assertEquals(7, second.toBytes()[3]);
    }

    @Test
    void readsScalarsAndEmptyTensors() {
        SafetensorsFile file = RawFile.read(RawFile.of("""
            {"none":{"dtype":"F32","shape":[3,0,5],"data_offsets":[4,4]},
             "scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]},
             "nothing":{"dtype":"I64","shape":[0],"data_offsets":[0,0]}}\
            """, 4));
        assertEquals(1, file.tensors().get("scalar").elements());
        assertEquals(0, file.tensors().get("none").elements());
        assertEquals(0, file.tensors().get("nothing").data().byteSize());
    }

    @Test
    void readsAFileWithoutTensors() {
        assertTrue(RawFile.read(RawFile.of("{}", 0)).tensors().isEmpty());
    }

    @Test
    void acceptsAHeaderOfAnyLengthAndPadding() {
        String header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
        for (int spaces = 0; spaces < 9; spaces++) {
            SafetensorsFile file = RawFile.read(RawFile.of(header + " ".repeat(spaces), 4));
            assertEquals(
                    0x03020100, Float.floatToRawIntBits(file.tensors().get("a").toFloats()[0]));
        }
    }

    @Test
    void passesOverFieldsThatTheFormatDoesNotKnow() {
        SafetensorsFile file = RawFile.read(RawFile.of("""
            {"a":{"dtype":"U8","shape":[1],"extra":{"deep":[1,{"er":2}]},"data_offsets":[0,1]}}\
            """, 1));
        assertEquals(0, file.tensors().get("a").toBytes()[0]);
    }

    @Test
    void handsOutReadOnlyData() {
        SafetensorsFile file =
                RawFile.read(RawFile.of("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1));
        assertThrows(
                IllegalArgumentException.class,
                () -> file.tensors().get("a").data().set(ValueLayout.JAVA_BYTE, 0, (byte) 1));
    }

    @Test
    void mapsAFileForTheLifeOfItsArena() throws IOException {
        Path path = folder.resolve("a.safetensors");
        RawFile.writeValid(path, "a");
        Tensor tensor;
        try (Arena arena = Arena.ofShared()) {
            tensor = SafetensorsFile.map(path, arena).tensors().get("a");
            assertEquals(2, tensor.toFloats().length);
        }
        assertThrows(IllegalStateException.class, tensor::toFloats);
    }

    @Test
    void refusesAMissingFile() {
        assertMessage(
                "does not exist",
                assertThrows(
                        MalformedCheckpointException.class,
                        () -> SafetensorsFile.map(folder.resolve("absent"), Arena.global())));
    }

    @Test
    void refusesADirectory() {
        assertMessage(
                "is no regular file",
                assertThrows(MalformedCheckpointException.class, () -> SafetensorsFile.map(folder, Arena.global())));
    }

    @Test
    void refusesAnEmptyFile() throws IOException {
        Path path = Files.createFile(folder.resolve("empty.safetensors"));
        assertMessage(
                "file is empty",
                assertThrows(MalformedCheckpointException.class, () -> SafetensorsFile.map(path, Arena.global())));
    }

    @Test
    void refusesAFileTooShortForAHeaderLength() {
        assertRefused(new byte[7], "file is too short", "7 bytes");
    }

    @Test
    void refusesAHeaderLengthBeyondTheFormat() {
        byte[] file = RawFile.of("{}", 0);
        file[7] = (byte) 0x80;
        assertRefused(file, "not a safetensors file", "header length is 9223372036854775810");
        file[7] = 0;
        file[3] = 0x06;
        assertRefused(file, "not a safetensors file", "header length is 100663298, the format allows 100000000");
    }

    @Test
    void refusesAFileThatEndsWithinItsHeader() {
        byte[] file = RawFile.of("{}", 0);
        file[0] = 3;
        assertRefused(file, "cut short within its header", "header takes 11 bytes, file has 10");
    }

    @Test
    void refusesAHeaderThatDoesNotStartWithABrace() {
        assertHeaderRefused(" {}", 0, "header does not start with '{'", "found byte 0x20");
        assertHeaderRefused("[]", 0, "header does not start with '{'", "found byte 0x5b");
        assertHeaderRefused("", 0, "header does not start with '{'", "it is empty");
    }

    @Test
    void refusesAHeaderThatIsNotUtf8() {
        byte[] header = "{\"?\":1}".getBytes(StandardCharsets.UTF_8);
        header[2] = (byte) 0xC0;
        assertRefused(RawFile.of(header, 0), "header is not UTF-8", "Input length = 1");
    }

    @Test
    void refusesAHeaderThatIsNotJson() {
        assertHeaderRefused("{\"a\":\n {]", 0, "header is not valid JSON", "(line 2, column 3)");
        assertHeaderRefused("{\"a\":{\"dtype\":\"F32\"", 0, "header is not valid JSON", "end-of-input");
        assertHeaderRefused("{", 0, "header is not valid JSON", "end-of-input");
    }

    @Test
    void refusesATensorNamedTwice() {
        String entry = "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}";
        assertHeaderRefused("{" + entry + "," + entry + "}", 0, "header is not valid JSON", "Duplicate");
    }

    @Test
    void refusesAFieldGivenTwice() {
        assertHeaderRefused(
                "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
                0,
                "header is not valid JSON",
                "Duplicate");
    }

    @Test
    void refusesEndlessNesting() {
        String deep = "{\"a\":{\"x\":" + "[".repeat(100) + "]".repeat(100) + "}}";
        assertHeaderRefused(deep, 0, "header is not valid JSON", "nesting depth");
    }

    @Test
    void refusesTextAfterTheHeaderObject() {
        assertHeaderRefused("{} {}", 0, "header goes on after its object", "START_OBJECT");
        assertHeaderRefused("{}\0\0", 0, "header is not valid JSON", "");
    }

    @Test
    void refusesMetadataOtherThanTexts() {
        assertHeaderRefused("{\"__metadata__\":[]}", 0, "__metadata__ is not an object", "START_ARRAY");
        assertHeaderRefused(
                "{\"__metadata__\":{\"n\":1}}", 0, "__metadata__ holds something other than texts", "at 'n'");
    }

    @Test
    void refusesAnEntryThatIsNoObject() {
        assertHeaderRefused("{\"a\":3}", 0, "tensor 'a': header entry is not an object", "VALUE_NUMBER_INT");
    }

    @Test
    void refusesAnEntryWithAFieldMissing() {
        assertHeaderRefused("{\"a\":{\"shape\":[],\"data_offsets\":[0,1]}}", 1, "has no dtype", "expected dtype");
        assertHeaderRefused("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "has no shape", "expected");
        assertHeaderRefused("{\"a\":{\"dtype\":\"U8\",\"shape\":[]}}", 1, "has no data_offsets", "expected");
    }

    @Test
    void refusesAnUnknownTypeAndListsTheKnown() {
        assertHeaderRefused(
                entry("F8_E4M3", "1", "0,1"),
                1,
                "tensor 'a': unknown dtype 'F8_E4M3'",
                "expected one of [F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL]");
        assertHeaderRefused("{\"a\":{\"dtype\":7}}", 0, "dtype is not a text", "VALUE_NUMBER_INT");
    }

    @Test
    void refusesShapesThatAreNoArraysOfWholeNumbers() {
        assertHeaderRefused("{\"a\":{\"shape\":5}}", 0, "shape is not an array", "VALUE_NUMBER_INT");
        assertHeaderRefused(entry("U8", "1.0", "0,1"), 1, "shape holds something other than whole numbers", "FLOAT");
        assertHeaderRefused(entry("U8", "1e0", "0,1"), 1, "shape holds something other than whole numbers", "FLOAT");
        assertHeaderRefused(entry("U8", "\"1\"", "0,1"), 1, "something other than whole numbers", "VALUE_STRING");
        assertHeaderRefused(entry("U8", "null", "0,1"), 1, "something other than whole numbers", "VALUE_NULL");
        assertHeaderRefused(entry("U8", "-1", "0,1"), 1, "shape holds a negative number", "found -1");
        assertHeaderRefused(
                entry("U8", "9223372036854775808", "0,1"), 1, "number beyond 63 bits", "9223372036854775808");
        assertHeaderRefused(entry("U8", "1".repeat(200), "0,1"), 1, "header is not valid JSON", "length (200)");
    }

    @Test
    void refusesTooManyAxes() {
        assertEquals(
                8,
                RawFile.read(RawFile.of(entry("U8", "1,1,1,1,1,1,1,1", "0,1"), 1))
                        .tensors()
                        .get("a")
                        .shape()
                        .rank());
        assertHeaderRefused(entry("U8", "1,1,1,1,1,1,1,1,1", "0,1"), 1, "shape has too many numbers", "at most 8");
    }

    @Test
    void refusesShapesThatOverflow() {
        assertHeaderRefused(entry("U8", "4294967296,4294967296", "0,0"), 0, "shape overflows", "exceeds 63 bits");
        assertHeaderRefused(entry("F64", "2305843009213693952", "0,0"), 0, "shape overflows", "exceeds 63 bits");
        assertHeaderRefused(entry("U8", "9223372036854775807,2,0", "0,0"), 0, "shape overflows", "exceeds 63 bits");
    }

    @Test
    void refusesOffsetsThatAreNoPair() {
        assertHeaderRefused(entry("U8", "1", "0"), 1, "data_offsets has 1 numbers", "begin and end");
        assertHeaderRefused(entry("U8", "1", "0,1,2"), 1, "data_offsets has too many numbers", "at most 2");
        assertHeaderRefused(entry("U8", "1", "-1,0"), 1, "data_offsets holds a negative number", "-1");
    }

    @Test
    void refusesOffsetsThatRunBackwards() {
        assertHeaderRefused(entry("U8", "1", "1,0"), 1, "data_offsets run backwards", "[1, 0]");
    }

    @Test
    void refusesOffsetsThatDoNotFitTheShape() {
        assertHeaderRefused(
                entry("F32", "2", "0,4"),
                4,
                "data_offsets do not fit the shape",
                "F32 [2] takes 8 bytes, data_offsets span 4");
        assertHeaderRefused(
                entry("U8", "1", "0,9223372036854775807"), 1, "do not fit the shape", "span 9223372036854775807");
    }

    @Test
    void refusesOverlappingTensors() {
        assertHeaderRefused(
                two("0,2", "1,3"),
                3,
                "tensor 'b': data overlap those of tensor 'a'",
                "begins at byte 1, the other ends at 2");
    }

    @Test
    void refusesHoles() {
        assertHeaderRefused(
                two("0,2", "3,5"), 5, "tensor 'b': a hole lies before the data", "the data before end at 2");
        assertHeaderRefused(entry("U8", "1", "1,2"), 2, "tensor 'a': a hole lies before the data", "end at 0");
    }

    @Test
    void refusesACutFileAndSaysHowMuchIsThere() {
        assertHeaderRefused(
                entry("U8", "200", "0,200"), 48, "file is cut short", "declares 200 bytes of data, file has 48 (24 %)");
    }

    @Test
    void refusesBytesAfterTheLastTensor() {
        assertHeaderRefused(entry("U8", "1", "0,1"), 2, "file goes on after its last tensor", "file has 2");
        assertHeaderRefused("{}", 1, "file goes on after its last tensor", "declares 0 bytes of data, file has 1");
    }

    @Test
    void recognisesALfsPointer() {
        byte[] pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 538090408\n"
                .getBytes(StandardCharsets.UTF_8);
        MalformedCheckpointException refusal = assertRefused(pointer, "is a 74-byte Git LFS pointer", null);
        assertEquals("run: git lfs pull", refusal.remedy());
    }

    @Test
    void recognisesAWebPage() {
        for (String page : List.of("<!DOCTYPE html><html>", "\n  <html lang=en>", "<?xml version='1.0'?><Error>")) {
            assertRefused(page.getBytes(StandardCharsets.UTF_8), "web page, not the weights", "login");
        }
    }

    @Test
    void keepsControlCharactersOutOfItsMessages() {
        MalformedCheckpointException refusal = assertHeaderRefused(
                "{\"a\\u001b[2J\\n\\u202e\":{}}", 0, "tensor 'a\\u001b[2J\\u000a\\u202e'", "expected");
        assertFalse(refusal.getMessage().contains("\u001b"));
    }

    @Test
    void cutsEndlessNamesInItsMessages() {
        MalformedCheckpointException refusal =
                assertHeaderRefused("{\"" + "n".repeat(5000) + "\":{}}", 0, "nnn...'", "expected");
        assertTrue(refusal.getMessage().length() < 300);
    }

    @Test
    void carriesFileAndTensor() {
        MalformedCheckpointException refusal = assertHeaderRefused("{\"a\":{}}", 0, "'a'", "expected");
        assertEquals(Path.of("test.safetensors"), refusal.file());
        assertEquals("a", refusal.tensor());
        assertEquals(Kind.INPUT, refusal.kind());
        assertNull(assertHeaderRefused("{", 0, "JSON", "").tensor());
    }

    private static String entry(String type, String shape, String offsets) {
        return "{\"a\":{\"dtype\":\"" + type + "\",\"shape\":[" + shape + "],\"data_offsets\":[" + offsets + "]}}";
    }

    /// Tensors `a` and `b` of two bytes each.
    private static String two(String first, String second) {
        return "{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[" + second
                + "]},\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[" + first + "]}}";
    }

    private static MalformedCheckpointException assertHeaderRefused(
            String header, int dataBytes, String message, String detail) {
        return assertRefused(RawFile.of(header, dataBytes), message, detail);
    }

    private static MalformedCheckpointException assertRefused(byte[] file, String message, String detail) {
        MalformedCheckpointException refusal =
                assertThrows(MalformedCheckpointException.class, () -> RawFile.read(file));
        assertMessage(message, refusal);
        if (detail == null) {
            assertNull(refusal.detail());
        } else {
            assertTrue(refusal.detail().contains(detail), refusal.detail());
        }
        return refusal;
    }

    private static void assertMessage(String part, MalformedCheckpointException refusal) {
        assertTrue(refusal.getMessage().contains(part), refusal.getMessage());
    }
}

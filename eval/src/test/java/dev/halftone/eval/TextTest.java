package dev.halftone.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TextTest {
    @TempDir
    Path directory;

    @Test
    void joinsRowsAsThePublishedDataSetDoes() {
        assertEquals("\n\n = Title = \n\n\n\n\n Text . \n", Text.joinRows(" \n = Title = \n \n Text . \n"));
    }

    @Test
    void keepsALastRowWithoutLineBreak() {
        assertEquals("a\n\n\nb", Text.joinRows("a\nb"));
    }

    @Test
    void joinsNothingOfAnEmptyText() {
        assertEquals("", Text.joinRows(""));
    }

    @Test
    void countsTheRowsOfWikiText() throws IOException {
        Path file = Shared.directory("data").resolve("wikitext-2-raw/wiki.test.raw");
        Text text = Text.readRows(file);
        long rows = Text.read(file).content().lines().count();
        assertEquals(4358, rows);
        // Every row but the last is followed by the two characters that join it to the next.
        assertTrue(
                text.content().startsWith("\n\n = Robert Boulter = \n\n\n\n\n"),
                text.content().substring(0, 40));
    }

    @Test
    void namesATextByTheHashOfItsBytes() throws IOException {
        Path file = Files.writeString(directory.resolve("abc.raw"), "abc");
        String expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assertEquals(expected, Text.read(file).sha256());
        assertEquals(expected, Text.readRows(file).sha256());
    }

    @Test
    void refusesBytesThatAreNotUtf8() throws IOException {
        Path file = Files.write(directory.resolve("latin1.txt"), new byte[] {'a', (byte) 0xE9, 'b'});
        HalftoneException fault = assertThrows(HalftoneException.class, () -> Text.read(file));
        assertEquals(HalftoneException.Kind.INPUT, fault.kind());
        assertTrue(fault.getMessage().contains("latin1.txt"));
    }

    @Test
    void namesAMissingText() {
        HalftoneException fault =
                assertThrows(HalftoneException.class, () -> Text.read(directory.resolve("absent.txt")));
        assertTrue(fault.getMessage().contains("absent.txt"));
    }
}

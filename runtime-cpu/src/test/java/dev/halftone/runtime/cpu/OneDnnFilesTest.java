package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class OneDnnFilesTest {
    @TempDir
    Path directory;

    @AfterEach
    void forgetTheFolder() {
        System.clearProperty(OneDnnFiles.FOLDER_PROPERTY);
    }

    private static List<String> names(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    @Test
    void unpacksBothLibrariesIntoAFolderNamedAfterVersionAndChecksum() throws Exception {
        TestBackends.requireOneDnn();
        System.setProperty(OneDnnFiles.FOLDER_PROPERTY, directory.toString());
        Path folder;
        try (OneDnnFiles files = OneDnnFiles.unpacked()) {
            folder = files.folder();
        }
        assertTrue(folder.getFileName().toString().matches("onednn-3\\.\\d+-[\\d.]+-[0-9a-f]{8}"), folder.toString());
        assertEquals(List.of(OneDnnFiles.LIBRARY, OneDnnFiles.THREADS), names(folder));
        assertEquals(directory, folder.getParent());
    }

    @Test
    void takesWhatIsUnpackedAlreadyAsItStands() throws Exception {
        Path source = Files.writeString(directory.resolve("source"), "library");
        Path target = Files.writeString(directory.resolve("target"), "LIBRARY");
        OneDnnFiles.unpack(source.toUri().toURL(), target);
        assertEquals("LIBRARY", Files.readString(target));
    }

    @Test
    void replacesAFileOfTheWrongLengthAndLeavesNothingElse() throws Exception {
        URL source = Files.writeString(directory.resolve("source"), "library")
                .toUri()
                .toURL();
        Path folder = Files.createDirectory(directory.resolve("folder"));
        Path target = Files.writeString(folder.resolve("target"), "torn");
        OneDnnFiles.unpack(source, target);
        assertEquals("library", Files.readString(target));
        assertEquals(List.of("target"), names(folder));
    }

    @Test
    void usesAFolderOfItsOwnWhereTheCacheCannotBeWrittenAndRemovesIt() throws Exception {
        TestBackends.requireOneDnn();
        Path file = Files.writeString(directory.resolve("file"), "no folder");
        System.setProperty(OneDnnFiles.FOLDER_PROPERTY, file.toString());
        Path folder;
        try (OneDnnFiles files = OneDnnFiles.unpacked()) {
            folder = files.folder();
            assertEquals(List.of(OneDnnFiles.LIBRARY, OneDnnFiles.THREADS), names(folder));
            assertFalse(folder.startsWith(directory));
        }
        assertFalse(Files.exists(folder));
    }

    @Test
    void namesThePlatformThatItHasNoLibraryFor() throws OneDnnUnavailable {
        OneDnnFiles.requirePlatform("Linux", "amd64");
        for (String[] platform :
                new String[][] {{"Linux", "aarch64"}, {"Mac OS X", "x86_64"}, {"Windows 11", "amd64"}}) {
            OneDnnUnavailable problem =
                    assertThrows(OneDnnUnavailable.class, () -> OneDnnFiles.requirePlatform(platform[0], platform[1]));
            assertTrue(problem.getMessage().endsWith(platform[0] + " " + platform[1]), problem.getMessage());
        }
    }
}

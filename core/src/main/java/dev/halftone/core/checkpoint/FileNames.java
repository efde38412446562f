package dev.halftone.core.checkpoint;

import java.nio.file.Path;

/// Names that come out of files, before they touch a path.
final class FileNames {
    private static final int LONGEST = 255;

    private FileNames() {}

    /// True if `name` can only be a file directly inside a directory: no separator of any system, no drive, no
    /// control character, not `.` or `..`.
    static boolean isPlain(String name) {
        if (name.isEmpty() || name.length() > LONGEST || name.equals(".") || name.equals("..")) {
            return false;
        }
        return name.chars().noneMatch(c -> c == '/' || c == '\\' || c == ':' || Character.isISOControl(c));
    }

    /// `directory/name`.
    ///
    /// @throws IllegalArgumentException if `name` is not plain
    static Path inside(Path directory, String name) {
        if (!isPlain(name)) {
            throw new IllegalArgumentException("not a plain file name: " + Quoted.of(name));
        }
        return directory.resolve(name);
    }
}

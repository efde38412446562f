package dev.halftone.eval;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/// A text to score, and the hash by which a report names it.
///
/// @param content what is encoded
/// @param sha256  of the file's bytes, before any joining
public record Text(String content, String sha256) {
    /// The file as it stands.
    ///
    /// @throws HalftoneException if it is no UTF-8
    public static Text read(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new HalftoneException(Kind.INPUT, "no text at '" + file + "'", null, "the path of a UTF-8 text file");
        }
        byte[] bytes = Files.readAllBytes(file);
        String content;
        try {
            content = StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(bytes))
                    .toString();
        } catch (CharacterCodingException e) {
            throw new HalftoneException(
                    Kind.INPUT, "'" + file + "' is not UTF-8 text", e.getMessage(), "convert it to UTF-8 first", e);
        }
        return new Text(content, sha256(bytes));
    }

    /// As [#read], with the rows of a WikiText file joined the way the papers' scripts join the rows of the published
    /// data set: a row keeps its line break, a blank line is an empty row, and rows are joined by `"\n\n"`.
    public static Text readRows(Path file) throws IOException {
        Text text = read(file);
        return new Text(joinRows(text.content), text.sha256);
    }

    /// The text that `protocol` scores.
    public static Text read(Path file, Protocol protocol) throws IOException {
        return switch (protocol) {
            case HF2048 -> readRows(file);
            case LLAMA512, PLAIN -> read(file);
        };
    }

    static String joinRows(String content) {
        StringBuilder joined = new StringBuilder(content.length() + content.length() / 50);
        int start = 0;
        boolean first = true;
        while (start < content.length()) {
            int newline = content.indexOf('\n', start);
            int end = newline < 0 ? content.length() : newline + 1;
            if (!first) {
                joined.append("\n\n");
            }
            first = false;
            if (!content.substring(start, end).isBlank()) {
                joined.append(content, start, end);
            }
            start = end;
        }
        return joined.toString();
    }

    private static String sha256(byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java platform has SHA-256", e);
        }
    }
}

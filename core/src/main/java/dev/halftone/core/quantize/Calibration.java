package dev.halftone.core.quantize;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/// The tokens that a method is shown: windows of one length, run through the model independently of each other.
///
/// @param windows all of the same length; not modified
/// @param facts   where they come from
public record Calibration(List<int[]> windows, Facts facts) {
    /// What tells one calibration from another.
    ///
    /// @param samples    number of windows
    /// @param length     tokens in each
    /// @param textTokens tokens that the text has
    /// @param textSha256 of the file that the text was read from, else of the text in UTF-8, in hexadecimal
    public record Facts(int samples, int length, int textTokens, String textSha256) {
        public long tokens() {
            return (long) samples * length;
        }

        /// Tokens of the text that no window holds.
        public long dropped() {
            return textTokens - tokens();
        }
    }

    public Calibration {
        windows = List.copyOf(windows);
        if (windows.size() != facts.samples() || windows.stream().anyMatch(window -> window.length != facts.length())) {
            throw new IllegalArgumentException("windows are not as in " + facts);
        }
    }

    /// The first `samples` disjoint windows of `length` tokens of a text.
    ///
    /// @param text   for its hash
    /// @param tokens the whole text encoded at once, without special tokens
    /// @throws HalftoneException of kind INPUT if the text is too short
    public static Calibration of(String text, int[] tokens, int samples, int length) {
        return ofHashed(new Sha256().add(text.getBytes(StandardCharsets.UTF_8)).text(), tokens, samples, length);
    }

    /// As [#of], for a text that was read from a file, and perhaps joined from its parts: the file is what others can
    /// compare.
    ///
    /// @param sha256 of the file's bytes, in hexadecimal
    public static Calibration ofHashed(String sha256, int[] tokens, int samples, int length) {
        if (samples < 1 || length < 1) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "calibration needs at least one window of at least one token",
                    samples + " windows of " + length + " tokens were asked for",
                    null);
        }
        int available = tokens.length / length;
        if (available < samples) {
            throw new HalftoneException(
                    Kind.INPUT,
                    "the calibration text is too short",
                    samples + " windows of " + length + " tokens need " + (long) samples * length + ", the text has "
                            + tokens.length + " (" + available + " windows)",
                    available == 0
                            ? "shorter windows, or another text"
                            : "at most " + available + " windows, shorter ones, or another text");
        }
        List<int[]> windows = IntStream.range(0, samples)
                .mapToObj(i -> Arrays.copyOfRange(tokens, i * length, (i + 1) * length))
                .toList();
        return new Calibration(windows, new Facts(samples, length, tokens.length, sha256));
    }
}

package dev.halftone.eval;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.util.Arrays;

/// Disjoint windows of a token sequence, the tail dropped.
///
/// @param tokens  of the whole text
/// @param context tokens of one window
/// @param count   windows to use
public record Windows(int[] tokens, int context, int count) {
    /// The first `maximum` windows that `tokens` fills.
    ///
    /// @throws HalftoneException if there is not even one
    public static Windows of(int[] tokens, int context, int maximum) {
        if (context < 4) {
            throw new HalftoneException(
                    Kind.USAGE, "a window of " + context + " tokens scores nothing", null, "--context 512 or more");
        }
        int count = Math.min(tokens.length / context, maximum);
        if (count < 1) {
            throw new HalftoneException(
                    Kind.INPUT,
                    "the text is too short",
                    "found " + tokens.length + " tokens, one window needs " + context,
                    "a longer text, or a smaller --context");
        }
        return new Windows(tokens, context, count);
    }

    /// A copy of window `index`.
    public int[] window(int index) {
        return Arrays.copyOfRange(tokens, index * context, (index + 1) * context);
    }
}

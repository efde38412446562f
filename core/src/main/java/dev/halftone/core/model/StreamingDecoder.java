package dev.halftone.core.model;

import java.util.Arrays;

/// Turns tokens into text as they come, never half a character: bytes of one that is not complete wait for the
/// next token. The pieces together are what decoding all tokens at once gives, special tokens skipped. Each token
/// costs the decoding of a few, however long the text. For one thread.
public final class StreamingDecoder {
    private static final String INCOMPLETE = "\uFFFD";
    /// An incomplete character lies in its last 3 tokens, as UTF-8 has at most 4 bytes.
    private static final int REACH = 3;
    /// Tokens that may wait. In text a character ends with a token long before that; in bytes that are no text
    /// the last [#REACH] still wait then.
    private static final int PATIENCE = 32;

    private final Tokenizer tokenizer;
    private int[] window; // context [0, settled), then what waits [settled, size)
    private int settled;
    private int size;
    private String settledText;

    StreamingDecoder(Tokenizer tokenizer, int[] before) {
        this.tokenizer = tokenizer;
        int context = Math.min(before.length, PATIENCE);
        window = Arrays.copyOf(Arrays.copyOfRange(before, before.length - context, before.length), 4 * PATIENCE);
        settled = context;
        size = context;
        settledText = text(size);
    }

    private String text(int end) {
        return tokenizer.decode(window, 0, end, true);
    }

    /// Takes the next token.
    ///
    /// @return the text that is certain now; often one word, empty while a character is incomplete
    public String push(int token) {
        window[size++] = token;
        String text = text(size);
        if (text.equals(settledText) && isSpecial(token)) {
            // Kept in the window it would displace the context, and skipped it needs none.
            size--;
            return "";
        }
        if (!text.endsWith(INCOMPLETE)) {
            return settle(size, text);
        }
        if (size - settled > PATIENCE) {
            return settle(size - REACH, text(size - REACH));
        }
        return "";
    }

    private boolean isSpecial(int token) {
        int[] alone = {token};
        return tokenizer.decode(alone, true).isEmpty()
                && !tokenizer.decode(alone, false).isEmpty();
    }

    /// Emits the tokens up to `end`; those that were waiting become the context of what follows.
    private String settle(int end, String text) {
        String piece = text.substring(Math.min(settledText.length(), text.length()));
        System.arraycopy(window, settled, window, 0, size - settled);
        size -= settled;
        settled = end - settled;
        settledText = text(settled);
        return piece;
    }

    /// Ends the text.
    ///
    /// @return what waited; bytes that stayed incomplete are U+FFFD
    public String flush() {
        return settle(size, text(size));
    }
}

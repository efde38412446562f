package dev.halftone.eval;

import java.util.Locale;

/// How a text becomes the predictions whose likelihood is averaged. Figures of different protocols cannot be compared.
public enum Protocol {
    /// The papers' protocol: WikiText rows joined by blank lines, encoded at once with whatever special token the
    /// model's tokenizer puts first, disjoint windows, the tail dropped, every token but the first of a window
    /// predicted.
    HF2048("hf2048", 2048),

    /// llama.cpp's: the file as it stands, disjoint windows whose first token is replaced by the begin-of-text token if
    /// the model uses one, and only the second half of each window scored.
    LLAMA512("llama512", 512),

    /// Any text as it stands, encoded at once without special tokens, disjoint windows, the tail dropped.
    PLAIN("plain", 2048);

    private final String id;
    private final int context;

    Protocol(String id, int context) {
        this.id = id;
        this.context = context;
    }

    /// Spelling on the command line and in reports.
    public String id() {
        return id;
    }

    /// Tokens of a window unless the user says otherwise.
    public int context() {
        return context;
    }

    /// Index inside a window of the first token whose prediction is scored.
    public int firstScored(int windowLength) {
        return switch (this) {
            case HF2048, PLAIN -> 1;
            case LLAMA512 -> windowLength / 2 + 1;
        };
    }

    /// @throws IllegalArgumentException naming the known protocols
    public static Protocol of(String id) {
        for (Protocol protocol : values()) {
            if (protocol.id.equals(id.toLowerCase(Locale.ROOT))) {
                return protocol;
            }
        }
        throw new IllegalArgumentException("protocol '" + id + "' is unknown; known: hf2048, llama512, plain");
    }
}

package dev.halftone.core.convert;

/// What `tokenizer.ggml.token_type` says of a token; files number them from 1.
enum TokenKind {
    NORMAL,
    UNKNOWN,
    CONTROL,
    USER_DEFINED,
    UNUSED,
    BYTE;

    int id() {
        return ordinal() + 1;
    }

    static boolean isKnown(int id) {
        return id >= 1 && id <= values().length;
    }

    static TokenKind of(int id) {
        return values()[id - 1];
    }
}

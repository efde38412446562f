package dev.halftone.runtime.cpu;

/// How many neighbouring inputs of one output share a 32-bit word, and how.
///
/// For codes, a word is rotated so that one code lies in the topmost fraction bits of a float; with all other bits
/// masked and the exponent of 1 set, the word *is* the float `1 + code / 2^bits`, without conversion or subtraction.
/// Field `f` starts rotated left by `shift + bits * f`.
enum WeightForm {
    CODES4(8, 4),
    CODES8(4, 8),
    BFLOAT16(2, 16),
    FLOAT32(1, 32);

    /// Weights in one word.
    final int fields;

    final int bits;

    WeightForm(int fields, int bits) {
        this.fields = fields;
        this.bits = bits;
    }

    boolean isCodes() {
        return this == CODES4 || this == CODES8;
    }

    /// Where field 0 starts, counted from bit 0.
    int shift() {
        return 23 - bits;
    }

    /// Largest code plus one, as a float: what the fraction of the float is multiplied by.
    float span() {
        return 1 << bits;
    }
}

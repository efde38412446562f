package dev.halftone.core.convert;

import dev.halftone.core.checkpoint.GgufType;
import dev.halftone.core.layout.GgufRounding;

/// How the floating-point parts of a model shall lie in a GGUF file. Packed linears keep their codes where GGUF
/// has a block that can hold them, whatever is said here.
///
/// @param linears      F32, F16, BF16, Q8_0, Q4_0 or Q4_1: for linears in floating point, and for packed ones
///     whose groups fit no block
/// @param tables       F32, F16, BF16, Q8_0, Q4_0 or Q4_1: for embeddings and head
/// @param preTokenizer name of the way to cut texts, or null to recognise it from tokenizer.json
/// @param name         of the model, as the file shall say; null for that of its directory
public record GgufOptions(GgufType linears, GgufType tables, String preTokenizer, String name) {
    public GgufOptions {
        for (GgufType type : new GgufType[] {linears, tables}) {
            if (!GgufRounding.writes(type)) {
                throw new IllegalArgumentException("nothing is written as " + type);
            }
        }
    }

    /// Everything in bfloat16, norms in float32.
    public static GgufOptions plain() {
        return of(GgufType.BF16, GgufType.BF16);
    }

    public static GgufOptions of(GgufType linears, GgufType tables) {
        return new GgufOptions(linears, tables, null, null);
    }

    public GgufOptions withPreTokenizer(String newPreTokenizer) {
        return new GgufOptions(linears, tables, newPreTokenizer, name);
    }

    public GgufOptions withName(String newName) {
        return new GgufOptions(linears, tables, preTokenizer, newName);
    }
}

package dev.halftone.core.convert;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/// Tokenizers as the library that defines tokenizer.json runs them, and texts that tell them apart.
final class Texts {
    static final List<String> AWKWARD = List.of(
            "",
            " ",
            "  two  three   four    ",
            "\n",
            "\r\n\t \n\n  \n x",
            "Hello, world! It's I'll you'RE WE'VE don't",
            "1234567890 12 345 6,789.01 ½ ² ٣٤",
            "naïve café Straße ΑΒΓ αβγ ДЖ дж 你好世界 こんにちは 한국어 עברית عربى हिन्दी",
            "e\u0301 \u00e9 \u212b \ufb01",
            "👩‍👩‍👧‍👦🏳️‍🌈 \u200b\u00a0\u3000\ufeff",
            "for (int i = 0; i < n; ++i) { a[i] += b->c(\"\\\\\"); } // ¿?",
            "<|im_start|>user\nHi<|im_end|>\n<|endoftext|> <|im_start|",
            "$+<=>^~|`@#%&*()_-=[]{};':\",./?\\ ...!!! --- ___",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaa  bbbb\u0000c");

    private Texts() {}

    static HuggingFaceTokenizer open(Path directory) throws IOException {
        try (InputStream in = Files.newInputStream(directory.resolve("tokenizer.json"))) {
            return HuggingFaceTokenizer.newInstance(in, Map.of("truncation", "false", "padding", "false"));
        }
    }

    static int[] ids(HuggingFaceTokenizer tokenizer, String text) {
        return Arrays.stream(tokenizer.encode(text, false, false).getIds())
                .mapToInt(Math::toIntExact)
                .toArray();
    }
}

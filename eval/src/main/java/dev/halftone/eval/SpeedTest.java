package dev.halftone.eval;

import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.LlamaConfig;

/// What is timed: for each of `batch` sequences a prompt is computed, one sequence after another, then tokens are
/// generated, all sequences in step.
///
/// @param prompt   tokens of each prompt; 0: generation begins with an empty context
/// @param generate steps of generation; 0: only the prompts
/// @param batch    sequences
public record SpeedTest(int prompt, int generate, int batch) {
    public SpeedTest {
        if (prompt < 0 || generate < 0 || batch < 1 || prompt + generate == 0) {
            throw new IllegalArgumentException("prompt " + prompt + ", generate " + generate + ", batch " + batch);
        }
    }

    /// As llama-bench names it: `pp512`, `tg128`, `pp512+tg128`; several sequences as in `tg128 x8`.
    public String name() {
        String both = prompt > 0 && generate > 0 ? "+" : "";
        return (prompt > 0 ? "pp" + prompt : "")
                + both
                + (generate > 0 ? "tg" + generate : "")
                + (batch > 1 ? " x" + batch : "");
    }

    /// Tokens of prompts and answers together.
    public long tokens() {
        return (long) batch * (prompt + generate);
    }

    /// Tokens that a sequence must have room for.
    public int capacity() {
        return prompt + generate;
    }

    /// Float operations that the prompts ask of a model, two for each multiply-add: the products of all linears, scores
    /// and sums of causal attention, and the logits of each prompt's last token.
    public double promptOperations(LlamaConfig config) {
        double perToken = 0;
        for (InputSite site : InputSite.values()) {
            for (String linear : site.linears()) {
                perToken += 2.0 * config.layers() * site.outputs(linear, config) * site.width(config);
            }
        }
        double attention = 0;
        for (int layer = 0; layer < config.layers(); layer++) {
            double window = Math.min(prompt, config.attention(layer).window());
            // Keys seen by all tokens: 1 + 2 + ... + window, then `window` each.
            double keys = window * (window + 1) / 2 + (prompt - window) * window;
            attention += 4 * keys * config.heads() * config.headSize();
        }
        double logits = prompt == 0 ? 0 : 2.0 * config.vocabulary() * config.hidden();
        return batch * (prompt * perToken + attention + logits);
    }
}

package dev.halftone.core.convert;

import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.layout.GgufCodes.RowOrder;
import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.model.ModelFamily;
import dev.halftone.core.tensor.Shape;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/// The tensors of a model under both of their names: the one of Hugging Face checkpoints and the one of GGUF
/// files.
///
/// A checkpoint keeps the two halves that a rotary angle turns against each other apart in every head of queries
/// and keys; GGUF files of the llama architecture lay them side by side. Whole rows move, so codes and scales
/// survive.
final class ModelTensors {
    /// What a tensor is.
    enum Role {
        /// Token embeddings or the head.
        TABLE,
        LINEAR,
        BIAS,
        NORM
    }

    /// @param name  in a checkpoint, with `.weight` or `.bias`
    /// @param gguf  in a GGUF file
    /// @param heads whose rows the two formats order differently; 0 if they agree
    record Entry(String name, String gguf, Shape shape, Role role, int heads) {
        /// Whether it is a matrix, which may be packed.
        boolean isMatrix() {
            return role == Role.LINEAR || role == Role.TABLE;
        }

        /// The name of a linear without suffix.
        String linear() {
            return name.substring(0, name.lastIndexOf('.'));
        }

        /// @param found     the shape that it has in a checkpoint
        /// @param directory of that checkpoint
        /// @throws MalformedCheckpointException if it is another than the configuration implies
        void requireShape(Shape found, Path directory) {
            if (!found.equals(shape)) {
                throw new MalformedCheckpointException(
                        directory,
                        name,
                        "has the wrong shape",
                        "found " + found + ", config.json implies " + shape,
                        "check that config.json and the weight files are of the same model");
            }
        }

        /// Row of the GGUF tensor that is row `row` of the checkpoint's.
        RowOrder fromGguf() {
            if (heads == 0) {
                return row -> row;
            }
            long size = shape.size(0) / heads;
            return row -> row - row % size + row % (size / 2) * 2 + row % size / (size / 2);
        }

        /// Row of the checkpoint's tensor that is row `row` of the GGUF one.
        RowOrder toGguf() {
            if (heads == 0) {
                return row -> row;
            }
            long size = shape.size(0) / heads;
            return row -> row - row % size + row % 2 * (size / 2) + row % size / 2;
        }
    }

    private static final Map<String, String> LINEARS = Map.of(
            "self_attn.q_proj", "attn_q",
            "self_attn.k_proj", "attn_k",
            "self_attn.v_proj", "attn_v",
            "self_attn.o_proj", "attn_output",
            "mlp.gate_proj", "ffn_gate",
            "mlp.up_proj", "ffn_up",
            "mlp.down_proj", "ffn_down");

    private ModelTensors() {}

    /// All tensors of a model, in the order in which they are used.
    static List<Entry> of(LlamaConfig config) {
        return of(config, config.tiedEmbeddings());
    }

    /// @param tied whether the head is the embedding table
    static List<Entry> of(LlamaConfig config, boolean tied) {
        List<Entry> entries = new ArrayList<>();
        Shape table = Shape.of(config.vocabulary(), config.hidden());
        entries.add(new Entry(Llama.EMBEDDING + ".weight", "token_embd.weight", table, Role.TABLE, 0));
        for (int layer = 0; layer < config.layers(); layer++) {
            addBlock(entries, config, layer);
        }
        entries.add(norm(Llama.NORM, "output_norm.weight", config.hidden()));
        if (!tied) {
            entries.add(new Entry(Llama.HEAD + ".weight", "output.weight", table, Role.TABLE, 0));
        }
        return entries;
    }

    private static void addBlock(List<Entry> entries, LlamaConfig config, int layer) {
        String prefix = DecoderBlock.prefix(layer);
        String gguf = "blk." + layer + ".";
        entries.add(norm(prefix + "input_layernorm.weight", gguf + "attn_norm.weight", config.hidden()));
        for (InputSite site : InputSite.values()) {
            if (site == InputSite.MLP_INPUT) {
                String name = prefix + "post_attention_layernorm.weight";
                entries.add(norm(name, gguf + "ffn_norm.weight", config.hidden()));
            }
            for (String linear : site.linears()) {
                int outputs = site.outputs(linear, config);
                int heads = heads(config, linear);
                String own = gguf + LINEARS.get(linear);
                Shape shape = Shape.of(outputs, site.width(config));
                entries.add(new Entry(prefix + linear + ".weight", own + ".weight", shape, Role.LINEAR, heads));
                if (config.biased().contains(site)) {
                    Shape vector = Shape.of(outputs);
                    entries.add(new Entry(prefix + linear + ".bias", own + ".bias", vector, Role.BIAS, heads));
                }
            }
        }
        if (config.headNorms()) {
            entries.add(norm(prefix + "self_attn.q_norm.weight", gguf + "attn_q_norm.weight", config.headSize()));
            entries.add(norm(prefix + "self_attn.k_norm.weight", gguf + "attn_k_norm.weight", config.headSize()));
        }
    }

    private static Entry norm(String name, String gguf, int size) {
        return new Entry(name, gguf, Shape.of(size), Role.NORM, 0);
    }

    private static int heads(LlamaConfig config, String linear) {
        boolean interleaved = config.family() == ModelFamily.LLAMA || config.family() == ModelFamily.MISTRAL;
        return switch (linear) {
            case "self_attn.q_proj" -> interleaved ? config.heads() : 0;
            case "self_attn.k_proj" -> interleaved ? config.kvHeads() : 0;
            default -> 0;
        };
    }
}

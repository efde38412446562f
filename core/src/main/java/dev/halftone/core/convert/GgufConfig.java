package dev.halftone.core.convert;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.GgufFile;
import dev.halftone.core.checkpoint.GgufMetadata;
import dev.halftone.core.checkpoint.GgufTensor;
import dev.halftone.core.checkpoint.GgufType;
import dev.halftone.core.checkpoint.GgufValue;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.model.ModelFamily;
import dev.halftone.core.model.RotaryScaling;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import java.util.Map;
import java.util.stream.IntStream;

/// config.json, and the keys of a GGUF file that say the same.
final class GgufConfig {
    static final String ROTARY_FACTORS = "rope_freqs.weight";

    private static final int LARGEST = 1 << 22;
    private static final String TOKENIZER = "tokenizer.ggml.";

    private GgufConfig() {}

    /// Rebuilds config.json.
    ///
    /// @param type of the weights, as the configuration shall say
    /// @throws MalformedCheckpointException if a key is missing, or asks for what is not supported
    static ObjectNode read(GgufFile file, DType type) {
        GgufMetadata metadata = file.metadata();
        String architecture = metadata.text("general.architecture");
        ModelFamily family = family(metadata, architecture);
        String prefix = architecture + ".";
        refuseExperts(metadata, prefix);
        int hidden = metadata.whole(prefix + "embedding_length", 1, LARGEST);
        int heads = metadata.whole(prefix + "attention.head_count", 1, LARGEST);
        ObjectNode config = JsonNodeFactory.instance.objectNode();
        config.putArray("architectures").add(family.architecture());
        config.put("model_type", family.modelType());
        config.put("hidden_act", "silu");
        config.put("hidden_size", hidden);
        config.put("intermediate_size", metadata.whole(prefix + "feed_forward_length", 1, LARGEST));
        config.put("num_hidden_layers", metadata.whole(prefix + "block_count", 1, LARGEST));
        config.put("num_attention_heads", heads);
        config.put("num_key_value_heads", metadata.whole(prefix + "attention.head_count_kv", 1, heads, heads));
        int headSize = headSize(config, metadata, family, prefix, hidden, heads);
        config.put("max_position_embeddings", metadata.whole(prefix + "context_length", 1, Integer.MAX_VALUE));
        config.put("rms_norm_eps", metadata.positive(prefix + "attention.layer_norm_rms_epsilon"));
        config.put("vocab_size", vocabulary(file));
        config.put(LlamaConfig.TIED, !file.tensors().containsKey("output.weight"));
        putBiases(config, file, family);
        putWindow(config, metadata, family, prefix);
        double theta = metadata.positive(prefix + "rope.freq_base", 10_000);
        config.put("rope_theta", theta);
        putScaling(config, file, prefix, theta, headSize);
        config.put("torch_dtype", Conversion.torchName(type));
        putToken(config, metadata, "bos_token_id", "bos_token_id");
        putToken(config, metadata, "eos_token_id", "eos_token_id");
        putToken(config, metadata, "pad_token_id", "padding_token_id");
        return config;
    }

    private static ModelFamily family(GgufMetadata metadata, String architecture) {
        return switch (architecture) {
            // Mistral's files call themselves llama too; only a window would tell them apart.
            case "llama" ->
                metadata.whole("llama.attention.sliding_window", 0, Integer.MAX_VALUE, 0) > 0
                        ? ModelFamily.MISTRAL
                        : ModelFamily.LLAMA;
            case "qwen2" -> ModelFamily.QWEN2;
            case "qwen3" -> ModelFamily.QWEN3;
            default ->
                throw metadata.unfit(
                        "general.architecture", "found '" + architecture + "', supported: llama, qwen2, qwen3");
        };
    }

    private static void refuseExperts(GgufMetadata metadata, String prefix) {
        if (metadata.whole(prefix + "expert_count", 0, Integer.MAX_VALUE, 0) > 0) {
            throw metadata.unfit(prefix + "expert_count", "a mixture of experts, supported are dense models");
        }
    }

    private static int headSize(
            ObjectNode config, GgufMetadata metadata, ModelFamily family, String prefix, int hidden, int heads) {
        int size = metadata.whole(prefix + "attention.key_length", 2, LARGEST, hidden / heads);
        for (String key : new String[] {"attention.value_length", "rope.dimension_count"}) {
            int other = metadata.whole(prefix + key, 0, LARGEST, size);
            if (other != size) {
                throw metadata.unfit(prefix + key, "found " + other + ", supported is the size of a key, " + size);
            }
        }
        if (metadata.has(prefix + "attention.key_length") || family == ModelFamily.QWEN3) {
            config.put("head_dim", size);
        }
        return size;
    }

    private static long vocabulary(GgufFile file) {
        Shape shape = file.tensor("token_embd.weight").shape();
        return shape.rank() == 2 ? shape.size(0) : 0;
    }

    private static void putBiases(ObjectNode config, GgufFile file, ModelFamily family) {
        if (family == ModelFamily.LLAMA || family == ModelFamily.QWEN3) {
            config.put("attention_bias", file.tensors().containsKey("blk.0.attn_q.bias"));
        }
        if (family == ModelFamily.LLAMA) {
            config.put("mlp_bias", file.tensors().containsKey("blk.0.ffn_up.bias"));
        }
    }

    private static void putWindow(ObjectNode config, GgufMetadata metadata, ModelFamily family, String prefix) {
        if (family == ModelFamily.MISTRAL) {
            config.put("sliding_window", metadata.whole(prefix + "attention.sliding_window", 1, Integer.MAX_VALUE));
        }
    }

    private static void putToken(ObjectNode config, GgufMetadata metadata, String name, String key) {
        if (metadata.has(TOKENIZER + key)) {
            config.put(name, metadata.whole(TOKENIZER + key, 0, Integer.MAX_VALUE));
        } else {
            // An absent key would mean the family's usual token.
            config.putNull(name);
        }
    }

    private static void putScaling(ObjectNode config, GgufFile file, String prefix, double theta, int headSize) {
        GgufMetadata metadata = file.metadata();
        String key = prefix + "rope.scaling.type";
        String type = metadata.text(key, "none");
        if (file.tensors().containsKey(ROTARY_FACTORS)) {
            if (!type.equals("none")) {
                throw metadata.unfit(
                        key, "found '" + type + "' beside " + ROTARY_FACTORS + ", supported is one of them");
            }
            putLlama3(config, file, theta, headSize);
            return;
        }
        // Files of an older kind have the factor alone.
        double old = metadata.positive(prefix + "rope.scale_linear", 1);
        switch (type) {
            case "none" -> putLinear(config, old);
            case "linear" -> putLinear(config, metadata.positive(prefix + "rope.scaling.factor", old));
            default -> throw metadata.unfit(key, "found '" + type + "', supported: none, linear");
        }
    }

    private static void putLinear(ObjectNode config, double factor) {
        if (factor == 1) {
            config.putNull("rope_scaling");
        } else {
            config.putObject("rope_scaling").put("rope_type", "linear").put("factor", factor);
        }
    }

    private static void putLlama3(ObjectNode config, GgufFile file, double theta, int headSize) {
        GgufTensor tensor = file.tensor(ROTARY_FACTORS);
        if (tensor.type() != GgufType.F32 || !tensor.shape().equals(Shape.of(headSize / 2))) {
            throw new MalformedCheckpointException(
                    file.file(),
                    ROTARY_FACTORS,
                    "does not fit the heads",
                    "found " + tensor.type() + " " + tensor.shape() + ", expected F32 [" + headSize / 2 + "]",
                    null);
        }
        float[] factors = TensorRows.of(tensor).all();
        if (IntStream.range(0, factors.length).allMatch(i -> factors[i] == 1)) {
            config.putNull("rope_scaling");
            return;
        }
        RotaryScaling.Llama3 rule = RotaryFactors.rule(factors, theta, headSize)
                .orElseThrow(() -> new MalformedCheckpointException(
                        file.file(),
                        ROTARY_FACTORS,
                        "holds rotary factors of no known rule",
                        "expected those of Llama 3.1; found " + factors[0] + " to " + factors[factors.length - 1],
                        "use the original checkpoint of this model"));
        config.putObject("rope_scaling")
                .put("rope_type", "llama3")
                .put("factor", rule.factor())
                .put("low_freq_factor", rule.lowFactor())
                .put("high_freq_factor", rule.highFactor())
                .put("original_max_position_embeddings", rule.original());
    }

    /// The architecture under which GGUF readers know a family.
    static String architecture(ModelFamily family) {
        return switch (family) {
            case LLAMA, MISTRAL -> "llama";
            case QWEN2 -> "qwen2";
            case QWEN3 -> "qwen3";
        };
    }

    /// Puts the keys of the architecture.
    ///
    /// @param explicitHeadSize whether config.json names the size of a head
    /// @throws HalftoneException if GGUF readers would run this model differently
    static void write(LlamaConfig config, boolean explicitHeadSize, Map<String, GgufValue> keys) {
        refuseWindows(config);
        String prefix = architecture(config.family()) + ".";
        keys.put(prefix + "block_count", GgufValue.of(config.layers()));
        keys.put(prefix + "context_length", GgufValue.of(config.context()));
        keys.put(prefix + "embedding_length", GgufValue.of(config.hidden()));
        keys.put(prefix + "feed_forward_length", GgufValue.of(config.intermediate()));
        keys.put(prefix + "vocab_size", GgufValue.of(config.vocabulary()));
        keys.put(prefix + "attention.head_count", GgufValue.of(config.heads()));
        keys.put(prefix + "attention.head_count_kv", GgufValue.of(config.kvHeads()));
        keys.put(prefix + "attention.layer_norm_rms_epsilon", GgufValue.of(config.normEpsilon()));
        if (explicitHeadSize || config.headSize() * config.heads() != config.hidden()) {
            keys.put(prefix + "attention.key_length", GgufValue.of(config.headSize()));
            keys.put(prefix + "attention.value_length", GgufValue.of(config.headSize()));
        }
        keys.put(prefix + "rope.dimension_count", GgufValue.of(config.headSize()));
        keys.put(prefix + "rope.freq_base", GgufValue.of((float) config.theta()));
        switch (config.scaling()) {
            // Llama 3.1's rule is a tensor of its own.
            case RotaryScaling.None none -> {}
            case RotaryScaling.Llama3 rule -> {}
            case RotaryScaling.Linear linear -> {
                keys.put(prefix + "rope.scaling.type", GgufValue.of("linear"));
                keys.put(prefix + "rope.scaling.factor", GgufValue.of((float) linear.factor()));
            }
            case RotaryScaling.Dynamic dynamic ->
                throw unfit("rotary scaling 'dynamic'", "GGUF readers know none, linear and llama3");
        }
    }

    private static void refuseWindows(LlamaConfig config) {
        for (int window : config.windows()) {
            if (window < config.context()) {
                throw unfit(
                        "a sliding window",
                        "the window of " + window + " is shorter than the context of " + config.context()
                                + "; GGUF readers attend to all of it");
            }
        }
    }

    private static HalftoneException unfit(String what, String detail) {
        return new HalftoneException(
                Kind.INPUT, "a model with " + what + " cannot be written as GGUF", detail, "write another format");
    }
}

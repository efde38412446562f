package dev.halftone.core.testing;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.CheckpointWriter;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.tensor.BFloat16;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.LittleEndian;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/// Writes a model directory of any size with random weights that keep activations near one. One tensor is in memory
/// at a time.
///
/// ```
/// java -cp ... dev.halftone.core.testing.SyntheticCheckpoint OUT [TOKENIZER_DIRECTORY] [key=value ...]
/// ```
/// makes a bfloat16 model the size of Llama 3.2 1B, whose `config.json` the pairs change, as in
/// `num_hidden_layers=4`; the tokenizer's files are copied if a directory is given.
public final class SyntheticCheckpoint {
    private static final long SHARD_BYTES = 2_000_000_000L;

    private SyntheticCheckpoint() {}

    public static void main(String[] arguments) throws IOException {
        ObjectNode config = config(2048, 8192, 16, 32, 8, 128256);
        Path tokenizer = null;
        for (int i = 1; i < arguments.length; i++) {
            int equals = arguments[i].indexOf('=');
            if (equals < 0) {
                tokenizer = Path.of(arguments[i]);
            } else {
                JsonNode value = new ObjectMapper().readTree(arguments[i].substring(equals + 1));
                config.set(arguments[i].substring(0, equals), value);
            }
        }
        Path directory = Path.of(arguments[0]);
        write(directory, config, DType.BF16, 1, tokenizer);
        System.out.println("wrote " + directory);
    }

    /// Three blocks of 64 columns, vocabulary 96, context 64: every width fits the GPTQ format in groups of 32.
    public static ObjectNode tinyConfig() {
        ObjectNode config = config(64, 96, 3, 4, 2, 96);
        config.put("max_position_embeddings", 64);
        return config;
    }

    private static ObjectNode config(int hidden, int intermediate, int layers, int heads, int kvHeads, int vocabulary) {
        ObjectNode config = JsonNodeFactory.instance.objectNode();
        config.putArray("architectures").add("LlamaForCausalLM");
        config.put("model_type", "llama");
        config.put("hidden_size", hidden);
        config.put("intermediate_size", intermediate);
        config.put("num_hidden_layers", layers);
        config.put("num_attention_heads", heads);
        config.put("num_key_value_heads", kvHeads);
        config.put("vocab_size", vocabulary);
        config.put("max_position_embeddings", 131072);
        config.put("rms_norm_eps", 1e-5);
        config.put("rope_theta", 500000.0);
        config.put("tie_word_embeddings", true);
        config.put("bos_token_id", 0);
        config.put("eos_token_id", 1);
        return config;
    }

    /// Writes a model of this configuration to `directory`, the same bytes for the same seed.
    public static void write(Path directory, ObjectNode config, DType type, long seed) throws IOException {
        write(directory, config, type, seed, null);
    }

    private static void write(Path directory, ObjectNode config, DType type, long seed, Path tokenizer)
            throws IOException {
        List<TensorSpec> specs = specs(LlamaConfig.of(config), type);
        SplittableRandom random = new SplittableRandom(seed);
        try (CheckpointWriter writer = CheckpointWriter.create(directory, specs, SHARD_BYTES)) {
            for (TensorSpec spec : specs) {
                try (Arena arena = Arena.ofConfined()) {
                    writer.write(new Tensor(spec.name(), type, spec.shape(), values(spec, random, arena)));
                }
            }
            writer.writeJson("config.json", config);
            if (tokenizer != null) {
                writer.copyFile(tokenizer.resolve("tokenizer.json"));
                writer.copyFile(tokenizer.resolve("tokenizer_config.json"));
            }
            writer.publish();
        }
    }

    private static List<TensorSpec> specs(LlamaConfig config, DType type) {
        List<TensorSpec> specs = new ArrayList<>();
        Shape table = Shape.of(config.vocabulary(), config.hidden());
        Shape norm = Shape.of(config.hidden());
        specs.add(new TensorSpec(Llama.EMBEDDING + ".weight", type, table));
        for (int layer = 0; layer < config.layers(); layer++) {
            String prefix = DecoderBlock.prefix(layer);
            specs.add(new TensorSpec(prefix + "input_layernorm.weight", type, norm));
            specs.add(new TensorSpec(prefix + "post_attention_layernorm.weight", type, norm));
            if (config.headNorms()) {
                specs.add(new TensorSpec(prefix + "self_attn.q_norm.weight", type, Shape.of(config.headSize())));
                specs.add(new TensorSpec(prefix + "self_attn.k_norm.weight", type, Shape.of(config.headSize())));
            }
            for (InputSite site : InputSite.values()) {
                for (String name : site.linears()) {
                    long outputs = site.outputs(name, config);
                    specs.add(new TensorSpec(prefix + name + ".weight", type, Shape.of(outputs, site.width(config))));
                    if (config.biased().contains(site)) {
                        specs.add(new TensorSpec(prefix + name + ".bias", type, Shape.of(outputs)));
                    }
                }
            }
        }
        specs.add(new TensorSpec(Llama.NORM, type, norm));
        if (!config.tiedEmbeddings()) {
            specs.add(new TensorSpec(Llama.HEAD + ".weight", type, table));
        }
        return specs;
    }

    /// Matrices of variance 1 / inputs, norms around one, small biases.
    private static MemorySegment values(TensorSpec spec, SplittableRandom random, Arena arena) {
        boolean matrix = spec.shape().rank() == 2;
        float scale = matrix ? (float) (1 / Math.sqrt(spec.shape().size(1))) : 0.1f;
        float mean = !matrix && spec.name().endsWith("norm.weight") ? 1 : 0;
        MemorySegment data = arena.allocate(spec.bytes());
        long count = spec.shape().elements();
        for (long i = 0; i < count; i++) {
            float value = mean + scale * bell(random.nextLong());
            switch (spec.type()) {
                case BF16 -> data.set(LittleEndian.SHORT, 2 * i, BFloat16.fromFloat(value));
                case F16 -> data.set(LittleEndian.SHORT, 2 * i, Float.floatToFloat16(value));
                case F32 -> data.set(LittleEndian.FLOAT, 4 * i, value);
                case F64, I64, I32, I16, I8, U8, BOOL ->
                    throw new IllegalArgumentException("weights are not made as " + spec.type());
            }
        }
        return data;
    }

    /// Sum of four uniform numbers, with mean 0 and variance 1: near enough to a normal one, and fast.
    private static float bell(long bits) {
        long sum = (bits & 0xFFFF) + (bits >>> 16 & 0xFFFF) + (bits >>> 32 & 0xFFFF) + (bits >>> 48);
        return (sum - 131070) * (float) (Math.sqrt(3) / 65536);
    }
}

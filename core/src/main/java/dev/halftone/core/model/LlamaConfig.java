package dev.halftone.core.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.compute.AttentionShape;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/// What config.json says about a Llama-class model, with every default filled in.
///
/// @param context       tokens the model was made for; a cache may be larger or smaller
/// @param intermediate  width of the gated part
/// @param kvHeads       divides `heads`
/// @param headSize      even; not always `hidden / heads`
/// @param theta         base of the rotary frequencies
/// @param biased        sites whose linears have a bias
/// @param headNorms     whether every head of queries and keys is normalised before it is turned
/// @param tiedEmbeddings whether the head is the embedding table
/// @param windows       per layer, how many keys a query sees, itself included; `Integer.MAX_VALUE` for all
/// @param bos           token that begins a text, or -1
/// @param endTokens     tokens after which nothing follows; may be empty
public record LlamaConfig(
        ModelFamily family,
        int layers,
        int hidden,
        int intermediate,
        int vocabulary,
        int context,
        int heads,
        int kvHeads,
        int headSize,
        float normEpsilon,
        double theta,
        RotaryScaling scaling,
        Set<InputSite> biased,
        boolean headNorms,
        boolean tiedEmbeddings,
        List<Integer> windows,
        int bos,
        Set<Integer> endTokens) {

    /// The key of config.json that says whether the head is the embedding table.
    public static final String TIED = "tie_word_embeddings";

    private static final String FILE = "config.json";
    /// Far above any real model, low enough that a product of two widths cannot overflow a long.
    private static final int MAXIMUM_WIDTH = 1 << 22;

    private static final int MAXIMUM_LAYERS = 1 << 12;

    public LlamaConfig {
        biased = Set.copyOf(biased);
        windows = List.copyOf(windows);
        endTokens = Collections.unmodifiableSet(new TreeSet<>(endTokens));
        if (windows.size() != layers) {
            throw new IllegalArgumentException(windows.size() + " windows for " + layers + " layers");
        }
    }

    /// Resolves config.json alone.
    ///
    /// @throws HalftoneException of kind INPUT naming the key that is missing, out of range or not supported
    public static LlamaConfig of(ObjectNode config) {
        return of(config, null);
    }

    /// Resolves config.json; the end tokens of generation_config.json join those of the configuration.
    ///
    /// @param generation generation_config.json, or null if there is none
    public static LlamaConfig of(ObjectNode config, ObjectNode generation) {
        JsonFields fields = JsonFields.of(FILE, config);
        ModelFamily family = family(fields);
        if (!fields.text("hidden_act", "silu").equals("silu")) {
            throw fields.unfit("hidden_act", "silu, the only activation of these models", null);
        }
        int layers = fields.count("num_hidden_layers", MAXIMUM_LAYERS);
        int hidden = fields.count("hidden_size", MAXIMUM_WIDTH);
        int heads = fields.count("num_attention_heads", MAXIMUM_WIDTH);
        int vocabulary = fields.count("vocab_size", Integer.MAX_VALUE);
        int context = fields.count("max_position_embeddings", Integer.MAX_VALUE, family.usualContext());
        int headSize = headSize(fields, family, hidden, heads);
        Set<Integer> endTokens = new TreeSet<>(tokens(fields, "eos_token_id", vocabulary, family.usualEndToken()));
        if (generation != null) {
            endTokens.addAll(JsonFields.of("generation_config.json", generation).tokenIds("eos_token_id", vocabulary));
        }
        List<Integer> bos = tokens(fields, "bos_token_id", vocabulary, family.usualBos());
        JsonFields rope = ropeSection(fields);
        return new LlamaConfig(
                family,
                layers,
                hidden,
                fields.count("intermediate_size", MAXIMUM_WIDTH),
                vocabulary,
                context,
                heads,
                kvHeads(fields, family, heads),
                headSize,
                (float) fields.positive("rms_norm_eps", 1e-6),
                theta(fields, rope),
                scaling(fields, rope, context, headSize),
                biased(fields, family),
                family.headNorms(),
                fields.flag(TIED, false),
                windows(fields, family, layers),
                bos.isEmpty() ? -1 : bos.getFirst(),
                endTokens);
    }

    /// Shape of the attention in `layer`.
    public AttentionShape attention(int layer) {
        return new AttentionShape(heads, kvHeads, headSize, (float) (1 / Math.sqrt(headSize)), windows.get(layer));
    }

    private static ModelFamily family(JsonFields fields) {
        List<String> architectures = fields.texts("architectures");
        String type = fields.text("model_type", null);
        for (ModelFamily family : ModelFamily.values()) {
            // The first conversions of Llama were written by a class whose name differed in case.
            if (family.modelType().equals(type)
                    && architectures.stream().allMatch(family.architecture()::equalsIgnoreCase)) {
                return family;
            }
        }
        String name = architectures.isEmpty() ? "unnamed" : String.join(", ", architectures);
        throw new HalftoneException(
                Kind.INPUT,
                FILE + ": architecture " + name + " (model_type " + type + ") is not supported",
                "supported: " + ModelFamily.supported(),
                "use a model of one of these families");
    }

    private static List<Integer> tokens(JsonFields fields, String key, int vocabulary, List<Integer> absent) {
        return fields.has(key) ? fields.tokenIds(key, vocabulary) : absent;
    }

    private static int headSize(JsonFields fields, ModelFamily family, int hidden, int heads) {
        boolean named = !fields.lacks("head_dim");
        int size = named ? fields.count("head_dim", MAXIMUM_WIDTH) : family.usualHeadSize(hidden, heads);
        if (!named && size * heads != hidden && family.usualHeadSize(hidden, heads) == hidden / heads) {
            throw fields.unfit(
                    "hidden_size", "a multiple of num_attention_heads, " + heads + ", as head_dim is absent");
        }
        if (size % 2 != 0) {
            throw fields.unfit(named ? "head_dim" : "hidden_size", "heads of an even size, not " + size);
        }
        if ((long) size * heads > MAXIMUM_WIDTH) {
            throw fields.unfit("num_attention_heads", "at most " + MAXIMUM_WIDTH / size + " heads of size " + size);
        }
        return size;
    }

    private static int kvHeads(JsonFields fields, ModelFamily family, int heads) {
        String key = "num_key_value_heads";
        int absent = fields.isNull(key) ? heads : family.usualKvHeads(heads);
        int kvHeads = fields.count(key, heads, absent);
        if (heads % kvHeads != 0) {
            throw fields.unfit(key, "a divisor of num_attention_heads, " + heads);
        }
        return kvHeads;
    }

    private static Set<InputSite> biased(JsonFields fields, ModelFamily family) {
        Set<InputSite> sites = EnumSet.noneOf(InputSite.class);
        sites.addAll(family.alwaysBiased());
        for (InputSite site : InputSite.values()) {
            String key = switch (site) {
                case ATTENTION_INPUT, ATTENTION_OUTPUT -> "attention_bias";
                case MLP_INPUT, MLP_OUTPUT -> "mlp_bias";
            };
            if (family.hasOptionalBias(site) && fields.flag(key, false)) {
                sites.add(site);
            }
        }
        return sites;
    }

    /// The new spelling `rope_parameters`, or the old `rope_scaling`, or null.
    private static JsonFields ropeSection(JsonFields fields) {
        JsonFields parameters = fields.section("rope_parameters");
        JsonFields scaling = fields.section("rope_scaling");
        if (parameters != null && scaling != null && !parameters.node().equals(scaling.node())) {
            throw fields.unfit("rope_scaling", "either this or rope_parameters", "remove the one that is out of date");
        }
        JsonFields section = parameters != null ? parameters : scaling;
        if (section != null && section.node().valueStream().anyMatch(JsonNode::isObject)) {
            throw fields.unfit(
                    section == parameters ? "rope_parameters" : "rope_scaling", "one rule for all layers", null);
        }
        return section;
    }

    private static double theta(JsonFields fields, JsonFields rope) {
        double outside = fields.positive("rope_theta", 10_000);
        return rope == null ? outside : rope.positive("rope_theta", outside);
    }

    private static RotaryScaling scaling(JsonFields fields, JsonFields rope, int context, int headSize) {
        refusePartialRotation(fields);
        if (rope == null) {
            return new RotaryScaling.None();
        }
        refusePartialRotation(rope);
        String key = rope.lacks("rope_type") ? "type" : "rope_type";
        String type = rope.text(key, "default");
        return switch (type) {
            case "default" -> new RotaryScaling.None();
            case "linear" -> new RotaryScaling.Linear(atLeastOne(rope, "factor"));
            case "dynamic" -> dynamic(rope, context, headSize);
            case "llama3" -> llama3(rope, fields.count("original_max_position_embeddings", Integer.MAX_VALUE, context));
            default -> throw rope.unfit(key, "default, linear, dynamic or llama3", null);
        };
    }

    private static void refusePartialRotation(JsonFields section) {
        if (section.positive("partial_rotary_factor", 1) != 1) {
            throw section.unfit("partial_rotary_factor", "1: whole heads are turned", null);
        }
    }

    private static RotaryScaling dynamic(JsonFields rope, int context, int headSize) {
        if (headSize < 4) {
            throw rope.unfit("rope_type", "another rule: the exponent d / (d - 2) needs heads wider than 2", null);
        }
        return new RotaryScaling.Dynamic(atLeastOne(rope, "factor"), context);
    }

    /// @param usual original length when the section names none
    private static RotaryScaling llama3(JsonFields rope, int usual) {
        double low = rope.positive("low_freq_factor");
        double high = rope.positive("high_freq_factor");
        if (high <= low) {
            throw rope.unfit("high_freq_factor", "a number above low_freq_factor, " + low);
        }
        int original = rope.count("original_max_position_embeddings", Integer.MAX_VALUE, usual);
        return new RotaryScaling.Llama3(atLeastOne(rope, "factor"), low, high, original);
    }

    private static double atLeastOne(JsonFields rope, String key) {
        double factor = rope.positive(key);
        if (factor < 1) {
            throw rope.unfit(key, "a number from 1 on");
        }
        return factor;
    }

    private static List<Integer> windows(JsonFields fields, ModelFamily family, int layers) {
        return switch (family) {
            case LLAMA -> Collections.nCopies(layers, Integer.MAX_VALUE);
            case MISTRAL -> mistralWindows(fields, layers);
            case QWEN2, QWEN3 -> qwenWindows(fields, layers);
        };
    }

    private static List<Integer> mistralWindows(JsonFields fields, int layers) {
        int window = fields.isNull("sliding_window")
                ? Integer.MAX_VALUE
                : fields.count("sliding_window", Integer.MAX_VALUE, 4096);
        String type = window == Integer.MAX_VALUE ? "full_attention" : "sliding_attention";
        if (!fields.texts("layer_types").stream().allMatch(type::equals)) {
            throw fields.unfit("layer_types", "the same window in all layers, as sliding_window says", null);
        }
        return Collections.nCopies(layers, window);
    }

    private static List<Integer> qwenWindows(JsonFields fields, int layers) {
        boolean sliding = fields.flag("use_sliding_window", false) && !fields.isNull("sliding_window");
        int window = sliding ? fields.count("sliding_window", Integer.MAX_VALUE, 4096) : Integer.MAX_VALUE;
        List<String> types = fields.texts("layer_types");
        if (!types.isEmpty() && types.size() != layers) {
            throw fields.unfit("layer_types", layers + " entries, one for each layer");
        }
        int firstWindowed =
                fields.lacks("max_window_layers") ? 28 : fields.whole("max_window_layers", 0, Integer.MAX_VALUE);
        List<Integer> windows = new ArrayList<>();
        for (int layer = 0; layer < layers; layer++) {
            String implied = sliding && layer >= firstWindowed ? "sliding_attention" : "full_attention";
            windows.add(
                    switch (types.isEmpty() ? implied : types.get(layer)) {
                        case "full_attention" -> Integer.MAX_VALUE;
                        case "sliding_attention" -> {
                            if (!sliding) {
                                throw fields.unfit(
                                        "layer_types", "full_attention everywhere, as use_sliding_window is off");
                            }
                            yield window;
                        }
                        default -> throw fields.unfit("layer_types", "full_attention or sliding_attention", null);
                    });
        }
        return windows;
    }
}

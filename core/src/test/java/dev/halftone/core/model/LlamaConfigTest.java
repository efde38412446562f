package dev.halftone.core.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LlamaConfigTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String LEAST =
            "{'model_type':'llama','hidden_size':64,'intermediate_size':160,'num_hidden_layers':3,"
                    + "'num_attention_heads':8,'vocab_size':320}";

    private static ObjectNode json(String text) {
        try {
            return (ObjectNode) JSON.readTree(text.replace('\'', '"'));
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException(text, e);
        }
    }

    /// The least configuration with `more` on top, such as `'head_dim':8`.
    private static LlamaConfig with(String more) {
        ObjectNode config = json(LEAST);
        config.setAll(json("{" + more + "}"));
        return LlamaConfig.of(config);
    }

    private static HalftoneException refusal(String more) {
        HalftoneException refusal = assertThrows(HalftoneException.class, () -> with(more));
        assertEquals(HalftoneException.Kind.INPUT, refusal.kind());
        return refusal;
    }

    @Test
    void fillsInWhatLlamaLeavesUnsaid() {
        LlamaConfig config = LlamaConfig.of(json(LEAST));
        assertEquals(ModelFamily.LLAMA, config.family());
        assertEquals(8, config.kvHeads());
        assertEquals(8, config.headSize());
        assertEquals(2048, config.context());
        assertEquals(1e-6f, config.normEpsilon());
        assertEquals(10_000, config.theta());
        assertEquals(new RotaryScaling.None(), config.scaling());
        assertEquals(Set.of(), config.biased());
        assertFalse(config.tiedEmbeddings());
        assertEquals(1, config.bos());
        assertEquals(Set.of(2), config.endTokens());
        assertEquals(Integer.MAX_VALUE, config.attention(2).window());
        assertEquals((float) (1 / Math.sqrt(8)), config.attention(0).scale());
    }

    @Test
    void readsSmolLm2AsPublished() {
        LlamaConfig config = LlamaConfig.of(json("""
            {"architectures":["LlamaForCausalLM"],"attention_bias":false,"bos_token_id":1,"eos_token_id":2,
             "hidden_act":"silu","hidden_size":576,"intermediate_size":1536,"max_position_embeddings":8192,
             "mlp_bias":false,"model_type":"llama","num_attention_heads":9,"num_hidden_layers":30,
             "num_key_value_heads":3,"pretraining_tp":1,"rms_norm_eps":1e-05,"rope_scaling":null,
             "rope_theta":100000,"tie_word_embeddings":true,"vocab_size":49152}\
            """));
        assertEquals(64, config.headSize());
        assertEquals(3, config.kvHeads());
        assertEquals(100_000, config.theta());
        assertTrue(config.tiedEmbeddings());
        assertEquals(192, InputSite.ATTENTION_INPUT.outputs("self_attn.k_proj", config));
        assertEquals(1536, InputSite.MLP_OUTPUT.width(config));
    }

    @Test
    void acceptsTheFirstSpellingOfTheArchitecture() {
        assertEquals(
                ModelFamily.LLAMA, with("'architectures':['LLaMAForCausalLM']").family());
    }

    @Test
    void readsBothSpellingsOfTheRotaryRuleAlike() {
        LlamaConfig old = with("'rope_theta':500000,'rope_scaling':{'rope_type':'llama3','factor':8,"
                + "'low_freq_factor':1,'high_freq_factor':4,'original_max_position_embeddings':32}");
        LlamaConfig fresh = with("'rope_parameters':{'rope_theta':500000,'rope_type':'llama3','factor':8.0,"
                + "'low_freq_factor':1.0,'high_freq_factor':4.0,'original_max_position_embeddings':32}");
        assertEquals(new RotaryScaling.Llama3(8, 1, 4, 32), old.scaling());
        assertEquals(old, fresh);
        assertEquals(
                new RotaryScaling.Linear(2),
                with("'rope_scaling':{'type':'linear','factor':2}").scaling());
        assertEquals(
                new RotaryScaling.Dynamic(2, 512),
                with("'max_position_embeddings':512,'rope_scaling':{'type':'dynamic','factor':2}")
                        .scaling());
    }

    @Test
    void takesTheContextAsOriginalLengthWhereLlama3NamesNone() {
        RotaryScaling scaling = with("'max_position_embeddings':512,'rope_scaling':{'rope_type':'llama3',"
                        + "'factor':8,'low_freq_factor':1,'high_freq_factor':4}")
                .scaling();
        assertEquals(new RotaryScaling.Llama3(8, 1, 4, 512), scaling);
    }

    @Test
    void givesEveryLayerOfMistralItsWindow() {
        assertEquals(List.of(8, 8, 8), mistral("'sliding_window':8").windows());
        assertEquals(
                List.of(Integer.MAX_VALUE, Integer.MAX_VALUE, Integer.MAX_VALUE),
                mistral("'sliding_window':null").windows());
        assertEquals(4096, mistral("").attention(0).window());
    }

    private static LlamaConfig mistral(String more) {
        return with("'model_type':'mistral','num_key_value_heads':2" + (more.isEmpty() ? "" : "," + more));
    }

    @Test
    void givesQwenWindowsOnlyWhenToldTo() {
        String qwen = "'model_type':'qwen2','num_key_value_heads':2,'sliding_window':16,'max_window_layers':1";
        int all = Integer.MAX_VALUE;
        assertEquals(List.of(all, all, all), with(qwen).windows());
        assertEquals(
                List.of(all, 16, 16), with(qwen + ",'use_sliding_window':true").windows());
        assertEquals(
                List.of(16, all, 16),
                with(qwen + ",'use_sliding_window':true,"
                                + "'layer_types':['sliding_attention','full_attention','sliding_attention']")
                        .windows());
        assertEquals(
                List.of(16, 16, 16),
                with(qwen + ",'use_sliding_window':true,'max_window_layers':0").windows());
    }

    @Test
    void knowsWhichLinearsHaveABias() {
        assertEquals(
                Set.of(InputSite.ATTENTION_INPUT),
                with("'model_type':'qwen2','num_key_value_heads':2").biased());
        assertEquals(
                Set.of(InputSite.ATTENTION_INPUT, InputSite.ATTENTION_OUTPUT),
                with("'attention_bias':true").biased());
        assertEquals(
                Set.of(InputSite.MLP_INPUT, InputSite.MLP_OUTPUT),
                with("'mlp_bias':true").biased());
        assertEquals(Set.of(), mistral("'attention_bias':true").biased(), "Mistral knows no such key");
    }

    @Test
    void givesQwen3ItsHeadNormsAndHeadSize() {
        LlamaConfig config = with("'model_type':'qwen3','num_key_value_heads':2");
        assertTrue(config.headNorms());
        assertEquals(128, config.headSize());
        assertEquals(Set.of(), config.endTokens());
        assertEquals(-1, config.bos());
    }

    @Test
    void joinsTheEndTokensOfBothFiles() {
        ObjectNode config = json(LEAST).put("eos_token_id", 5);
        assertEquals(
                Set.of(5, 7, 9),
                LlamaConfig.of(config, json("{'eos_token_id':[7,5,9]}")).endTokens());
        assertEquals(Set.of(5), LlamaConfig.of(config, json("{}")).endTokens());
        assertEquals(Set.of(), with("'eos_token_id':null").endTokens());
    }

    @Test
    void namesTheArchitectureItDoesNotKnow() {
        HalftoneException refusal = refusal("'model_type':'gemma2','architectures':['Gemma2ForCausalLM']");
        assertTrue(refusal.explanation().contains("Gemma2ForCausalLM"), refusal.explanation());
        assertTrue(refusal.explanation().contains("qwen3"), refusal.explanation());
        refusal("'architectures':['LlamaForSequenceClassification']");
    }

    @ParameterizedTest
    @CsvSource(
            quoteCharacter = '`',
            delimiter = '|',
            value = {
                "hidden_size              | `'hidden_size':0`",
                "hidden_size              | `'hidden_size':null`",
                "hidden_size              | `'hidden_size':66`",
                "hidden_size              | `'hidden_size':72`",
                "intermediate_size        | `'intermediate_size':-4`",
                "intermediate_size        | `'intermediate_size':99999999999`",
                "num_hidden_layers        | `'num_hidden_layers':2.5`",
                "num_attention_heads      | `'num_attention_heads':'8'`",
                "num_attention_heads      | `'num_attention_heads':4194304,'head_dim':1024`",
                "num_key_value_heads      | `'num_key_value_heads':3`",
                "num_key_value_heads      | `'num_key_value_heads':16`",
                "num_key_value_heads      | `'model_type':'mistral','num_attention_heads':4`",
                "head_dim                 | `'head_dim':7`",
                "vocab_size               | `'vocab_size':true`",
                "rms_norm_eps             | `'rms_norm_eps':0`",
                "rms_norm_eps             | `'rms_norm_eps':1e999`",
                "hidden_act               | `'hidden_act':'gelu'`",
                "rope_theta               | `'rope_theta':-1`",
                "max_position_embeddings  | `'max_position_embeddings':0`",
                "tie_word_embeddings      | `'tie_word_embeddings':1`",
                "attention_bias           | `'attention_bias':'yes'`",
                "eos_token_id             | `'eos_token_id':320`",
                "eos_token_id             | `'eos_token_id':[1,-1]`",
                "bos_token_id             | `'bos_token_id':'<s>'`",
                "sliding_window           | `'model_type':'mistral','num_key_value_heads':8,'sliding_window':0`",
                "layer_types              |"
                        + " `'model_type':'qwen2','num_key_value_heads':8,'layer_types':['full_attention']`",
                "max_window_layers        | `'model_type':'qwen2','num_key_value_heads':8,'max_window_layers':-1`",
                "partial_rotary_factor    | `'partial_rotary_factor':0.5`",
                "rope_scaling             | `'rope_scaling':[2]`",
                "rope_scaling             |"
                        + " `'rope_scaling':{'type':'linear','factor':2},'rope_parameters':{'rope_type':'default'}`",
                "rope_parameters          | `'rope_parameters':{'full_attention':{'rope_type':'default'}}`",
                "rope_scaling.type        | `'rope_scaling':{'type':'yarn','factor':2}`",
                "rope_scaling.rope_type   | `'rope_scaling':{'rope_type':'longrope','factor':2}`",
                "rope_scaling.factor      | `'rope_scaling':{'type':'linear'}`",
                "rope_scaling.factor      | `'rope_scaling':{'type':'dynamic','factor':0.5}`",
                "rope_scaling.high_freq_factor |"
                        + " `'rope_scaling':{'type':'llama3','factor':8,'low_freq_factor':4,'high_freq_factor':4}`",
                "rope_parameters.rope_theta | `'rope_parameters':{'rope_theta':0}`",
            })
    void refusesByFileAndKey(String key, String more) {
        HalftoneException refusal = refusal(more);
        assertTrue(refusal.getMessage().contains("config.json: '" + key + "'"), refusal.explanation());
        assertTrue(refusal.detail().contains("expected"), refusal.explanation());
    }

    @ParameterizedTest
    @CsvSource({"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size"})
    void missesWhatHasNoDefault(String key) {
        ObjectNode config = json(LEAST);
        config.remove(key);
        HalftoneException refusal = assertThrows(HalftoneException.class, () -> LlamaConfig.of(config));
        assertTrue(refusal.getMessage().contains("'" + key + "' is missing"), refusal.explanation());
    }
}

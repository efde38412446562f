package dev.halftone.core.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// Turns a conversation into the text a model was trained on, by the Jinja template that comes with the model,
/// rendered as transformers does. The template is not trusted: it sees plain data, reaches nothing of Java, and its
/// output, loops and recursion are limited.
public final class ChatTemplate {
    private static final String FILE = "chat_template.jinja";
    private static final int MAXIMUM_TEMPLATE = 1 << 20;
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final List<String> SPECIAL =
            List.of("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token");

    private final String origin;
    private final String source;
    private final Map<String, String> specialTokens;
    private final Clock clock;

    private ChatTemplate(String origin, String template, Map<String, String> specialTokens, Clock clock) {
        this.origin = origin;
        this.specialTokens = Map.copyOf(specialTokens);
        this.clock = clock;
        if (template.length() > MAXIMUM_TEMPLATE) {
            throw unusable("it is longer than " + MAXIMUM_TEMPLATE + " characters", null);
        }
        try {
            this.source = TemplateEngine.source(template);
        } catch (IllegalArgumentException e) {
            throw unusable(e.getMessage(), e);
        }
    }

    /// The template of a model directory: `chat_template.jinja`, else `chat_template` of tokenizer_config.json, there
    /// the one named `default` if there are several. Empty if the model has none.
    ///
    /// @throws HalftoneException of kind INPUT if it cannot be used
    public static Optional<ChatTemplate> of(Path directory) throws IOException {
        ObjectNode config = JsonFile.readIfPresent(directory.resolve(Tokenizer.CONFIG));
        Map<String, String> special = new LinkedHashMap<>();
        for (String key : SPECIAL) {
            String token = Tokenizer.specialToken(config, key);
            if (token != null) {
                special.put(key, token);
            }
        }
        Path file = directory.resolve(FILE);
        if (Files.isRegularFile(file)) {
            return Optional.of(new ChatTemplate(FILE, Files.readString(file), special, Clock.systemDefaultZone()));
        }
        String template = template(config.path("chat_template"));
        return template == null
                ? Optional.empty()
                : Optional.of(new ChatTemplate(
                        Tokenizer.CONFIG + ": chat_template", template, special, Clock.systemDefaultZone()));
    }

    private static String template(JsonNode node) {
        if (node.isTextual()) {
            return node.textValue();
        }
        for (JsonNode named : node) {
            if (named.path("name").asText().equals("default")
                    && named.path("template").isTextual()) {
                return named.get("template").textValue();
            }
        }
        return null;
    }

    /// A template given as text.
    ///
    /// @param specialTokens what the template knows as `bos_token`, `eos_token` and so on
    /// @param clock         what its `strftime_now` reads
    public static ChatTemplate of(String template, Map<String, String> specialTokens, Clock clock) {
        return new ChatTemplate("the chat template", template, specialTokens, clock);
    }

    /// @param addGenerationPrompt whether the text ends where the model is to answer
    /// @throws HalftoneException of kind INPUT if the template refuses the conversation or fails
    public String render(List<ChatMessage> messages, boolean addGenerationPrompt) {
        List<Map<String, Object>> plain = new ArrayList<>();
        for (ChatMessage message : messages) {
            plain.add(Map.of("role", message.role(), "content", message.content()));
        }
        return render(JSON.valueToTree(Map.of("messages", plain, "add_generation_prompt", addGenerationPrompt)));
    }

    /// Renders with any variables, such as `tools` or `enable_thinking`; `tools` and `documents` are null unless
    /// given.
    ///
    /// @throws HalftoneException of kind INPUT if the template refuses the conversation or fails
    public String render(ObjectNode variables) {
        Map<String, Object> bindings = new LinkedHashMap<>(specialTokens);
        bindings.put("tools", null);
        bindings.put("documents", null);
        variables.properties().forEach(entry -> bindings.put(entry.getKey(), plain(entry.getValue())));
        try {
            return TemplateEngine.render(source, bindings, clock);
        } catch (IllegalArgumentException e) {
            throw unusable(e.getMessage(), e);
        }
    }

    /// Plain Java data that nobody else holds.
    private static Object plain(JsonNode node) {
        return JSON.convertValue(node, Object.class);
    }

    private HalftoneException unusable(String detail, Throwable cause) {
        return new HalftoneException(
                Kind.INPUT,
                origin + " cannot render this conversation",
                detail,
                "check the roles of the conversation, or give the prompt as plain text",
                cause);
    }
}

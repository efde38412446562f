package dev.halftone.eval;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.model.ChatTemplate;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// What a model is shown before it is quantized, as one text: windows are cut from it one after another, so that all of
/// it is used but the end, and a document may begin in one window and end in the next, as in the text that models learn
/// from.
///
/// @param content   to be encoded at once, without special tokens of its own
/// @param documents that it was made of
/// @param sha256    of the file's bytes, the hash by which [Text] and reports name a file
public record CalibrationText(String content, int documents, String sha256) {
    private static final String JSON_LINES = ".jsonl";
    private static final String ROWS = ".raw";
    private static final ObjectReader LINE = JsonMapper.builder()
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build()
            .reader();

    /// Where the template of the model comes from, once it is needed.
    public interface Template {
        /// Empty if the model has none.
        Optional<ChatTemplate> load() throws IOException;
    }

    /// Reads a file by the form that its name tells.
    ///
    /// - `.jsonl`: an object on each line, `{"text": ...}`, or `{"messages": [{"role": ..., "content": ...}, ...]}`
    ///   for a conversation in the form that the model was trained on. Texts are joined by a blank line;
    ///   conversations follow each other, for the template ends each.
    /// - `.raw`: the rows of a WikiText file, joined as [Text#readRows] does.
    /// - any other: the text as it stands.
    ///
    /// @param template of the model, which conversations need
    /// @throws HalftoneException of kind INPUT naming the line that is neither
    public static CalibrationText read(Path file, Template template) throws IOException {
        String name = file.getFileName().toString();
        if (!name.endsWith(JSON_LINES)) {
            Text text = name.endsWith(ROWS) ? Text.readRows(file) : Text.read(file);
            return new CalibrationText(text.content(), 1, text.sha256());
        }
        Text lines = Text.read(file);
        StringBuilder content = new StringBuilder();
        int documents = 0;
        int number = 0;
        ChatTemplate form = null;
        for (String line : lines.content().lines().toList()) {
            number++;
            if (line.isBlank()) {
                continue;
            }
            JsonNode document = parse(line, file, number);
            if (document.path("messages").isArray()) {
                form = form == null ? load(template, file, number) : form;
                content.append(render(document, form, file, number));
            } else if (document.path("text").isTextual()) {
                content.append(content.isEmpty() ? "" : "\n\n")
                        .append(document.get("text").textValue());
            } else {
                throw fault(file, number, "holds no document", "found " + found(document), null);
            }
            documents++;
        }
        return new CalibrationText(content.toString(), documents, lines.sha256());
    }

    private static JsonNode parse(String line, Path file, int number) {
        try {
            return LINE.readTree(line);
        } catch (JsonProcessingException e) {
            throw fault(file, number, "is no JSON", e.getOriginalMessage(), e);
        }
    }

    private static ChatTemplate load(Template template, Path file, int number) throws IOException {
        return template.load()
                .orElseThrow(() -> fault(
                        file,
                        number,
                        "holds a conversation, and the model has no chat template",
                        "neither chat_template.jinja nor chat_template in tokenizer_config.json",
                        null));
    }

    private static String render(JsonNode document, ChatTemplate form, Path file, int number) {
        try {
            return form.render(((ObjectNode) document).put("add_generation_prompt", false));
        } catch (HalftoneException e) {
            throw fault(file, number, e.getMessage(), e.detail(), e);
        }
    }

    private static String found(JsonNode document) {
        if (!document.isObject()) {
            return document.getNodeType().toString();
        }
        List<String> names = new ArrayList<>();
        document.fieldNames().forEachRemaining(names::add);
        return "an object with " + names;
    }

    private static HalftoneException fault(Path file, int number, String problem, String detail, Throwable cause) {
        return new HalftoneException(
                Kind.INPUT,
                "'" + file + "', line " + number + ": " + problem,
                detail,
                "lines of {\"text\": \"...\"} or {\"messages\": [{\"role\": \"user\", \"content\": \"...\"}, ...]}",
                cause);
    }
}

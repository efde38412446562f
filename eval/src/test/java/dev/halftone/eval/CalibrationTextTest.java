package dev.halftone.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.model.ChatTemplate;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CalibrationTextTest {
    private static final Optional<ChatTemplate> TEMPLATE = Optional.of(ChatTemplate.of(
            "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>\n{% endfor %}"
                    + "{% if add_generation_prompt %}<assistant>{% endif %}",
            Map.of(), Clock.systemUTC()));

    @TempDir
    Path folder;

    private CalibrationText read(String name, String content, Optional<ChatTemplate> template) throws IOException {
        return CalibrationText.read(Files.writeString(folder.resolve(name), content), () -> template);
    }

    @Test
    void takesATextAsItStands() throws IOException {
        CalibrationText text = read("a.txt", "{\"text\": \"no line of JSON\"}\n\n", Optional.empty());

        assertEquals("{\"text\": \"no line of JSON\"}\n\n", text.content());
        assertEquals(1, text.documents());
    }

    @Test
    void joinsRowsOnlyInRawFiles() throws IOException {
        assertEquals("a\n\n\nb\n", read("wiki.raw", "a\nb\n", Optional.empty()).content());
        assertEquals("a\nb\n", read("plain.txt", "a\nb\n", Optional.empty()).content());
    }

    @Test
    void joinsTheTextsOfLinesByABlankLine() throws IOException {
        CalibrationText text = read(
                "a.jsonl",
                "{\"text\": \"One.\\nTwo.\", \"meta\": {\"id\": 1}}\n\n{\"text\": \"Drei é\"}\r\n{\"text\": \"\"}",
                Optional.empty());

        assertEquals("One.\nTwo.\n\nDrei é\n\n", text.content());
        assertEquals(3, text.documents());
    }

    @Test
    void rendersConversationsAsTheModelKnowsThem() throws IOException {
        CalibrationText text = read("a.jsonl", """
            {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]}
            {"messages": [{"role": "user", "content": "Bye"}]}
            """, TEMPLATE);

        assertEquals("<user>Hi</s>\n<assistant>Yes?</s>\n<user>Bye</s>\n", text.content());
        assertEquals(2, text.documents());
    }

    @Test
    void isNamedByTheHashOfTheFile() throws IOException {
        String expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assertEquals(expected, read("abc.raw", "abc", TEMPLATE).sha256());
        assertEquals(expected, read("abc.txt", "abc", TEMPLATE).sha256());
        Path lines = Files.writeString(folder.resolve("b.jsonl"), "{\"text\": \"abc\"}");
        assertEquals(
                Text.read(lines).sha256(),
                CalibrationText.read(lines, () -> TEMPLATE).sha256());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{'text': 7} | holds no document | an object with [text]",
                "{'prompt': 'x', 'id': 1} | holds no document | an object with [prompt, id]",
                "['text'] | holds no document | ARRAY",
                "{'text': 'a | is no JSON | Unexpected end-of-input",
                "{'text': 'a'} {'text': 'b'} | is no JSON | Trailing token",
                "{'messages': [{'role': 'user'} | is no JSON | Unexpected end-of-input",
            })
    void namesTheLineThatHoldsNoDocument(String line, String problem, String detail) {
        String content = "{\"text\": \"fine\"}\n\n" + line.strip().replace('\'', '"');

        HalftoneException fault = assertThrows(HalftoneException.class, () -> read("a.jsonl", content, TEMPLATE));

        assertEquals(Kind.INPUT, fault.kind());
        assertTrue(fault.getMessage().endsWith("a.jsonl', line 3: " + problem), fault.explanation());
        assertTrue(fault.detail().contains(detail), fault.explanation());
        assertTrue(fault.remedy().contains("{\"text\": "), fault.explanation());
    }

    @Test
    void needsATemplateForConversations() {
        HalftoneException fault = assertThrows(
                HalftoneException.class,
                () -> read("a.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}", Optional.empty()));

        assertTrue(fault.getMessage().contains("line 1") && fault.getMessage().contains("no chat template"));
    }

    @Test
    void namesTheLineThatTheTemplateRefuses() {
        Optional<ChatTemplate> strict = Optional.of(
                ChatTemplate.of("{{ raise_exception('roles must alternate') }}", Map.of(), Clock.systemUTC()));

        HalftoneException fault = assertThrows(
                HalftoneException.class, () -> read("a.jsonl", "{\"text\": \"a\"}\n{\"messages\": []}", strict));

        assertTrue(fault.getMessage().contains("line 2"), fault.explanation());
        assertTrue(fault.detail().contains("roles must alternate"), fault.explanation());
    }
}

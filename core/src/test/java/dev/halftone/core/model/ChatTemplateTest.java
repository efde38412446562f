package dev.halftone.core.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class ChatTemplateTest {
    /// Golden templates that use what is refused, and by which word the refusal names it.
    private static final Map<String, String> REFUSED = Map.ofEntries(
            Map.entry("loop neighbours", "loop.previtem"),
            Map.entry("slices", "'abcdef'[::2]"),
            Map.entry("tests", "callable"),
            Map.entry("string methods", "rsplit"),
            Map.entry("filters on text", "escape"),
            Map.entry("filters on lists", "batch"),
            Map.entry("dictionaries", "dictsort"),
            Map.entry("python literals printed", "(1,)"),
            Map.entry("arithmetic", "'ab'"),
            Map.entry("comparison and logic", "1 < 2 < 3"),
            Map.entry("filter block", "filter"),
            Map.entry("with block", "with"),
            Map.entry("tojson", "separators"),
            Map.entry("string escapes", "u00e9"));

    /// Golden templates that render otherwise than in Python. The engine has one value for what is undefined and what
    /// is none, and adds texts to anything.
    private static final Map<String, String> DIFFERENT = Map.of(
            "is defined", "False True True False True False False True [] d d d e",
            "attribute of undefined", "",
            "undefined in addition", "anull",
            "none in concatenation", "a1true1.5",
            "number plus text", "a1",
            "sum of a concatenation and a number", "123",
            "division by zero", "inf");

    private static final Clock CLOCK = Clock.fixed(
            LocalDateTime.parse(TokenizerGolden.tree("chat-templates.json")
                            .get("now")
                            .textValue())
                    .toInstant(ZoneOffset.UTC),
            ZoneOffset.UTC);

    @TempDir
    Path directory;

    static Stream<Arguments> golden() {
        List<Arguments> cases = new ArrayList<>();
        JsonNode tree = TokenizerGolden.tree("chat-templates.json");
        for (String kind : new String[] {"models", "templates"}) {
            for (JsonNode template : tree.get(kind)) {
                String name = template.get("name").textValue();
                int number = 0;
                for (JsonNode rendering : template.get("cases")) {
                    cases.add(Arguments.of(
                            Named.of(name + " " + number++, name),
                            template.get("template").textValue(),
                            rendering));
                }
            }
        }
        return cases.stream();
    }

    @ParameterizedTest
    @MethodSource("golden")
    void rendersLikeTransformers(String name, String template, JsonNode rendering) {
        ObjectNode variables = (ObjectNode) rendering.get("variables");
        if (REFUSED.containsKey(name)) {
            HalftoneException refusal = assertThrows(HalftoneException.class, () -> render(template, variables));
            assertTrue(refusal.detail().contains(REFUSED.get(name)), refusal.explanation());
        } else if (DIFFERENT.containsKey(name)) {
            assertEquals(DIFFERENT.get(name), render(template, variables));
            assertFalse(rendering.path("rendered").asText().equals(DIFFERENT.get(name)) && rendering.has("rendered"));
        } else if (rendering.has("error")) {
            HalftoneException refusal = assertThrows(HalftoneException.class, () -> render(template, variables));
            assertEquals(HalftoneException.Kind.INPUT, refusal.kind());
            if (template.contains("raise_exception")) {
                assertTrue(refusal.detail().contains(rendering.get("error").textValue()), refusal.explanation());
            }
        } else {
            assertEquals(rendering.get("rendered").textValue(), render(template, variables));
        }
    }

    private static String render(String template, ObjectNode variables) {
        return ChatTemplate.of(template, Map.of(), CLOCK).render(variables);
    }

    private static String render(String template) {
        return render(template, JsonNodeFactory.instance.objectNode());
    }

    @ParameterizedTest
    @CsvSource({"tiny-storyteller, tiny-storyteller", "SmolLM2-135M-Instruct, smollm2"})
    void findsTheTemplateOfARealModel(String model, String name) throws IOException {
        Path files = Shared.directory("models/" + model);
        ChatTemplate template = ChatTemplate.of(files).orElseThrow();
        int seen = 0;
        try (Tokenizer tokenizer = Tokenizer.of(files)) {
            for (JsonNode entry : TokenizerGolden.tree("chat-templates.json").get("models")) {
                for (JsonNode rendering :
                        entry.get("name").textValue().equals(name) ? entry.get("cases") : List.<JsonNode>of()) {
                    List<ChatMessage> messages = new ArrayList<>();
                    for (JsonNode message : rendering.get("variables").get("messages")) {
                        messages.add(new ChatMessage(
                                message.get("role").textValue(),
                                message.get("content").textValue()));
                    }
                    boolean prompt = rendering
                            .get("variables")
                            .get("add_generation_prompt")
                            .booleanValue();
                    String text = template.render(messages, prompt);
                    assertEquals(rendering.get("rendered").textValue(), text);
                    assertArrayEquals(TokenizerGolden.ints(rendering.get("ids")), tokenizer.encode(text));
                    seen++;
                }
            }
        }
        assertEquals(12, seen);
    }

    private void file(String name, String text) throws IOException {
        Files.writeString(directory.resolve(name), text);
    }

    private String hello() throws IOException {
        return ChatTemplate.of(directory).orElseThrow().render(List.of(ChatMessage.user("Hello")), false);
    }

    @Test
    void looksForTheTemplateInTwoFiles() throws IOException {
        assertEquals(Optional.empty(), ChatTemplate.of(directory));
        file("tokenizer_config.json", "{\"bos_token\":\"<s>\"}");
        assertEquals(Optional.empty(), ChatTemplate.of(directory));
        file(
                "tokenizer_config.json",
                "{\"bos_token\":\"<s>\",\"chat_template\":\"{{ bos_token }}{{ messages[0].content }}\"}");
        assertEquals("<s>Hello", hello());
        file(
                "tokenizer_config.json",
                "{\"eos_token\":{\"content\":\"</s>\"},\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"tools\"},{\"name\":\"default\",\"template\":\"{{"
                    + " messages[0].role }}{{ eos_token }}\"}]}");
        assertEquals("user</s>", hello());
        file("chat_template.jinja", "first {{ messages | length }}{{ eos_token }}\n");
        assertEquals("first 1</s>", hello());
    }

    @Test
    void handsTheTemplatesOwnRefusalOn() {
        HalftoneException refusal =
                assertThrows(HalftoneException.class, () -> render("{{ raise_exception('roles must alternate') }}"));
        assertEquals(HalftoneException.Kind.INPUT, refusal.kind());
        assertEquals("roles must alternate", refusal.detail());
    }

    @Test
    void interpretsNothingThatAConversationSays() {
        ChatTemplate template = ChatTemplate.of("{{ messages[0].content }}", Map.of(), CLOCK);
        String said = "{{ 1 + 1 }}{% for x in range(3) %}{# gone #}{{ messages }}";
        assertEquals(said, template.render(List.of(ChatMessage.user(said)), false));
    }

    @Test
    void keepsBracesThatAreText() {
        assertEquals("{\"a\": {1}}", render("{\"a\": {{ '{' }}1}}"));
        assertEquals("{{ x }}{% y %}{", render("{% raw %}{{ x }}{% y %}{{% endraw %}"));
        assertEquals("{x", render("{ {%- if true %}x{% endif %}"));
    }

    @Test
    void compareBeforeNot() {
        assertEquals("False True", render("{{ not 1 == 1 }} {{ not 2 == 1 }}"));
        assertEquals("yes", render("{% if not (1 == 2) and not 'a' in 'b' %}yes{% endif %}"));
        assertEquals("True False", render("{{ 1 is not none }} {{ not 1 is not none }}"));
        assertEquals("not == and ['not a == b']", render("not == and {{ ['not a == b'] }}"));
    }

    @Test
    void takesCalculatedNamedArguments() {
        assertEquals(
                "3 True", render("{% set ns = namespace(a=[1, 2] | length + 1, b=not false) %}{{ ns.a }} {{ ns.b }}"));
    }

    /// Ways into Java, and out of the template, that sandboxes of this kind have known.
    @ParameterizedTest
    @ValueSource(
            strings = {
                "{{ ''.getClass() }}",
                "{{ 'a'.getBytes() }}",
                "{{ 'a'.repeat(1000) }}",
                "{{ [].getClass().forName('java.lang.Runtime') }}",
                "{{ {}.getClass() }}",
                "{{ (1).getClass() }}",
                "{{ (1).class }}",
                "{{ true.hashCode() }}",
                "{{ range.getClass() }}",
                "{{ ____int3rpr3t3r____.getConfig() }}",
                "{{ ____int3rpr3t3r____.config }}",
                "{{ ____int3rpr3t3r____['context'] }}",
                "{{ ____int3rpr3t3r____.getContext().getClass() }}",
                "{% set x = ____int3rpr3t3r____.resolveELExpression('1', 1) %}",
                "{% for x in [1] %}{{ loop.getClass() }}{% endfor %}",
                "{% for x in [1] %}{{ loop.class }}{% endfor %}",
                "{% for x in [1] %}{{ loop.doBreak() }}{% endfor %}",
                "{% set n = namespace(a=1) %}{{ n.getClass() }}",
                "{{ [1].stream() }}",
                "{{ ['a'] | map('render') | list }}",
                "{{ '{{ 1 }}' | render }}",
                "{{ '1' | fromjson }}",
                "{{ '1' | fromyaml }}",
                "{{ 'a' | regex_replace('a', 'b') }}",
                "{{ 1 | log }}",
                "{{ type(1) }}",
                "{{ fn:list(1) }}",
                "{{ today() }}",
                "{{ super() }}",
                "{% include '/etc/passwd' %}",
                "{% import 'x' as y %}",
                "{% from 'x' import y %}",
                "{% extends 'x' %}",
                "{% block x %}{% endblock %}",
                "{% do 1 %}",
                "{% print 1 %}",
            })
    void reachesNothingOfJava(String template) {
        HalftoneException refusal = assertThrows(HalftoneException.class, () -> render(template));
        assertEquals(HalftoneException.Kind.INPUT, refusal.kind());
    }

    /// Names that mean something in Java are names of nothing here.
    @ParameterizedTest
    @ValueSource(
            strings = {
                "{{ ''.class }}",
                "{{ ''['class'] }}",
                "{{ 'a'.__class__ }}",
                "{{ [].class }}",
                "{{ {}.class }}",
                "{{ messages.getClass() }}",
                "{% macro m() %}{% endmacro %}{{ m.getClass() }}",
                "{{ ['a'] | map(attribute='class') | join }}",
            })
    void findsNothingUnderNamesOfJava(String template) {
        assertEquals("", render(template));
    }

    /// Each would run for hours or fill the memory.
    @ParameterizedTest
    @ValueSource(
            strings = {
                "{% for a in range(9000) %}{% for b in range(9000) %}{% for c in range(9000) %}{% set x = 1 %}"
                        + "{% endfor %}{% endfor %}{% endfor %}",
                "{% for a in range(9000) %}{% for b in range(9000) %}{{ 'xxxxxxxxxxxxxxxxxxxx' }}{% endfor %}{% endfor"
                        + " %}",
                "{% set ns = namespace(x='ab') %}{% for a in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{"
                        + " ns.x }}",
                "{% set ns = namespace(x='ab') %}{% for a in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{"
                        + " ns.x }}",
                "{% set ns = namespace(x=[1]) %}{% for a in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{"
                        + " ns.x }}",
                "{% set ns = namespace(x='ab') %}{% for a in range(60) %}{% set ns.x = ns.x.replace('a', 'aaaaaaaaa')"
                        + " %}{% endfor %}{{ ns.x }}",
                "{% set ns = namespace(x='ab') %}{% for a in range(60) %}{% set ns.x = ns.x | replace('a',"
                        + " 'aaaaaaaaa') %}{% endfor %}{{ ns.x }}",
                "{% set ns = namespace(x='ab') %}{% for a in range(60) %}{% set ns.x = [ns.x, ns.x, ns.x] | join('-')"
                        + " %}{% endfor %}{{ ns.x }}",
                "{% set ns = namespace(x=[1]) %}{% for a in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{"
                        + " ns.x }}",
                "{% set ns = namespace(x=[1]) %}{% for a in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
                        + "{{ ns.x | tojson }}",
                "{% macro m(n) %}{{ m(n + 1) }}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
                "{{ range(1000000000) | length }}",
                "{{ 'x\\ny' | indent(1000000000) }}",
                "{% set x = [] %}{% for a in range(3) %}{{ x.append(x) }}{% endfor %}{{ x | tojson }}",
                "{{ 'x' }",
                "{% if %}",
                "{% for x in %}{% endfor %}",
                "{% if true %}",
                "{# no end",
                "{{ 'no end }}",
                "{% raw %}",
            })
    void endsInAnErrorInsteadOfRunningOn(String template) {
        HalftoneException refusal = assertTimeoutPreemptively(
                Duration.ofSeconds(60), () -> assertThrows(HalftoneException.class, () -> render(template)));
        assertEquals(HalftoneException.Kind.INPUT, refusal.kind());
    }

    @Test
    void survivesDeepNesting() {
        String deep = "(".repeat(20_000) + "1" + ")".repeat(20_000);
        assertThrows(HalftoneException.class, () -> render("{{ " + deep + " }}"));
        String blocks = "{% if true %}".repeat(5_000) + "x" + "{% endif %}".repeat(5_000);
        assertThrows(HalftoneException.class, () -> render(blocks));
        assertThrows(HalftoneException.class, () -> render("x".repeat(2_000_000)));
    }

    @Test
    void rendersALongConversation() {
        List<ChatMessage> messages = new ArrayList<>();
        for (int i = 0; i < 2_000; i++) {
            messages.add(i % 2 == 0 ? ChatMessage.user("question " + i) : ChatMessage.assistant("answer " + i));
        }
        String template = "{% for m in messages %}{% if m.role == 'user' %}Q: {% else %}A: {% endif %}"
                + "{{ m.content | trim }}\n{% endfor %}";
        String text = ChatTemplate.of(template, Map.of(), CLOCK).render(messages, false);
        assertTrue(text.endsWith("A: answer 1999\n"), text.substring(text.length() - 40));
    }

    @Test
    void rendersInSeveralThreads() {
        ChatTemplate template =
                ChatTemplate.of("{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}", Map.of(), CLOCK);
        Set<String> wrong = Stream.iterate(0, i -> i + 1)
                .limit(200)
                .parallel()
                .filter(i -> !template.render(List.of(ChatMessage.user("n" + i)), false)
                        .equals("user:n" + i + ";"))
                .map(String::valueOf)
                .collect(Collectors.toSet());
        assertEquals(Set.of(), wrong);
    }

    @Test
    void leavesTheCallersDataAsItIs() {
        ObjectNode variables = JsonNodeFactory.instance.objectNode();
        variables.putArray("list").add(1);
        assertEquals("2", render("{% set x = list.append(2) %}{{ list | length }}", variables));
        assertEquals(1, variables.get("list").size());
    }
}

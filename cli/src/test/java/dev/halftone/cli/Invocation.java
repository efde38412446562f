package dev.halftone.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.halftone.core.testing.Shared;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;

/// One command line run inside the test's own process, and what came of it.
record Invocation(int status, String out, String err) {
    private static final ObjectMapper JSON = new ObjectMapper();

    static Invocation of(String... arguments) {
        return of(new Interruption(), arguments);
    }

    static Invocation of(Interruption interruption, String... arguments) {
        return of(Environment.plain(Shared.root()), interruption, arguments);
    }

    static Invocation of(Environment environment, Interruption interruption, String... arguments) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        int status = new Halftone(print(out), print(err), environment, interruption).run(arguments);
        return new Invocation(status, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    }

    static PrintStream print(ByteArrayOutputStream bytes) {
        return new PrintStream(bytes, true, StandardCharsets.UTF_8);
    }

    /// Standard output as JSON lines; fails if a line is anything else.
    List<JsonNode> events() {
        return out.lines().map(Invocation::parse).toList();
    }

    /// The last event.
    JsonNode last() {
        return events().getLast();
    }

    private static JsonNode parse(String line) {
        try {
            JsonNode node = JSON.readTree(line);
            if (!node.isObject() || !node.path("event").isTextual()) {
                throw new AssertionError("no event: " + line);
            }
            return node;
        } catch (JsonProcessingException e) {
            throw new UncheckedIOException(e);
        }
    }
}

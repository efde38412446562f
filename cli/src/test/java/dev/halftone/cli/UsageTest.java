package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import org.junit.jupiter.api.Test;

/// Mistakes that the words of a command line show by themselves.
class UsageTest {
    private static void assertUsage(Invocation run, String what, String remedy) {
        assertEquals(2, run.status(), run.err());
        assertEquals("", run.out());
        assertTrue(run.err().startsWith("error: " + what), run.err());
        assertTrue(run.err().contains("\n  try: " + remedy), run.err());
        assertFalse(run.err().contains("\tat "), "a stack trace: " + run.err());
    }

    @Test
    void suggestsTheCommandThatWasMeant() {
        assertUsage(Invocation.of("quantise", "a", "b"), "unknown command 'quantise'", "quantize");
    }

    @Test
    void suggestsTheOptionThatWasMeant() {
        assertUsage(
                Invocation.of("perplexity", "model", "--text", "x", "--protocl", "plain"),
                "unknown option '--protocl'",
                "--protocol");
    }

    @Test
    void namesTheArgumentThatIsMissing() {
        assertUsage(
                Invocation.of("quantize", "model"), "Missing required parameter: 'OUT'", "halftone quantize --help");
        assertUsage(Invocation.of("run", "model"), "Missing required option: '--prompt=TEXT'", "halftone run --help");
    }

    @Test
    void refusesAnArgumentTooMany() {
        assertUsage(Invocation.of("inspect", "a", "b"), "unexpected argument 'b'", "halftone inspect --help");
    }

    @Test
    void namesTheOptionWhoseValueIsNoNumber() {
        assertUsage(
                Invocation.of("run", "model", "--prompt", "x", "--max-tokens", "many"),
                "Invalid value for option '--max-tokens': 'many' is not an int",
                "halftone run --help");
    }

    @Test
    void refusesZeroThreads() {
        assertEquals(2, Invocation.of("doctor", "--threads", "0").status());
    }

    @Test
    void tellsAFaultAsAnEventToo() {
        Invocation run = Invocation.of("inspect", "model", "--json", "--nonsense");
        assertEquals(2, run.status());
        JsonNode error = run.last();
        assertEquals("error", error.path("event").asText());
        assertEquals("usage", error.path("kind").asText());
        assertEquals(2, error.path("exit_code").asInt());
        assertTrue(error.path("message").asText().contains("--nonsense"));
        assertTrue(run.err().startsWith("error: "), run.err());
    }

    @Test
    void takesGlobalOptionsBeforeAndAfterTheCommand() {
        assertTrue(Invocation.of("--json", "inspect", "no-such-model").out().startsWith("{"));
        assertTrue(Invocation.of("inspect", "no-such-model", "--json").out().startsWith("{"));
    }

    @Test
    void refusesAnUnknownBackend() {
        assertEquals(2, Invocation.of("doctor", "--backend", "abacus").status());
    }
}

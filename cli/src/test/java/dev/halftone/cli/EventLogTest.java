package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.halftone.core.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EventLogTest {
    private static final String MODEL =
            Shared.root().resolve("models/tiny-storyteller").toString();

    @TempDir
    Path folder;

    private List<JsonNode> events(Path log) throws IOException {
        List<JsonNode> events = new ArrayList<>();
        for (String line : Files.readAllLines(log)) {
            events.add(new ObjectMapper().readTree(line));
        }
        return events;
    }

    private static List<String> names(List<JsonNode> events) {
        return events.stream().map(event -> event.path("event").asText()).toList();
    }

    @Test
    void keepsEverythingThatIsToldBesideTheTerminal() throws IOException {
        Path log = folder.resolve("run.jsonl");
        String out = folder.resolve("out").toString();
        String[] command = {
            "quantize", MODEL, out, "--calibration-windows", "1", "--calibration-length", "64", "--log", log.toString()
        };

        Invocation run = Invocation.of(command);

        assertEquals(0, run.status(), run.err());
        assertTrue(run.out().startsWith("Plan "), "the terminal is as ever: " + run.out());
        List<JsonNode> events = events(log);
        List<String> names = names(events);
        assertEquals("started", names.getFirst());
        assertEquals(List.of("done", "ended"), names.subList(names.size() - 2, names.size()));
        assertEquals(28, names.stream().filter("linear"::equals).count());
        assertEquals(4, names.stream().filter("kept"::equals).count());
        assertTrue(names.contains("plan") && names.contains("note"), names.toString());
        assertEquals(0, events.getLast().path("exit_code").asInt(-1));
        assertEquals(
                List.of(command),
                new ObjectMapper().convertValue(events.getFirst().get("arguments"), List.class));
        Instant before = Instant.EPOCH;
        for (JsonNode event : events) {
            Instant time = Instant.parse(event.path("time").asText());
            assertTrue(!time.isBefore(before), event.toString());
            before = time;
        }
    }

    @Test
    void appendsFaultsAndAgreesWithJsonOnStandardOutput() throws IOException {
        Path log = folder.resolve("run.jsonl");
        Invocation.of("inspect", folder.resolve("absent").toString(), "--log", log.toString(), "-q");
        Invocation run = Invocation.of("inspect", MODEL, "--json", "--log", log.toString());

        List<JsonNode> events = events(log);
        assertEquals(List.of("started", "error", "ended"), names(events).subList(0, 3));
        assertEquals(3, events.get(2).path("exit_code").asInt());
        assertEquals("input", events.get(1).path("kind").asText());
        List<JsonNode> told = run.events();
        List<String> logged = names(events).subList(4, names(events).size() - 1);
        assertTrue(logged.containsAll(names(told)), logged + " of " + names(told));
    }

    @Test
    void refusesAFileThatCannotBeWritten() {
        Invocation run = Invocation.of(
                "inspect", MODEL, "--log", folder.resolve("no/such/log").toString());

        assertEquals(2, run.status());
        assertTrue(run.err().startsWith("error: --log: cannot write to '"), run.err());
        assertEquals("", run.out());
    }

    @Test
    void remembersTheFirstFaultAndLetsTheWorkGoOn() {
        EventLog log = EventLog.open(folder.resolve("log"), Clock.systemUTC());
        log.close();

        log.add("late", fields -> {});

        assertTrue(log.fault() != null);
    }
}

package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.List;
import org.junit.jupiter.api.Test;

class DoctorCommandTest {
    @Test
    void findsNoProblemOnAMachineThatRunsTheseTests() {
        Invocation run = Invocation.of("doctor");
        assertEquals(0, run.status(), run.out() + run.err());
        for (String name :
                new String[] {"java", "vector api", "processor", "memory", "disk here", "computes with", "multiplies by"
                }) {
            assertTrue(run.out().lines().anyMatch(line -> line.matches("(ok|warning) +" + name + " .*")), run.out());
        }
        assertTrue(run.out().contains("computes with   cpu"), run.out());
    }

    @Test
    void everyCheckIsAnEventAndTroubleHasARemedy() {
        List<JsonNode> events = Invocation.of("doctor", "--json").events();
        for (JsonNode check : events.subList(0, events.size() - 1)) {
            assertEquals("check", check.path("event").asText());
            boolean well = check.path("verdict").asText().equals("ok");
            assertEquals(well, check.path("remedy").isMissingNode(), check.toString());
        }
        assertEquals(0, events.getLast().path("problems").asInt());
    }

    @Test
    void saysWhatIsMissingWithoutTheLauncher() {
        Invocation run = Invocation.of(Environment.plain(null), new Interruption(), "doctor");
        assertEquals(0, run.status());
        assertTrue(run.out().contains("demo model"), run.out());
        assertTrue(run.out().contains("try: start with ./halftone"), run.out());
    }
}

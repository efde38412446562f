package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.BackendProvider;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class BackendsTest {
    private record Provider(String name, int priority, String refusal) implements BackendProvider {
        @Override
        public Backend open(int threads, Map<String, String> settings) {
            throw new AssertionError("not to be opened");
        }
    }

    private static final List<BackendProvider> PROVIDERS =
            List.of(new Provider("gpu", 10, "no driver"), new Provider("cpu", 5, null));

    private final ByteArrayOutputStream err = new ByteArrayOutputStream();
    private final GlobalOptions options = new GlobalOptions();

    private BackendProvider choose(String name, List<BackendProvider> providers) {
        Console console = new Console(
                Invocation.print(new ByteArrayOutputStream()), Invocation.print(err), Environment.plain(null), options);
        return Backends.choose(name, providers, console);
    }

    @Test
    void takesTheFirstThatDoesNotRefuseAndTellsTheRefusalUnderV() {
        options.verbose = true;
        assertSame(PROVIDERS.getLast(), choose("auto", PROVIDERS));
        assertTrue(err.toString(StandardCharsets.UTF_8).contains("backend gpu refused: no driver"));
    }

    @Test
    void doesNotReplaceABackendAskedForByName() {
        HalftoneException fault = assertThrows(HalftoneException.class, () -> choose("gpu", PROVIDERS));
        assertEquals(Kind.RESOURCES, fault.kind());
        assertEquals("no driver", fault.detail());
    }

    @Test
    void namesTheKnownOnesForAnUnknownName() {
        HalftoneException fault = assertThrows(HalftoneException.class, () -> choose("tpu", PROVIDERS));
        assertEquals(Kind.USAGE, fault.kind());
        assertTrue(fault.remedy().contains("gpu, cpu"), fault.remedy());
    }

    @Test
    void failsWhenAllRefuse() {
        HalftoneException fault =
                assertThrows(HalftoneException.class, () -> choose("auto", List.of(PROVIDERS.getFirst())));
        assertEquals(Kind.RESOURCES, fault.kind());
    }
}

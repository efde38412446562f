package dev.halftone.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.BackendProvider;
import dev.halftone.core.compute.ReferenceBackend;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;

class BackendsTest {
    private static final Backend BACKEND = new ReferenceBackend();

    private record Provider(String name, int priority, String refusal) implements BackendProvider {
        @Override
        public Backend open(int threads) {
            assertEquals(3, threads);
            return BACKEND;
        }
    }

    private static final List<BackendProvider> PROVIDERS =
            List.of(new Provider("gpu", 10, "no driver"), new Provider("cpu", 5, null));

    private final ByteArrayOutputStream err = new ByteArrayOutputStream();
    private final GlobalOptions options = new GlobalOptions();

    private Backend open(String name, List<BackendProvider> providers) {
        Console console = new Console(
                Invocation.print(new ByteArrayOutputStream()), Invocation.print(err), Environment.plain(null), options);
        return Backends.open(name, 3, providers, console);
    }

    @Test
    void takesTheFirstThatDoesNotRefuseAndTellsTheRefusalUnderV() {
        options.verbose = true;
        assertSame(BACKEND, open("auto", PROVIDERS));
        assertTrue(err.toString(StandardCharsets.UTF_8).contains("backend gpu refused: no driver"));
    }

    @Test
    void doesNotReplaceABackendAskedForByName() {
        HalftoneException fault = assertThrows(HalftoneException.class, () -> open("gpu", PROVIDERS));
        assertEquals(Kind.RESOURCES, fault.kind());
        assertEquals("no driver", fault.detail());
    }

    @Test
    void namesTheKnownOnesForAnUnknownName() {
        HalftoneException fault = assertThrows(HalftoneException.class, () -> open("tpu", PROVIDERS));
        assertEquals(Kind.USAGE, fault.kind());
        assertTrue(fault.remedy().contains("gpu, cpu"), fault.remedy());
    }

    @Test
    void failsWhenAllRefuse() {
        HalftoneException fault =
                assertThrows(HalftoneException.class, () -> open("auto", List.of(PROVIDERS.getFirst())));
        assertEquals(Kind.RESOURCES, fault.kind());
    }
}

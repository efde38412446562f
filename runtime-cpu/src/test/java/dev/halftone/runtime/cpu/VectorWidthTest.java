package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.compute.BackendProvider;
import dev.halftone.core.compute.Linear;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.tensor.DType;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.ServiceLoader;
import org.junit.jupiter.api.Test;

class VectorWidthTest {
    /// Runs in a JVM of its own.
    public static final class Main {
        private Main() {}

        public static void main(String[] arguments) {
            try (CpuBackend backend = new CpuBackend(1);
                    CpuBackend another = new CpuBackend(1);
                    Linear linear = backend.bind(Samples.dense(DType.F32, 3, 32), null);
                    Matrix x = Samples.matrix(backend, 1, 32, 1);
                    Matrix y = backend.allocate(1, 3)) {
                linear.multiply(x, y);
                System.out.println(another.description() + " computes " + Samples.values(backend, y).length);
            }
        }
    }

    private static String run(List<String> flags) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(flags);
        command.add("--enable-native-access=ALL-UNNAMED");
        command.add("-Xshare:auto");
        command.add("-cp");
        command.add(System.getProperty("java.class.path"));
        command.add(Main.class.getName());
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        process.waitFor();
        return output;
    }

    @Test
    void computesInPlainLoopsWithoutTheModuleAndSaysSoOnce() throws Exception {
        String output = run(List.of());
        assertTrue(output.contains("plain loops, 1 thread) computes 3"), output);
        assertEquals(2, output.split("--add-modules jdk.incubator.vector", -1).length, output);
    }

    @Test
    void refusesAWidthWithoutTheModule() throws Exception {
        String output = run(List.of("-Dhalftone.cpu.vector-bits=128"));
        assertTrue(output.contains("vectors of 128 bits need the module jdk.incubator.vector"), output);
    }

    @Test
    void refusesWhatIsNoWidth() throws Exception {
        String output = run(List.of("--add-modules", "jdk.incubator.vector", "-Dhalftone.cpu.vector-bits=wide"));
        assertTrue(output.contains("halftone.cpu.vector-bits is not a vector width"), output);
    }

    @Test
    void usesTheWidthAskedFor() {
        try (CpuBackend backend = TestBackends.open(1)) {
            String requested = VectorWidth.requested();
            String expected = requested == null
                    ? Lanes.preferredBits() + "-bit vectors"
                    : requested.equals(VectorWidth.SCALAR) ? "plain loops" : requested + "-bit vectors";
            String description = backend.description();
            assertTrue(description.startsWith("cpu (" + expected + ", "), description);
            assertTrue(description.endsWith(", 1 thread)"), description);
            // Said where weights lie as machine code reads them, and nowhere else.
            boolean told = description.contains("few rows by VNNI") || description.contains("no machine code: ");
            assertEquals(expected.equals("512-bit vectors"), told, description);
        }
    }

    @Test
    void isFoundAsAService() {
        List<String> names = ServiceLoader.load(BackendProvider.class).stream()
                .map(provider -> provider.get().name())
                .toList();
        assertTrue(names.contains("cpu"), names.toString());
    }
}

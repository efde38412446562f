package dev.halftone.core.checkpoint;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// A run in a process of its own: writes a model of 1 MiB, and either publishes it or waits to be killed.
final class WriterProcess {
    private WriterProcess() {}

    /// @param arguments target directory, `publish` or `wait`
    public static void main(String[] arguments) throws IOException {
        Tensor first = SafetensorsWriterTest.random("a", DType.U8, Shape.of(512 << 10));
        Tensor second = SafetensorsWriterTest.random("b", DType.U8, Shape.of(512 << 10));
        List<TensorSpec> specs = List.of(TensorSpec.of(first), TensorSpec.of(second));
        try (CheckpointWriter writer = CheckpointWriter.create(Path.of(arguments[0]), specs, 1 << 30)) {
            writer.write(first);
            if (arguments[1].equals("wait")) {
                System.out.println("written");
                int ignored = System.in.read();
                System.out.println("ended by " + ignored);
                return;
            }
            writer.write(second);
            writer.publish();
            System.out.println("published");
        } catch (HalftoneException e) {
            System.out.println(e.kind() + ": " + e.explanation());
        }
    }

    /// The command that runs this class on the class path of the tests.
    static List<String> command(String... arguments) {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx64m",
                "-XX:-UsePerfData",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"),
                WriterProcess.class.getName()));
        command.addAll(Arrays.asList(arguments));
        return command;
    }
}

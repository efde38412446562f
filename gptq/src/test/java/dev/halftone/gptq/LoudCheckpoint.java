package dev.halftone.gptq;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.CheckpointWriter;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

/// A copy of a model with one tensor filled with one value.
final class LoudCheckpoint {
    private LoudCheckpoint() {}

    static void write(Path source, Path target, String name, float value) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(source);
                Arena arena = Arena.ofConfined()) {
            List<TensorSpec> specs =
                    checkpoint.tensors().values().stream().map(TensorSpec::of).toList();
            try (CheckpointWriter writer = CheckpointWriter.create(target, specs, Long.MAX_VALUE)) {
                for (Tensor tensor : checkpoint.tensors().values()) {
                    if (tensor.name().equals(name)) {
                        float[] values = new float[(int) tensor.elements()];
                        Arrays.fill(values, value);
                        writer.write(Tensor.rounded(name, tensor.type(), tensor.shape(), values, arena));
                    } else {
                        writer.write(tensor);
                    }
                }
                writer.writeJson("config.json", checkpoint.config());
                writer.publish();
            }
        }
    }
}

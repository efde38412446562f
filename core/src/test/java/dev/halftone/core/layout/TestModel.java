package dev.halftone.core.layout;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.SafetensorsWriter;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/// Checkpoints of a few tensors.
final class TestModel {
    private TestModel() {}

    /// Writes `config.json` and `model.safetensors` into `directory`, anew, and opens it.
    static Checkpoint open(Path directory, String config, List<Tensor> tensors) throws IOException {
        Files.writeString(directory.resolve("config.json"), config);
        Path weights = directory.resolve("model.safetensors");
        Files.deleteIfExists(weights);
        List<TensorSpec> specs = tensors.stream().map(TensorSpec::of).toList();
        try (SafetensorsWriter writer = SafetensorsWriter.create(weights, specs, Map.of())) {
            for (Tensor tensor : tensors) {
                writer.write(tensor);
            }
            writer.finish();
        }
        return Checkpoint.open(directory);
    }

    /// A `config.json` with this quantization section.
    static String config(String section) {
        return "{\"quantization_config\":" + section + "}";
    }
}

package dev.halftone.core.convert;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.CheckpointWriter;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// A model whose embedding and head have more rows, the new ones zero.
final class Widened {
    private Widened() {}

    static Path of(Path model, Path target, ObjectNode config, int vocabulary) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(model);
                Arena arena = Arena.ofConfined()) {
            List<Tensor> tensors = new ArrayList<>();
            for (Tensor tensor : checkpoint.tensors().values()) {
                boolean table =
                        tensor.name().contains("embed_tokens") || tensor.name().startsWith("lm_head");
                if (table) {
                    int columns = Math.toIntExact(tensor.shape().size(1));
                    float[] values = Arrays.copyOf(tensor.toFloats(), vocabulary * columns);
                    tensors.add(Tensor.ofFloats(tensor.name(), Shape.of(vocabulary, columns), values, arena));
                } else {
                    tensors.add(Tensor.rounded(tensor.name(), DType.F32, tensor.shape(), tensor.toFloats(), arena));
                }
            }
            List<TensorSpec> specs = tensors.stream().map(TensorSpec::of).toList();
            try (CheckpointWriter writer = CheckpointWriter.create(target, specs, 1 << 20)) {
                for (Tensor tensor : tensors) {
                    writer.write(tensor);
                }
                writer.writeJson("config.json", config.put("vocab_size", vocabulary));
                writer.publish();
            }
        }
        return target;
    }
}

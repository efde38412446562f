package dev.halftone.core.convert;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.CheckpointWriter;
import dev.halftone.core.checkpoint.GgufType;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.convert.ConversionReport.TensorReport;
import dev.halftone.core.convert.ModelTensors.Entry;
import dev.halftone.core.layout.GgufBlocks;
import dev.halftone.core.layout.GgufRounding;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.Weight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// Writes a checkpoint, packed or dense, in floating point: for tools that know no packed format, and to see what
/// a packed model means.
public final class DenseExport {
    /// What belongs to a model beside its weights and its configuration.
    private static final List<String> COMPANIONS = List.of(
            "generation_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "tokenizer.model",
            "special_tokens_map.json",
            "added_tokens.json",
            "vocab.json",
            "merges.txt",
            "chat_template.jinja");

    private final Checkpoint checkpoint;
    private final LinearWeights weights;
    private final DType type;

    private DenseExport(Checkpoint checkpoint, DType type) {
        this.checkpoint = checkpoint;
        this.weights = LinearWeights.of(checkpoint);
        this.type = type;
    }

    /// Restores all tensors of `source` to `type` and copies its tokenizer.
    ///
    /// @param type F32, F16 or BF16
    /// @return what every tensor became; differences are those of rounding to `type`
    /// @throws HalftoneException if the model is broken or not supported; or the directory is taken or its disk
    ///     too small
    public static ConversionReport write(Path source, Path directory, DType type, ConversionProgress progress)
            throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(source)) {
            return new DenseExport(checkpoint, type).write(directory, progress);
        }
    }

    private ConversionReport write(Path directory, ConversionProgress progress) throws IOException {
        LlamaConfig config = LlamaConfig.of(
                checkpoint.config(), checkpoint.json("generation_config.json").orElse(null));
        List<Entry> entries = ModelTensors.of(config, Llama.tiesHead(config, weights));
        List<TensorSpec> specs = entries.stream()
                .map(entry -> new TensorSpec(entry.name(), type, entry.shape()))
                .toList();
        List<TensorReport> reports = new ArrayList<>();
        try (CheckpointWriter writer = CheckpointWriter.create(directory, specs, GgufImport.SHARD_BYTES)) {
            for (Entry entry : entries) {
                reports.add(write(entry, writer));
                progress.written(entry.name(), reports.size(), entries.size());
            }
            writeFiles(config, writer);
            writer.publish();
        }
        return new ConversionReport(reports);
    }

    private void writeFiles(LlamaConfig config, CheckpointWriter writer) throws IOException {
        ObjectNode tree = checkpoint.config();
        tree.remove("quantization_config");
        tree.remove("dtype");
        tree.put("torch_dtype", Conversion.torchName(type));
        if (config.tiedEmbeddings() && !Llama.tiesHead(config, weights)) {
            tree.put(LlamaConfig.TIED, false);
        }
        writer.writeJson("config.json", tree);
        copyCompanions(checkpoint, writer);
    }

    static void copyCompanions(Checkpoint checkpoint, CheckpointWriter writer) throws IOException {
        for (String name : COMPANIONS) {
            Path companion = checkpoint.directory().resolve(name);
            if (Files.isRegularFile(companion)) {
                writer.copyFile(companion);
            }
        }
    }

    private TensorReport write(Entry entry, CheckpointWriter writer) throws IOException {
        GgufType plain = Conversion.plain(type);
        double largest = 0;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment data = arena.allocate(new TensorSpec(entry.name(), type, entry.shape()).bytes());
            Rows rows = rows(entry);
            float[] values = new float[rows.columns()];
            float[] restored = new float[rows.columns()];
            long rowBytes = plain.bytes(rows.columns());
            for (int row = 0; row < rows.count(); row++) {
                rows.source().restoreRow(row, values, 0);
                MemorySegment destination = data.asSlice(row * rowBytes, rowBytes);
                GgufRounding.round(entry.name(), plain, values, 0, values.length, destination);
                GgufBlocks.restore(plain, destination, 0, values.length, restored, 0);
                largest = Math.max(largest, GgufExport.difference(values, restored));
            }
            writer.write(new Tensor(entry.name(), type, entry.shape(), data));
        }
        return new TensorReport(entry.name(), type.name(), largest);
    }

    private interface RowSource {
        void restoreRow(int row, float[] destination, int offset);
    }

    private record Rows(int count, int columns, RowSource source) {}

    private Rows rows(Entry entry) {
        if (entry.isMatrix()) {
            Weight weight = weights.weight(entry.linear());
            entry.requireShape(Shape.of(weight.outputs(), weight.inputs()), checkpoint.directory());
            return new Rows(weight.outputs(), weight.inputs(), weight::restoreRow);
        }
        Tensor tensor = checkpoint.tensor(entry.name());
        entry.requireShape(tensor.shape(), checkpoint.directory());
        if (!tensor.type().isFloating()) {
            throw new HalftoneException(
                    Kind.INPUT, entry.name() + " is " + tensor.type(), "expected floating point", null);
        }
        int length = Math.toIntExact(tensor.elements());
        return new Rows(1, length, (row, destination, offset) -> tensor.copyTo(0, length, destination, offset));
    }
}

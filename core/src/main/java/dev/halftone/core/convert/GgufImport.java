package dev.halftone.core.convert;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.CheckpointWriter;
import dev.halftone.core.checkpoint.GgufFile;
import dev.halftone.core.checkpoint.GgufTensor;
import dev.halftone.core.checkpoint.GgufType;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.convert.ConversionReport.TensorReport;
import dev.halftone.core.convert.ModelTensors.Entry;
import dev.halftone.core.convert.ModelTensors.Role;
import dev.halftone.core.layout.GgufBlocks;
import dev.halftone.core.layout.GgufCodes;
import dev.halftone.core.layout.GgufRounding;
import dev.halftone.core.layout.PackedLayout;
import dev.halftone.core.layout.PackedLayouts;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.quantize.QuantizationRun;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// Writes a GGUF file as a checkpoint directory: restored to floating point, or with the codes of its linears
/// kept.
public final class GgufImport {
    /// Tensor data in one weight file.
    static final long SHARD_BYTES = 5L << 30;

    private final GgufFile file;
    private final DType type;
    private final ObjectNode configuration;
    private final LlamaConfig config;
    private final GgufTokenizerReader tokenizer;
    private final List<Entry> entries;

    private GgufImport(GgufFile file, DType type) {
        this.file = file;
        this.type = type;
        this.configuration = GgufConfig.read(file, type);
        this.tokenizer = GgufTokenizerReader.of(file.metadata());
        this.config = LlamaConfig.of(configuration, tokenizer.generation());
        this.entries = ModelTensors.of(config);
        requireTensors();
        if (tokenizer.size() > config.vocabulary()) {
            throw fault(
                    "token_embd.weight",
                    "has too few rows",
                    config.vocabulary() + " rows for " + tokenizer.size() + " tokens");
        }
    }

    /// Restores all tensors to `type`.
    ///
    /// @param type F32, F16 or BF16
    /// @return what every tensor became; differences are those of rounding to `type`
    /// @throws HalftoneException if the file is broken or of a kind that is not supported; or the directory is
    ///     taken or its disk too small
    public static ConversionReport dense(Path gguf, Path directory, DType type, ConversionProgress progress)
            throws IOException {
        try (Arena arena = Arena.ofShared()) {
            return new GgufImport(GgufFile.map(gguf, arena), type).write(directory, null, progress);
        }
    }

    /// Keeps the codes of the linears in Q4_0 or in Q8_0, whichever are more, as a packed layout of groups of 32;
    /// all other tensors are restored to `type`.
    ///
    /// @param layout one of [PackedLayouts#NAMES]
    /// @throws HalftoneException like [#dense]; or of kind USAGE if no linear has codes that could be kept
    public static ConversionReport packed(
            Path gguf, Path directory, DType type, String layout, ConversionProgress progress) throws IOException {
        try (Arena arena = Arena.ofShared()) {
            GgufImport model = new GgufImport(GgufFile.map(gguf, arena), type);
            return model.write(directory, model.packing(layout), progress);
        }
    }

    /// How linears are packed.
    ///
    /// @param stored the type whose codes are kept
    private record Packing(PackedLayout layout, QuantizationScheme scheme, GgufType stored, Set<Entry> kept) {
        String description() {
            return layout.name() + " " + scheme;
        }
    }

    private Packing packing(String name) {
        int four = 0;
        int eight = 0;
        for (Entry entry : entries) {
            GgufType stored = file.tensor(entry.gguf()).type();
            four += entry.role() == Role.LINEAR && stored == GgufType.Q4_0 ? 1 : 0;
            eight += entry.role() == Role.LINEAR && stored == GgufType.Q8_0 ? 1 : 0;
        }
        GgufType stored = four >= eight ? GgufType.Q4_0 : GgufType.Q8_0;
        int bits = stored == GgufType.Q4_0 ? 4 : 8;
        Set<Entry> candidates = new HashSet<>();
        for (Entry entry : entries) {
            GgufTensor tensor = file.tensor(entry.gguf());
            if (entry.role() == Role.LINEAR && tensor.type() == stored) {
                candidates.add(entry);
            }
        }
        QuantizationScheme scheme = Repacked.scheme(name, codesOf(bits));
        PackedLayout layout = PackedLayouts.of(name, scheme, ActivationScheme.Kind.NONE);
        Set<Entry> kept = new HashSet<>(candidates);
        kept.removeIf(entry -> !isStorable(layout, entry, scheme));
        if (kept.isEmpty()) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "'" + file.file() + "' has no codes that could be kept",
                    candidates.isEmpty()
                            ? "no linear is Q4_0 or Q8_0"
                            : "its " + candidates.size() + " linears in " + stored + " do not fit " + layout.name(),
                    "import it in floating point");
        }
        return new Packing(layout, scheme, stored, kept);
    }

    /// What blocks of codes are: float16 steps, no zero points.
    private static QuantizationScheme codesOf(int bits) {
        return QuantizationScheme.gptq(bits, GgufCodes.GROUP, true);
    }

    private static boolean isStorable(PackedLayout layout, Entry entry, QuantizationScheme scheme) {
        try {
            int outputs = Math.toIntExact(entry.shape().size(0));
            layout.requireStorable(
                    entry.linear(), outputs, Math.toIntExact(entry.shape().size(1)), scheme);
            return true;
        } catch (HalftoneException e) {
            // The linear stays in floating point, which the report and the configuration say.
            return false;
        }
    }

    private void requireTensors() {
        Set<String> known = new HashSet<>();
        known.add(GgufConfig.ROTARY_FACTORS);
        for (Entry entry : entries) {
            GgufTensor tensor = file.tensor(entry.gguf());
            known.add(entry.gguf());
            if (!tensor.shape().equals(entry.shape())) {
                throw fault(
                        entry.gguf(),
                        "has the wrong shape",
                        "found " + tensor.shape() + ", the metadata imply " + entry.shape());
            }
            if (!GgufBlocks.restorable().contains(tensor.type())) {
                throw new MalformedCheckpointException(
                        file.file(),
                        entry.gguf(),
                        "GGUF type " + tensor.type() + " is not supported",
                        "supported: "
                                + GgufBlocks.restorable().stream().sorted().toList(),
                        "take a file of the same model in one of these types");
            }
        }
        for (String name : file.tensors().keySet()) {
            if (!known.contains(name)) {
                throw fault(
                        name,
                        "has no place in this model",
                        "the architecture is " + config.family().modelType());
            }
        }
    }

    private MalformedCheckpointException fault(String tensor, String problem, String detail) {
        return new MalformedCheckpointException(
                file.file(), tensor, problem, detail, "download the file again, or another file of the same model");
    }

    private ConversionReport write(Path directory, Packing packing, ConversionProgress progress) throws IOException {
        List<TensorSpec> specs = new ArrayList<>();
        for (Entry entry : entries) {
            if (packing != null && packing.kept().contains(entry)) {
                int outputs = Math.toIntExact(entry.shape().size(0));
                int inputs = Math.toIntExact(entry.shape().size(1));
                specs.addAll(packing.layout().specs(entry.linear(), outputs, inputs, packing.scheme()));
            } else {
                specs.add(new TensorSpec(entry.name(), type, entry.shape()));
            }
        }
        List<TensorReport> reports = new ArrayList<>();
        try (CheckpointWriter writer = CheckpointWriter.create(directory, specs, SHARD_BYTES)) {
            for (Entry entry : entries) {
                boolean kept = packing != null && packing.kept().contains(entry);
                reports.add(kept ? writePacked(entry, packing, writer) : writeDense(entry, writer));
                progress.written(entry.name(), reports.size(), entries.size());
            }
            writeFiles(writer, packing);
            writer.publish();
        }
        return new ConversionReport(reports);
    }

    private void writeFiles(CheckpointWriter writer, Packing packing) throws IOException {
        if (packing != null) {
            List<String> dense = entries.stream()
                    .filter(entry ->
                            entry.role() == Role.LINEAR && !packing.kept().contains(entry))
                    .map(Entry::linear)
                    .toList();
            ObjectNode section = packing.layout()
                    .config(
                            packing.scheme(),
                            QuantizationRun.TOOL,
                            Map.of("converted_from", packing.stored().name()),
                            dense);
            configuration.set("quantization_config", section);
            if (packing.layout().sectionFile().isPresent()) {
                writer.writeJson(packing.layout().sectionFile().get(), section);
            }
        }
        writer.writeJson("config.json", configuration);
        writer.writeJson("generation_config.json", tokenizer.generation());
        writer.writeJson("tokenizer.json", tokenizer.tokenizer());
        writer.writeJson("tokenizer_config.json", tokenizer.config(config.context()));
    }

    private TensorReport writeDense(Entry entry, CheckpointWriter writer) throws IOException {
        GgufTensor source = file.tensor(entry.gguf());
        // A vector with an order of its own is a bias, whose rows are its elements.
        boolean vector = entry.shape().rank() == 1;
        GgufType stored = Conversion.plain(type);
        double largest = 0;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment data = arena.allocate(new TensorSpec(entry.name(), type, entry.shape()).bytes());
            TensorRows rows = TensorRows.of(source);
            float[] values = new float[rows.columns()];
            float[] restored = new float[rows.columns()];
            long rowBytes = stored.bytes(rows.columns());
            for (long row = 0; row < source.rows(); row++) {
                rows.restore(vector ? row : entry.fromGguf().source(row), values);
                if (vector) {
                    values = ordered(values, entry);
                }
                MemorySegment destination = data.asSlice(row * rowBytes, rowBytes);
                GgufRounding.round(entry.gguf(), stored, values, 0, values.length, destination);
                GgufBlocks.restore(stored, destination, 0, values.length, restored, 0);
                largest = Math.max(largest, GgufExport.difference(values, restored));
            }
            writer.write(new Tensor(entry.name(), type, entry.shape(), data));
        }
        return new TensorReport(entry.name(), type.name(), largest);
    }

    private static float[] ordered(float[] values, Entry entry) {
        float[] ordered = new float[values.length];
        for (int i = 0; i < ordered.length; i++) {
            ordered[i] = values[Math.toIntExact(entry.fromGguf().source(i))];
        }
        return ordered;
    }

    private TensorReport writePacked(Entry entry, Packing packing, CheckpointWriter writer) throws IOException {
        GgufTensor source = file.tensor(entry.gguf());
        QuantizedWeight codes = GgufCodes.read(
                source, entry.fromGguf(), codesOf(packing.scheme().bits()));
        for (float scale : codes.scales()) {
            if (!Float.isFinite(scale)) {
                throw fault(entry.gguf(), "holds NaN or infinity", "found a step of " + scale);
            }
        }
        QuantizedWeight weight =
                Repacked.of(entry.linear(), codes, packing.layout().name(), packing.scheme());
        try (Arena arena = Arena.ofConfined()) {
            for (Tensor tensor : packing.layout().pack(entry.linear(), weight, arena)) {
                writer.write(tensor);
            }
        }
        TensorRows rows = TensorRows.of(source);
        float[] values = new float[weight.inputs()];
        float[] restored = new float[weight.inputs()];
        double largest = 0;
        for (int row = 0; row < weight.outputs(); row++) {
            rows.restore(entry.fromGguf().source(row), values);
            weight.restoreRow(row, restored, 0);
            largest = Math.max(largest, GgufExport.difference(values, restored));
        }
        return new TensorReport(entry.linear(), packing.description(), largest);
    }
}

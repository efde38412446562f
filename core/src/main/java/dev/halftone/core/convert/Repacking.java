package dev.halftone.core.convert;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.CheckpointWriter;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.convert.ConversionReport.TensorReport;
import dev.halftone.core.convert.ModelTensors.Entry;
import dev.halftone.core.convert.ModelTensors.Role;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.layout.PackedLayout;
import dev.halftone.core.layout.PackedLayouts;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.quantize.QuantizationRun;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// Writes a packed checkpoint in another packed layout, with the same codes. Everything that is not packed is copied as
/// it is.
final class Repacking {
    private final Checkpoint checkpoint;
    private final LinearWeights weights;
    private final LlamaConfig config;
    private final List<Entry> entries;
    private final String name;

    // Of the linears that are packed, and of how they will be.
    private final Map<Entry, QuantizationScheme> schemes = new LinkedHashMap<>();
    private ActivationScheme.Kind activations = ActivationScheme.Kind.NONE;
    private boolean actOrder;

    private Repacking(Checkpoint checkpoint, String name) throws IOException {
        this.checkpoint = checkpoint;
        this.name = name;
        weights = LinearWeights.of(checkpoint);
        if (weights.layout().isEmpty()) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "'" + checkpoint.directory() + "' is not quantized",
                    "there are no codes to pack anew",
                    "halftone quantize --format " + name);
        }
        config = LlamaConfig.of(
                checkpoint.config(), checkpoint.json("generation_config.json").orElse(null));
        entries = ModelTensors.of(config, Llama.tiesHead(config, weights));
    }

    /// @param name one of [PackedLayouts#NAMES]
    /// @throws HalftoneException of kind USAGE if the model is not packed, or the layout cannot hold it
    static ConversionReport write(Path source, Path directory, String name, ConversionProgress progress)
            throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(source)) {
            return new Repacking(checkpoint, name).write(directory, progress);
        }
    }

    private QuantizedWeight read(Entry entry) {
        QuantizedWeight weight = (QuantizedWeight) weights.weight(entry.linear());
        entry.requireShape(Shape.of(weight.outputs(), weight.inputs()), checkpoint.directory());
        return weight;
    }

    private void look() {
        for (Entry entry : entries) {
            if (entry.isMatrix() && weights.isPacked(entry.linear())) {
                QuantizedWeight weight = read(entry);
                schemes.put(entry, Repacked.scheme(name, weight.scheme()));
                actOrder |= !Repacked.isInOrder(weight);
                if (weight.activations().kind() != ActivationScheme.Kind.NONE) {
                    activations = weight.activations().kind();
                }
            }
        }
    }

    /// That of most linears of the blocks.
    private QuantizationScheme commonest() {
        Map<QuantizationScheme, Integer> counts = new HashMap<>();
        QuantizationScheme commonest = null;
        for (Map.Entry<Entry, QuantizationScheme> packed : schemes.entrySet()) {
            if (packed.getKey().role() == Role.LINEAR) {
                int count = counts.merge(packed.getValue(), 1, Integer::sum);
                if (commonest == null || count > counts.get(commonest)) {
                    commonest = packed.getValue();
                }
            }
        }
        if (commonest == null) {
            throw new HalftoneException(
                    Kind.INPUT, "no linear of '" + checkpoint.directory() + "' is packed", null, "--to dense");
        }
        return commonest;
    }

    private PackedLayout layout(Entry entry) {
        if (entry.linear().equals(Llama.EMBEDDING)) {
            return PackedLayouts.ofTable(name, schemes.get(entry));
        }
        ActivationScheme.Kind own = entry.role() == Role.TABLE ? ActivationScheme.Kind.NONE : activations;
        return PackedLayouts.of(name, schemes.get(entry), own, actOrder);
    }

    private ConversionReport write(Path directory, ConversionProgress progress) throws IOException {
        look();
        ObjectNode section = section(commonest());
        List<TensorSpec> specs = new ArrayList<>();
        for (Entry entry : entries) {
            QuantizationScheme scheme = schemes.get(entry);
            if (scheme == null) {
                specs.add(TensorSpec.of(checkpoint.tensor(entry.name())));
            } else {
                int outputs = Math.toIntExact(entry.shape().size(0));
                int inputs = Math.toIntExact(entry.shape().size(1));
                specs.addAll(layout(entry).specs(entry.linear(), outputs, inputs, scheme));
            }
        }
        List<TensorReport> reports = new ArrayList<>();
        try (CheckpointWriter writer = CheckpointWriter.create(directory, specs, GgufImport.SHARD_BYTES)) {
            for (Entry entry : entries) {
                reports.add(schemes.containsKey(entry) ? writePacked(entry, writer) : copy(entry, writer));
                progress.written(entry.name(), reports.size(), entries.size());
            }
            writeFiles(section, writer);
            writer.publish();
        }
        return new ConversionReport(reports);
    }

    private ObjectNode section(QuantizationScheme scheme) {
        List<String> dense = new ArrayList<>();
        Map<String, QuantizationScheme> exceptions = new LinkedHashMap<>();
        Map<String, QuantizationScheme> tables = new LinkedHashMap<>();
        for (Entry entry : entries) {
            if (!entry.isMatrix()) {
                continue;
            }
            QuantizationScheme own = schemes.get(entry);
            if (entry.role() == Role.TABLE) {
                if (own != null) {
                    tables.put(entry.linear(), own);
                }
            } else if (own == null) {
                dense.add(entry.linear());
            } else if (!own.equals(scheme)) {
                exceptions.put(entry.linear(), own);
            }
        }
        return PackedLayouts.of(name, scheme, activations, actOrder)
                .config(
                        scheme,
                        QuantizationRun.TOOL,
                        Map.of("converted_from", weights.description().orElseThrow()),
                        dense,
                        exceptions,
                        tables);
    }

    private TensorReport copy(Entry entry, CheckpointWriter writer) throws IOException {
        Tensor tensor = checkpoint.tensor(entry.name());
        writer.write(tensor);
        return new TensorReport(entry.name(), tensor.type().name(), 0);
    }

    private TensorReport writePacked(Entry entry, CheckpointWriter writer) throws IOException {
        String linear = entry.linear();
        QuantizationScheme scheme = schemes.get(entry);
        QuantizedWeight weight = read(entry);
        QuantizedWeight repacked = Repacked.of(linear, weight, name, scheme);
        try (Arena arena = Arena.ofConfined()) {
            for (Tensor tensor : layout(entry).pack(linear, repacked, arena)) {
                writer.write(tensor);
            }
        }
        return new TensorReport(linear, name + " " + scheme, Repacked.difference(weight, repacked));
    }

    private void writeFiles(ObjectNode section, CheckpointWriter writer) throws IOException {
        ObjectNode tree = checkpoint.config();
        tree.remove("compression_config");
        tree.set("quantization_config", section);
        writer.writeJson("config.json", tree);
        Optional<String> sectionFile =
                layout(schemes.keySet().iterator().next()).sectionFile();
        if (sectionFile.isPresent()) {
            writer.writeJson(sectionFile.get(), section);
        }
        DenseExport.copyCompanions(checkpoint, writer);
    }
}

package dev.halftone.core.convert;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.GgufSpec;
import dev.halftone.core.checkpoint.GgufType;
import dev.halftone.core.checkpoint.GgufValue;
import dev.halftone.core.checkpoint.GgufWriter;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.convert.ConversionReport.TensorReport;
import dev.halftone.core.convert.ModelTensors.Entry;
import dev.halftone.core.convert.ModelTensors.Role;
import dev.halftone.core.layout.GgufBlocks;
import dev.halftone.core.layout.GgufCodes;
import dev.halftone.core.layout.GgufCodes.RowOrder;
import dev.halftone.core.layout.GgufRounding;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.model.RotaryScaling;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.Weight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Writes a checkpoint, dense or packed, as one GGUF file.
///
/// A packed linear whose groups are multiples of 32 columns in order keeps its codes: symmetric ones become Q4_0
/// or Q8_0 without any change; asymmetric ones of up to 4 bits become Q4_1, whose second number is rounded.
/// Everything else is rounded from its restored values to the types asked for. Norms and biases are float32. Rows
/// that no whole blocks fill are stored in BF16, and the report says so.
public final class GgufExport {
    private static final int QUANTIZATION_VERSION = 2;
    private static final int BUFFER_BYTES = 4 << 20;

    private final Checkpoint checkpoint;
    private final LlamaConfig config;
    private final LinearWeights weights;
    private final GgufOptions options;

    private GgufExport(Checkpoint checkpoint, GgufOptions options) throws IOException {
        this.checkpoint = checkpoint;
        this.config = LlamaConfig.of(
                checkpoint.config(), checkpoint.json("generation_config.json").orElse(null));
        this.weights = LinearWeights.of(checkpoint);
        this.options = options;
    }

    /// Writes the model of `directory` to `target`, which must not exist and appears whole or not at all.
    ///
    /// @return what every tensor became, and by how much it differs at most
    /// @throws HalftoneException if the model is broken, or one that GGUF readers would run differently; or the
    ///     target is taken or its disk too small
    public static ConversionReport write(Path directory, Path target, GgufOptions options, ConversionProgress progress)
            throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(directory)) {
            return new GgufExport(checkpoint, options).write(target, progress);
        }
    }

    private ConversionReport write(Path target, ConversionProgress progress) throws IOException {
        List<Entry> entries = ModelTensors.of(config, Llama.tiesHead(config, weights));
        Map<Entry, GgufType> types = new LinkedHashMap<>();
        List<GgufSpec> specs = new ArrayList<>();
        if (config.scaling() instanceof RotaryScaling.Llama3) {
            specs.add(new GgufSpec(GgufConfig.ROTARY_FACTORS, GgufType.F32, Shape.of(config.headSize() / 2)));
        }
        for (Entry entry : entries) {
            GgufType type = type(entry);
            types.put(entry, type);
            specs.add(new GgufSpec(entry.gguf(), type, entry.shape()));
        }
        List<TensorReport> reports = new ArrayList<>();
        try (GgufWriter writer = GgufWriter.create(target, metadata(types), specs)) {
            if (specs.size() > entries.size()) {
                writeRotaryFactors(writer);
            }
            for (Entry entry : entries) {
                reports.add(write(entry, types.get(entry), writer));
                progress.written(entry.gguf(), reports.size(), entries.size());
            }
            writer.publish();
        }
        return new ConversionReport(reports);
    }

    private void writeRotaryFactors(GgufWriter writer) {
        float[] factors = RotaryFactors.of(config.scaling(), config.theta(), config.headSize());
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = arena.allocate(4L * factors.length);
            GgufRounding.round(GgufConfig.ROTARY_FACTORS, GgufType.F32, factors, 0, factors.length, bytes);
            writer.append(GgufConfig.ROTARY_FACTORS, bytes);
        }
    }

    private Map<String, GgufValue> metadata(Map<Entry, GgufType> types) throws IOException {
        Map<String, GgufValue> keys = new LinkedHashMap<>();
        Path name = checkpoint.directory().toAbsolutePath().normalize().getFileName();
        keys.put("general.architecture", GgufValue.of(GgufConfig.architecture(config.family())));
        keys.put("general.type", GgufValue.of("model"));
        keys.put("general.name", GgufValue.of(options.name() != null ? options.name() : String.valueOf(name)));
        keys.put("general.alignment", GgufValue.of(32));
        keys.put("general.file_type", GgufValue.of(fileType(types)));
        keys.put("general.quantization_version", GgufValue.of(QUANTIZATION_VERSION));
        GgufConfig.write(config, checkpoint.config().hasNonNull("head_dim"), keys);
        GgufTokenizerWriter.of(checkpoint, config).write(options.preTokenizer(), config, checkpoint.directory(), keys);
        return keys;
    }

    /// What readers show as the type of the file: that of most linears.
    private static int fileType(Map<Entry, GgufType> types) {
        Map<GgufType, Integer> counts = new EnumMap<>(GgufType.class);
        types.forEach((entry, type) -> {
            if (entry.role() == Role.LINEAR) {
                counts.merge(type, 1, Integer::sum);
            }
        });
        GgufType most = counts.entrySet().stream()
                .max(Map.Entry.comparingByValue())
                .orElseThrow()
                .getKey();
        return switch (most) {
            case F32 -> 0;
            case F16 -> 1;
            case Q4_0 -> 2;
            case Q4_1 -> 3;
            case Q8_0 -> 7;
            case BF16 -> 32;
            case Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, I8, I16, I32, I64, F64 -> throw new AssertionError(most);
        };
    }

    private GgufType type(Entry entry) {
        return switch (entry.role()) {
            case NORM, BIAS -> GgufType.F32;
            case TABLE, LINEAR -> {
                if (weight(entry) instanceof QuantizedWeight packed) {
                    var own = GgufCodes.typeFor(packed);
                    if (own.isPresent()) {
                        yield own.get();
                    }
                }
                GgufType wanted = entry.role() == Role.TABLE ? options.tables() : options.linears();
                yield entry.shape().size(1) % wanted.blockElements() == 0 ? wanted : GgufType.BF16;
            }
        };
    }

    private Weight weight(Entry entry) {
        Weight weight = weights.weight(entry.linear());
        requireShape(entry, Shape.of(weight.outputs(), weight.inputs()));
        return weight;
    }

    private float[] vector(Entry entry) {
        if (entry.role() == Role.BIAS) {
            float[] bias = weights.bias(entry.linear());
            if (bias == null) {
                throw fault(entry.name(), "tensor is missing", "config.json gives this linear a bias");
            }
            requireShape(entry, Shape.of(bias.length));
            return bias;
        }
        Tensor tensor = checkpoint.tensor(entry.name());
        requireShape(entry, tensor.shape());
        if (!tensor.type().isFloating()) {
            throw fault(entry.name(), "is no norm", "found " + tensor.type());
        }
        return tensor.toFloats();
    }

    private void requireShape(Entry entry, Shape found) {
        if (!found.equals(entry.shape())) {
            throw fault(
                    entry.name(), "has the wrong shape", "found " + found + ", config.json implies " + entry.shape());
        }
    }

    private MalformedCheckpointException fault(String tensor, String problem, String detail) {
        return new MalformedCheckpointException(
                checkpoint.directory(),
                tensor,
                problem,
                detail,
                "check that config.json and the weight files are of the same model");
    }

    private TensorReport write(Entry entry, GgufType type, GgufWriter writer) {
        double difference = switch (entry.role()) {
            case NORM, BIAS -> writeVector(entry, writer);
            case TABLE, LINEAR -> writeMatrix(entry, type, weight(entry), writer);
        };
        return new TensorReport(entry.gguf(), type.name(), difference);
    }

    private double writeVector(Entry entry, GgufWriter writer) {
        float[] values = vector(entry);
        float[] ordered = new float[values.length];
        RowOrder order = entry.toGguf();
        for (int i = 0; i < values.length; i++) {
            ordered[i] = values[Math.toIntExact(order.source(i))];
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = arena.allocate(4L * ordered.length);
            GgufRounding.round(entry.name(), GgufType.F32, ordered, 0, ordered.length, bytes);
            writer.append(entry.gguf(), bytes);
        }
        return 0;
    }

    private static double writeMatrix(Entry entry, GgufType type, Weight weight, GgufWriter writer) {
        int columns = weight.inputs();
        long rowBytes = type.bytes(columns);
        int rowsAtOnce = (int) Math.clamp(BUFFER_BYTES / rowBytes, 1, weight.outputs());
        boolean keepsCodes = weight instanceof QuantizedWeight packed
                && GgufCodes.typeFor(packed).isPresent();
        RowOrder order = entry.toGguf();
        float[] values = new float[columns];
        float[] restored = new float[columns];
        double largest = 0;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(rowsAtOnce * rowBytes);
            for (int first = 0; first < weight.outputs(); first += rowsAtOnce) {
                int rows = Math.min(rowsAtOnce, weight.outputs() - first);
                for (int r = 0; r < rows; r++) {
                    int source = Math.toIntExact(order.source(first + r));
                    MemorySegment row = buffer.asSlice(r * rowBytes, rowBytes);
                    weight.restoreRow(source, values, 0);
                    if (keepsCodes) {
                        GgufCodes.writeRow((QuantizedWeight) weight, type, source, row);
                    } else {
                        GgufRounding.round(entry.name(), type, values, 0, columns, row);
                    }
                    GgufBlocks.restore(type, row, 0, columns, restored, 0);
                    largest = Math.max(largest, difference(values, restored));
                }
                writer.append(entry.gguf(), buffer.asSlice(0, rows * rowBytes));
            }
        }
        return largest;
    }

    /// The largest distance of two values at the same place.
    static double difference(float[] values, float[] others) {
        double largest = 0;
        for (int i = 0; i < values.length; i++) {
            largest = Math.max(largest, Math.abs((double) values[i] - others[i]));
        }
        return largest;
    }
}

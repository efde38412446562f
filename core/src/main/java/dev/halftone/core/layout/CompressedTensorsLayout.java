package dev.halftone.core.layout;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.FiniteCheck;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.layout.CompressedTensorsGroup.Format;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.LittleEndian;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.StoredWeight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;

/// Compressed-tensors checkpoints with integer weights. Codes are signed there: `code - 2^(b-1)` of ours. For each
/// linear, with `b` bits, the format "pack-quantized" has
///
/// | tensor | type | shape | holds |
/// |---|---|---|---|
/// | `weight_packed` | I32 | `[out, ceil(in * b / 32)]` | codes, a [BitStream] along each row |
/// | `weight_scale` | F32, F16 or BF16 | `[out, groups]` | |
/// | `weight_zero_point` | I32 | `[ceil(out * b / 32), groups]` | zeros, a bit stream down each column; asymmetric only
/// |
/// | `weight_shape` | I64 | `[2]` | outputs and inputs |
/// | `weight_g_idx` | I32 | `[in]` | group of each input; only if columns were reordered |
///
/// and "int-quantized", made for inputs that are rounded to integers as well,
///
/// | tensor | type | shape | holds |
/// |---|---|---|---|
/// | `weight` | I8 | `[out, in]` | signed codes |
/// | `weight_scale` | F32, F16 or BF16 | `[out, 1]` | |
/// | `input_scale` | as `weight_scale` | `[1]` | scale of the inputs; only if it is static |
///
/// Packed numbers are stored without their sign, shifted up by `2^(b-1)`: as our codes and zeros are.
public final class CompressedTensorsLayout implements PackedLayout {
    static final String NAME = "compressed-tensors";

    /// Format of a file whose groups differ in theirs.
    private static final String MIXED = "mixed-precision";

    /// Release of the format's own tool that the written files are like.
    private static final String VERSION = "0.19.0";

    private final CompressedTensorsSettings settings;

    private CompressedTensorsLayout(CompressedTensorsSettings settings) {
        this.settings = settings;
    }

    /// For writing: "pack-quantized", every linear in `scheme`.
    public static CompressedTensorsLayout packed(QuantizationScheme scheme) {
        return writing(CompressedTensorsGroup.of(Format.PACKED, scheme, ActivationScheme.Kind.NONE));
    }

    /// For writing: "int-quantized", every linear in `scheme`.
    ///
    /// @param activations how inputs are to be rounded
    /// @throws IllegalArgumentException if they are not to be
    public static CompressedTensorsLayout integers(QuantizationScheme scheme, ActivationScheme.Kind activations) {
        if (activations == ActivationScheme.Kind.NONE) {
            throw new IllegalArgumentException("int-quantized files are for rounded inputs");
        }
        return writing(CompressedTensorsGroup.of(Format.INT, scheme, activations));
    }

    /// For writing a table of embeddings: "int-quantized", one scale for each row. Readers of the format look for
    /// `weight` in such a module, which the packed form does not have.
    static CompressedTensorsLayout table(QuantizationScheme scheme) {
        return writing(CompressedTensorsGroup.of(Format.INT, scheme, ActivationScheme.Kind.NONE));
    }

    private static CompressedTensorsLayout writing(CompressedTensorsGroup group) {
        return new CompressedTensorsLayout(new CompressedTensorsSettings(List.of(group), LinearNames.NONE));
    }

    /// Reads a quantization section.
    ///
    /// @param file where it stands
    /// @throws MalformedCheckpointException if it is incomplete, or asks for what is not supported
    static CompressedTensorsLayout of(ObjectNode section, Path file) {
        return new CompressedTensorsLayout(CompressedTensorsSettings.of(section, file));
    }

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public String description() {
        return settings.description();
    }

    @Override
    public Optional<String> sectionFile() {
        return Optional.empty();
    }

    @Override
    public void requireStorable(String linear, int outputs, int inputs, QuantizationScheme scheme) {
        requireStorable(groupOf(linear).format(), scheme);
        PackedTensors.requireDivisible(linear, inputs, scheme.groupSize(), 16);
    }

    private static void requireStorable(Format format, QuantizationScheme scheme) {
        if (!format.bits().contains(scheme.bits())) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "the " + format.text() + " format cannot hold " + scheme.bits() + "-bit codes",
                    "it holds " + format.bits(),
                    "choose one of these");
        }
        if (format == Format.INT && (!scheme.symmetric() || scheme.groupSize() != QuantizationScheme.PER_CHANNEL)) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "the int-quantized format cannot hold a weight that is " + scheme,
                    "integers are multiplied before they are scaled, which takes one scale for each output, and no"
                            + " zero points",
                    "group size -1 and a symmetric grid");
        }
    }

    private CompressedTensorsGroup groupOf(String linear) {
        return settings.group(linear)
                .orElseThrow(() -> new IllegalArgumentException(linear + " is not quantized in this checkpoint"));
    }

    @Override
    public List<TensorSpec> specs(String linear, int outputs, int inputs, QuantizationScheme scheme) {
        requireStorable(linear, outputs, inputs, scheme);
        CompressedTensorsGroup group = groupOf(linear);
        int groups = scheme.groups(inputs);
        List<TensorSpec> specs = new ArrayList<>();
        TensorSpec scales = new TensorSpec(linear + ".weight_scale", scheme.scaleType(), Shape.of(outputs, groups));
        switch (group.format()) {
            case PACKED -> {
                int row = BitStream.wordsTouched(inputs, scheme.bits());
                specs.add(new TensorSpec(linear + ".weight_packed", DType.I32, Shape.of(outputs, row)));
                specs.add(scales);
                if (!scheme.symmetric()) {
                    int rows = BitStream.wordsTouched(outputs, scheme.bits());
                    specs.add(new TensorSpec(linear + ".weight_zero_point", DType.I32, Shape.of(rows, groups)));
                }
                specs.add(new TensorSpec(linear + ".weight_shape", DType.I64, Shape.of(2)));
                if (group.actOrder()) {
                    specs.add(new TensorSpec(linear + ".weight_g_idx", DType.I32, Shape.of(inputs)));
                }
            }
            case INT -> {
                specs.add(new TensorSpec(linear + ".weight", DType.I8, Shape.of(outputs, inputs)));
                specs.add(scales);
                if (group.activations() == ActivationScheme.Kind.PER_TENSOR) {
                    // As the format's own tool does; readers widen it.
                    specs.add(new TensorSpec(linear + ".input_scale", scheme.scaleType(), Shape.of(1)));
                }
            }
        }
        return specs;
    }

    @Override
    public List<Tensor> pack(String linear, QuantizedWeight weight, Arena arena) {
        CompressedTensorsGroup group = groupOf(linear);
        List<TensorSpec> specs = specs(linear, weight.outputs(), weight.inputs(), weight.scheme());
        if (weight.groupOfColumn() != null && !group.actOrder()) {
            throw new IllegalArgumentException(
                    linear + ": columns are out of order, which loaders overlook in a file without actorder 'group'");
        }
        if (weight.activations().kind() != group.activations()) {
            throw new IllegalArgumentException(linear + ": inputs are rounded "
                    + weight.activations().kind() + ", the file says " + group.activations());
        }
        PackedTensors.requireCodes(linear, weight);
        PackedTensors.requireScales(linear, weight);
        PackedTensors.requireZeros(linear, weight, 0, NAME);
        if (weight.scheme().symmetric()) {
            requireMiddle(linear, weight);
        }
        return specs.stream().map(spec -> tensor(linear, spec, weight, arena)).toList();
    }

    /// @throws IllegalArgumentException if a zero that is not stored could not be told
    private static void requireMiddle(String linear, QuantizedWeight weight) {
        int middle = 1 << weight.scheme().bits() - 1;
        for (int zero : weight.zeros()) {
            if (zero != middle) {
                throw new IllegalArgumentException(linear + ": a symmetric weight cannot have a zero of " + zero);
            }
        }
    }

    private static Tensor tensor(String linear, TensorSpec spec, QuantizedWeight weight, Arena arena) {
        String part = spec.name().substring(linear.length() + 1);
        return switch (part) {
            case "weight_packed" -> PackedTensors.ints(spec, packCodes(weight), arena);
            case "weight_scale" -> PackedTensors.floats(spec, weight.scales(), arena);
            case "weight_zero_point" -> PackedTensors.ints(spec, packZeros(weight), arena);
            case "weight_shape" ->
                new Tensor(
                        spec.name(),
                        spec.type(),
                        spec.shape(),
                        arena.allocateFrom(LittleEndian.LONG, weight.outputs(), weight.inputs()));
            case "weight_g_idx" ->
                PackedTensors.ints(
                        spec,
                        IntStream.range(0, weight.inputs()).map(weight::group).toArray(),
                        arena);
            case "weight" ->
                new Tensor(
                        spec.name(),
                        spec.type(),
                        spec.shape(),
                        arena.allocateFrom(ValueLayout.JAVA_BYTE, shifted(weight.codes())));
            case "input_scale" -> inputScale(spec, weight.activations().scale(), arena);
            default -> throw new AssertionError(part);
        };
    }

    private static int[] packCodes(QuantizedWeight weight) {
        int inputs = weight.inputs();
        int bits = weight.scheme().bits();
        int row = BitStream.wordsTouched(inputs, bits);
        int[] words = new int[Math.multiplyExact(weight.outputs(), row)];
        for (int o = 0; o < weight.outputs(); o++) {
            for (int i = 0; i < inputs; i++) {
                BitStream.set(words, o * row, 1, i, bits, weight.codes()[o * inputs + i] & 0xFF);
            }
        }
        return words;
    }

    private static int[] packZeros(QuantizedWeight weight) {
        int groups = weight.groups();
        int bits = weight.scheme().bits();
        int[] words = new int[Math.multiplyExact(BitStream.wordsTouched(weight.outputs(), bits), groups)];
        for (int o = 0; o < weight.outputs(); o++) {
            for (int g = 0; g < groups; g++) {
                BitStream.set(words, g, groups, o, bits, weight.zeros()[o * groups + g]);
            }
        }
        return words;
    }

    private static byte[] shifted(byte[] codes) {
        byte[] shifted = codes.clone();
        shift(shifted, shifted.length);
        return shifted;
    }

    /// Between signed and unsigned bytes: 128 more or less is the same in eight bits.
    private static void shift(byte[] codes, int count) {
        for (int i = 0; i < count; i++) {
            codes[i] ^= (byte) 0x80;
        }
    }

    private static Tensor inputScale(TensorSpec spec, float scale, Arena arena) {
        if (spec.type().round(scale) != scale) {
            throw new IllegalArgumentException(spec.name() + ": " + scale + " is no " + spec.type());
        }
        return PackedTensors.floats(spec, new float[] {scale}, arena);
    }

    @Override
    public boolean holds(String linear, Checkpoint checkpoint) {
        String dense = linear + ".weight";
        String packed = linear + ".weight_packed";
        boolean integers = checkpoint.has(dense) && checkpoint.tensor(dense).type() == DType.I8;
        boolean scaled = checkpoint.has(linear + ".weight_scale");
        if (!checkpoint.has(packed) && !integers && !scaled) {
            return false;
        }
        if (checkpoint.has(packed)) {
            PackedTensors.requireNotDense(linear, checkpoint);
        }
        if (settings.group(linear).isEmpty()) {
            String tensor = checkpoint.has(packed) ? packed : integers ? dense : linear + ".weight_scale";
            throw PackedTensors.fault(
                    checkpoint,
                    checkpoint.tensor(tensor),
                    "is quantized, but no config group is for it, or 'ignore' excludes it",
                    null);
        }
        return true;
    }

    @Override
    public StoredWeight stored(String linear, Checkpoint checkpoint) {
        CompressedTensorsGroup group = groupOf(linear);
        return switch (group.format()) {
            case PACKED -> words(linear, group, checkpoint);
            case INT -> bytes(linear, group, checkpoint);
        };
    }

    private static StoredWeight words(String linear, CompressedTensorsGroup group, Checkpoint checkpoint) {
        int bits = group.bits();
        Tensor packed = PackedTensors.matrix(checkpoint, linear + ".weight_packed", DType.I32, NAME);
        int[] shape = shape(checkpoint, linear);
        int outputs = shape[0];
        int inputs = shape[1];
        Shape expected = Shape.of(outputs, BitStream.wordsTouched(inputs, bits));
        if (!packed.shape().equals(expected)) {
            throw PackedTensors.fault(
                    checkpoint,
                    packed,
                    "does not fit weight_shape",
                    "expected " + expected + " for " + bits + "-bit codes of " + Shape.of(outputs, inputs) + ", found "
                            + packed.shape());
        }
        int groups = PackedTensors.groups(checkpoint, packed, inputs, group.groupSize());
        Tensor scales =
                PackedTensors.scales(checkpoint, linear + ".weight_scale", DType.BF16, Shape.of(outputs, groups));
        String index = linear + ".weight_g_idx";
        return new StoredWeight(
                new QuantizationScheme(bits, group.groupSize(), group.symmetric(), scales.type(), 0),
                outputs,
                inputs,
                (first, count, codes) -> readWords(packed, inputs, bits, first, count, codes),
                scales.toFloats(),
                zeros(checkpoint, linear, group, outputs, groups),
                checkpoint.has(index) || group.actOrder()
                        ? PackedTensors.groupOfColumn(checkpoint, index, inputs, groups)
                        : null,
                ActivationScheme.NONE);
    }

    /// Outputs and inputs.
    private static int[] shape(Checkpoint checkpoint, String linear) {
        Tensor tensor = checkpoint.tensor(linear + ".weight_shape");
        if (tensor.type() != DType.I64 || !tensor.shape().equals(Shape.of(2))) {
            throw PackedTensors.fault(
                    checkpoint, tensor, "is no shape", "expected I64 [2], found " + PackedTensors.found(tensor));
        }
        long outputs = tensor.data().get(LittleEndian.LONG, 0);
        long inputs = tensor.data().get(LittleEndian.LONG, Long.BYTES);
        if (outputs < 1 || inputs < 1 || outputs > Integer.MAX_VALUE / inputs) {
            throw PackedTensors.fault(
                    checkpoint, tensor, "matrix is empty or too large", "found " + outputs + " by " + inputs);
        }
        return new int[] {(int) outputs, (int) inputs};
    }

    private static void readWords(Tensor packed, int inputs, int bits, int first, int count, byte[] codes) {
        int[] row = new int[(int) packed.shape().size(1)];
        for (int o = 0; o < count; o++) {
            packed.copyTo((long) (first + o) * row.length, row.length, row, 0);
            BitStream.get(row, 0, 1, bits, codes, o * inputs, inputs);
        }
    }

    /// Zeros as unsigned codes, `[outputs, groups]`.
    private static int[] zeros(
            Checkpoint checkpoint, String linear, CompressedTensorsGroup group, int outputs, int groups) {
        int middle = 1 << group.bits() - 1;
        String name = linear + ".weight_zero_point";
        if (group.symmetric()) {
            return middles(checkpoint, name, outputs * groups, middle);
        }
        int[] zeros = new int[outputs * groups];
        Tensor tensor = checkpoint.tensor(name);
        if (tensor.type() == DType.I8 && tensor.shape().equals(Shape.of(outputs, groups))) {
            // As tools wrote them before they packed them.
            byte[] signed = tensor.toBytes();
            for (int i = 0; i < zeros.length; i++) {
                if (signed[i] < -middle || signed[i] >= middle) {
                    throw PackedTensors.fault(
                            checkpoint,
                            tensor,
                            "zero points are out of range",
                            "found " + signed[i] + ", expected " + -middle + " to " + (middle - 1));
                }
                zeros[i] = signed[i] + middle;
            }
            return zeros;
        }
        Shape expected = Shape.of(BitStream.wordsTouched(outputs, group.bits()), groups);
        int[] words = PackedTensors.zeros(checkpoint, tensor, expected).toInts();
        for (int o = 0; o < outputs; o++) {
            for (int g = 0; g < groups; g++) {
                zeros[o * groups + g] = BitStream.get(words, g, groups, o, group.bits());
            }
        }
        return zeros;
    }

    /// The zeros of a symmetric weight.
    ///
    /// @param stored where they would be if the weight were not symmetric
    private static int[] middles(Checkpoint checkpoint, String stored, int count, int middle) {
        if (checkpoint.has(stored)) {
            throw PackedTensors.fault(
                    checkpoint,
                    checkpoint.tensor(stored),
                    "zero points of a linear that the configuration calls symmetric",
                    null);
        }
        int[] zeros = new int[count];
        Arrays.fill(zeros, middle);
        return zeros;
    }

    private static StoredWeight bytes(String linear, CompressedTensorsGroup group, Checkpoint checkpoint) {
        Tensor weight = PackedTensors.matrix(checkpoint, linear + ".weight", DType.I8, NAME);
        int outputs = PackedTensors.size(checkpoint, weight, 0);
        int inputs = PackedTensors.size(checkpoint, weight, 1);
        PackedTensors.requireAddressable(checkpoint, weight, outputs, inputs);
        Tensor scales = PackedTensors.scales(checkpoint, linear + ".weight_scale", DType.BF16, Shape.of(outputs, 1));
        return new StoredWeight(
                new QuantizationScheme(group.bits(), group.groupSize(), true, scales.type(), 0),
                outputs,
                inputs,
                (first, count, codes) -> {
                    MemorySegment.copy(
                            weight.data(), ValueLayout.JAVA_BYTE, (long) first * inputs, codes, 0, count * inputs);
                    shift(codes, count * inputs);
                },
                scales.toFloats(),
                middles(checkpoint, linear + ".weight_zero_point", outputs, 128),
                null,
                activations(checkpoint, linear, group));
    }

    private static ActivationScheme activations(Checkpoint checkpoint, String linear, CompressedTensorsGroup group) {
        return switch (group.activations()) {
            case NONE -> ActivationScheme.NONE;
            case PER_TOKEN -> ActivationScheme.PER_TOKEN;
            case PER_TENSOR -> {
                Tensor tensor = checkpoint.tensor(linear + ".input_scale");
                if (!tensor.type().isFloating() || tensor.elements() != 1) {
                    throw PackedTensors.fault(
                            checkpoint,
                            tensor,
                            "is no scale of inputs",
                            "expected one floating-point number, found " + PackedTensors.found(tensor));
                }
                FiniteCheck.require(checkpoint.file(tensor.name()), tensor);
                float scale = tensor.toFloats()[0];
                if (!(scale > 0)) {
                    throw PackedTensors.fault(checkpoint, tensor, "is not positive", "found " + scale);
                }
                yield ActivationScheme.perTensor(scale);
            }
        };
    }

    @Override
    public ObjectNode config(
            QuantizationScheme scheme,
            String tool,
            Map<String, ?> meta,
            Collection<String> dense,
            Map<String, QuantizationScheme> exceptions,
            Map<String, QuantizationScheme> tables) {
        QuantizationScheme head = tables.get(HEAD);
        if (settings.groups().size() != 1) {
            throw new IllegalArgumentException("a configuration is written for linears that are all alike");
        }
        CompressedTensorsGroup alike = settings.groups().getFirst();
        ObjectNode section = JsonNodeFactory.instance.objectNode();
        section.put("quant_method", NAME);
        QuantizationScheme embedding = tables.get(EMBEDDING);
        Format others = alike.format() == Format.PACKED ? Format.INT : Format.PACKED;
        boolean mixed = (others == Format.PACKED ? head : embedding) != null;
        section.put("format", mixed ? MIXED : alike.format().text());
        section.put("quantization_status", "compressed");
        section.put("version", VERSION);
        section.putNull("global_compression_ratio");
        section.putNull("kv_cache_scheme");
        ArrayNode ignore = section.putArray("ignore");
        if (head == null) {
            // It is a linear too.
            ignore.add(HEAD);
        }
        dense.forEach(ignore::add);
        ObjectNode groups = section.putObject("config_groups");
        // A linear's own name goes before the name of its class.
        writeGroup(groups, List.of("Linear"), alike, scheme);
        Map<QuantizationScheme, List<String>> named = new LinkedHashMap<>();
        exceptions.forEach((linear, own) ->
                named.computeIfAbsent(own, any -> new ArrayList<>()).add(linear));
        named.forEach((own, linears) -> writeGroup(groups, linears, alike, own));
        if (head != null) {
            // Named even if it is like the others: some readers do not count the head among the linears.
            CompressedTensorsGroup own = CompressedTensorsGroup.of(Format.PACKED, head, ActivationScheme.Kind.NONE);
            writeGroup(groups, List.of("re:^" + HEAD + "$"), own, head);
        }
        if (embedding != null) {
            CompressedTensorsGroup own = CompressedTensorsGroup.of(Format.INT, embedding, ActivationScheme.Kind.NONE);
            writeGroup(groups, List.of("re:^" + EMBEDDING.replace(".", "\\.") + "$"), own, embedding);
        }
        return section;
    }

    private static void writeGroup(
            ObjectNode groups, List<String> targets, CompressedTensorsGroup alike, QuantizationScheme scheme) {
        ObjectNode group = groups.putObject("group_" + groups.size());
        targets.forEach(group.putArray("targets")::add);
        group.put("format", alike.format().text());
        boolean grouped = scheme.groupSize() != QuantizationScheme.PER_CHANNEL;
        ObjectNode weights = arguments(scheme.bits(), grouped ? "group" : "channel", scheme.symmetric(), false);
        if (grouped) {
            weights.put("group_size", scheme.groupSize());
        }
        group.set("weights", weights);
        group.set(
                "input_activations",
                switch (alike.activations()) {
                    case NONE -> null;
                    case PER_TOKEN -> arguments(8, "token", true, true);
                    case PER_TENSOR -> arguments(8, "tensor", true, false);
                });
        group.putNull("output_activations");
    }

    /// Keys that every release of the format knows; it refuses those that it does not.
    private static ObjectNode arguments(int bits, String strategy, boolean symmetric, boolean dynamic) {
        ObjectNode arguments = JsonNodeFactory.instance.objectNode();
        arguments.put("num_bits", bits);
        arguments.put("type", "int");
        arguments.put("symmetric", symmetric);
        arguments.put("strategy", strategy);
        arguments.putNull("group_size");
        arguments.put("dynamic", dynamic);
        arguments.putNull("actorder");
        arguments.putNull("block_structure");
        arguments.putNull("observer");
        arguments.putObject("observer_kwargs");
        return arguments;
    }
}

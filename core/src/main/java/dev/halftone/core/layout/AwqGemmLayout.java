package dev.halftone.core.layout;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.StoredWeight;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/// The "gemm" version of AWQ checkpoints: 4 bits, asymmetric. For each linear:
///
/// | tensor | type | shape | holds |
/// |---|---|---|---|
/// | `qweight` | I32 | `[in, out / 8]` | codes of eight outputs in a word |
/// | `qzeros` | I32 | `[groups, out / 8]` | zeros, likewise |
/// | `scales` | F16 or BF16 | `[groups, out]` | |
///
/// Output `8 c + k` is nibble `0 4 1 5 2 6 3 7` (`k` from 0 to 7) of word `c`, counted from the lowest bits.
public final class AwqGemmLayout implements PackedLayout {
    static final int BITS = 4;

    private static final String FORMAT = "AWQ";
    private static final int PER_WORD = Integer.SIZE / BITS;

    /// Shift of the nibble of each of a word's eight outputs.
    private static final int[] SHIFTS = {0, 16, 4, 20, 8, 24, 12, 28};

    /// Outputs handled together: their words fill a cache line in every row that is read.
    private static final int TILE = 128;

    private final int groupSize;
    private final Set<String> dense;
    private final DynamicRules dynamic;

    /// @param dense   linears that are said to be in floating point
    /// @param dynamic excludes more of them
    private AwqGemmLayout(int groupSize, Set<String> dense, DynamicRules dynamic) {
        this.groupSize = groupSize;
        this.dense = dense;
        this.dynamic = dynamic;
    }

    /// For writing every linear in `scheme`.
    public static AwqGemmLayout of(QuantizationScheme scheme) {
        return new AwqGemmLayout(scheme.groupSize(), Set.of(), DynamicRules.NONE);
    }

    /// Reads a quantization section, of old tools or new.
    ///
    /// @param file where it stands
    /// @throws MalformedCheckpointException if it is incomplete, or asks for what is not supported
    static AwqGemmLayout of(ObjectNode tree, Path file) {
        Section section = new Section(tree, file);
        String version = section.either("gemm", "version", "checkpoint_format", "format");
        if (!version.equalsIgnoreCase("gemm")) {
            throw section.unsupported("AWQ version '" + version + "'", "supported: gemm");
        }
        int bits = section.number(section.has("bits") ? "bits" : "w_bit");
        if (bits != BITS) {
            throw section.unsupported("AWQ with " + bits + " bits", "supported: " + BITS);
        }
        if (!section.flag("zero_point", true)) {
            throw section.unsupported("AWQ without zero points", "supported: zero_point true");
        }
        int groupSize = section.number(section.has("group_size") ? "group_size" : "q_group_size");
        section.requireGroupSize(groupSize);
        DynamicRules dynamic = DynamicRules.of(tree.path("dynamic"), file);
        if (!dynamic.overrides().isEmpty()) {
            throw section.unsupported("AWQ with settings for single linears", "supported: dynamic rules that exclude");
        }
        return new AwqGemmLayout(groupSize, dense(section), dynamic);
    }

    private static Set<String> dense(Section section) {
        String key = "modules_to_not_convert";
        Set<String> names = new HashSet<>();
        if (section.has(key)) {
            JsonNode list = section.tree().path(key);
            for (JsonNode name : list) {
                names.add(name.textValue());
            }
            if (!list.isArray() || names.contains(null)) {
                throw section.unusable(key, "a list of names");
            }
        }
        return names;
    }

    @Override
    public String name() {
        return "awq";
    }

    @Override
    public String description() {
        return "4-bit " + (groupSize == QuantizationScheme.PER_CHANNEL ? "per channel" : "g" + groupSize)
                + " asymmetric";
    }

    @Override
    public Optional<String> sectionFile() {
        return Optional.of(GptqLayout.SECTION_FILE);
    }

    @Override
    public void requireStorable(String linear, int outputs, int inputs, QuantizationScheme scheme) {
        if (scheme.bits() != BITS) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "the AWQ format cannot hold " + scheme.bits() + "-bit codes",
                    "it holds 4",
                    "use 4 bits");
        }
        if (scheme.symmetric()) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "the AWQ format is for asymmetric grids",
                    "loaders expect a zero point for every group",
                    "choose an asymmetric grid");
        }
        if (outputs % PER_WORD != 0) {
            throw new HalftoneException(
                    Kind.USAGE,
                    linear + " does not fit the AWQ format",
                    "it has " + outputs + " outputs, which must be a multiple of " + PER_WORD,
                    "leave this linear in floating point");
        }
        PackedTensors.requireDivisible(linear, inputs, scheme.groupSize(), 16);
        if (scheme.scaleType() != DType.F16 && scheme.scaleType() != DType.BF16) {
            throw new IllegalArgumentException(
                    "the AWQ format stores scales as F16 or BF16, not " + scheme.scaleType());
        }
    }

    @Override
    public List<TensorSpec> specs(String linear, int outputs, int inputs, QuantizationScheme scheme) {
        requireStorable(linear, outputs, inputs, scheme);
        int groups = scheme.groups(inputs);
        return List.of(
                new TensorSpec(linear + ".qweight", DType.I32, Shape.of(inputs, outputs / PER_WORD)),
                new TensorSpec(linear + ".qzeros", DType.I32, Shape.of(groups, outputs / PER_WORD)),
                new TensorSpec(linear + ".scales", scheme.scaleType(), Shape.of(groups, outputs)));
    }

    @Override
    public List<Tensor> pack(String linear, QuantizedWeight weight, Arena arena) {
        List<TensorSpec> specs = specs(linear, weight.outputs(), weight.inputs(), weight.scheme());
        if (weight.groupOfColumn() != null) {
            throw new IllegalArgumentException(linear + ": columns are out of order, and AWQ cannot say how");
        }
        PackedTensors.requireCodes(linear, weight);
        PackedTensors.requireZeros(linear, weight, 0, name());
        PackedTensors.requireScales(linear, weight);
        return List.of(
                PackedTensors.ints(specs.get(0), packCodes(weight), arena),
                PackedTensors.ints(specs.get(1), packZeros(weight), arena),
                PackedTensors.floats(
                        specs.get(2),
                        PackedTensors.transpose(weight.scales(), weight.outputs(), weight.groups()),
                        arena));
    }

    private static int[] packCodes(QuantizedWeight weight) {
        int outputs = weight.outputs();
        int inputs = weight.inputs();
        int row = outputs / PER_WORD;
        byte[] codes = weight.codes();
        int[] words = new int[Math.multiplyExact(inputs, row)];
        for (int begin = 0; begin < outputs; begin += TILE) {
            int end = Math.min(begin + TILE, outputs);
            for (int i = 0; i < inputs; i++) {
                for (int o = begin; o < end; o++) {
                    words[i * row + o / PER_WORD] |= codes[o * inputs + i] << SHIFTS[o % PER_WORD];
                }
            }
        }
        return words;
    }

    private static int[] packZeros(QuantizedWeight weight) {
        int outputs = weight.outputs();
        int groups = weight.groups();
        int row = outputs / PER_WORD;
        int[] words = new int[Math.multiplyExact(groups, row)];
        for (int o = 0; o < outputs; o++) {
            for (int g = 0; g < groups; g++) {
                words[g * row + o / PER_WORD] |= weight.zeros()[o * groups + g] << SHIFTS[o % PER_WORD];
            }
        }
        return words;
    }

    @Override
    public boolean holds(String linear, Checkpoint checkpoint) {
        String qweight = linear + ".qweight";
        if (!checkpoint.has(qweight)) {
            return false;
        }
        PackedTensors.requireNotDense(linear, checkpoint);
        // Tools match names of modules_to_not_convert by parts in ways of their own; only the very name is beyond
        // doubt.
        if (dense.contains(linear) || dynamic.excludes(linear)) {
            throw PackedTensors.fault(
                    checkpoint, checkpoint.tensor(qweight), "is packed, but the configuration excludes it", null);
        }
        return true;
    }

    @Override
    public StoredWeight stored(String linear, Checkpoint checkpoint) {
        Tensor qweight = PackedTensors.matrix(checkpoint, linear + ".qweight", DType.I32, FORMAT);
        int inputs = PackedTensors.size(checkpoint, qweight, 0);
        long columns = qweight.shape().size(1) * PER_WORD;
        PackedTensors.requireAddressable(checkpoint, qweight, columns, inputs);
        int outputs = (int) columns;
        int groups = PackedTensors.groups(checkpoint, qweight, inputs, groupSize);
        Tensor scales = PackedTensors.scales(checkpoint, linear + ".scales", DType.F16, Shape.of(groups, outputs));
        Tensor qzeros = PackedTensors.zeros(
                checkpoint, checkpoint.tensor(linear + ".qzeros"), Shape.of(groups, outputs / PER_WORD));
        return new StoredWeight(
                new QuantizationScheme(BITS, groupSize, false, scales.type(), 0),
                outputs,
                inputs,
                (first, count, codes) -> read(qweight, inputs, first, count, codes),
                PackedTensors.transpose(scales.toFloats(), groups, outputs),
                unpackZeros(qzeros.toInts(), outputs, groups),
                null,
                ActivationScheme.NONE);
    }

    private static void read(Tensor qweight, int inputs, int first, int count, byte[] codes) {
        int row = (int) qweight.shape().size(1);
        int[] words = new int[TILE / PER_WORD + 1];
        int end;
        for (int begin = first; begin < first + count; begin = end) {
            // Whole words from the second band on, whatever the first output is.
            end = Math.min((begin / TILE + 1) * TILE, first + count);
            int firstWord = begin / PER_WORD;
            int width = (end - 1) / PER_WORD + 1 - firstWord;
            for (int i = 0; i < inputs; i++) {
                qweight.copyTo((long) i * row + firstWord, width, words, 0);
                for (int o = begin; o < end; o++) {
                    int word = words[o / PER_WORD - firstWord];
                    codes[(o - first) * inputs + i] = (byte) (word >>> SHIFTS[o % PER_WORD] & 0xF);
                }
            }
        }
    }

    private static int[] unpackZeros(int[] words, int outputs, int groups) {
        int row = outputs / PER_WORD;
        int[] zeros = new int[outputs * groups];
        for (int o = 0; o < outputs; o++) {
            for (int g = 0; g < groups; g++) {
                zeros[o * groups + g] = words[g * row + o / PER_WORD] >>> SHIFTS[o % PER_WORD] & 0xF;
            }
        }
        return zeros;
    }

    @Override
    public ObjectNode config(
            QuantizationScheme scheme,
            String tool,
            Map<String, ?> meta,
            Collection<String> denseLinears,
            Map<String, QuantizationScheme> exceptions,
            Map<String, QuantizationScheme> tables) {
        QuantizationScheme head = tables.get(HEAD);
        if (head != null) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "the AWQ format leaves the head in floating point",
                    "'" + HEAD + "' is to be " + head,
                    "write gptq or compressed-tensors, or leave the head as it is");
        }
        if (!exceptions.isEmpty()) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "the AWQ format knows one scheme for all linears",
                    exceptions.size() + " are to have their own, the first '"
                            + exceptions.keySet().iterator().next() + "'",
                    "write gptq or compressed-tensors, or leave these linears in floating point");
        }
        ObjectNode section = JsonNodeFactory.instance.objectNode();
        section.put("bits", scheme.bits());
        section.put("group_size", scheme.groupSize());
        section.put("zero_point", !scheme.symmetric());
        section.put("version", "gemm");
        section.put("desc_act", false);
        section.put(HEAD, false);
        // Older and newer readers look for one spelling each.
        section.put("quant_method", "awq");
        section.put("method", "awq");
        section.put("checkpoint_format", "gemm");
        section.put("format", "gemm");
        section.put("pack_dtype", "int32");
        if (denseLinears.isEmpty()) {
            section.putNull("modules_to_not_convert");
        } else {
            denseLinears.forEach(section.putArray("modules_to_not_convert")::add);
        }
        DynamicRules.write(denseLinears, Map.of(), section);
        section.set("meta", PackedTensors.meta(tool, meta));
        return section;
    }
}

package dev.halftone.core.layout;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import dev.halftone.core.weight.StoredWeight;
import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.IntStream;

/// The format of GPTQ checkpoints. For each linear, with `b` bits:
///
/// | tensor | type | shape | holds |
/// |---|---|---|---|
/// | `qweight` | I32 | `[in * b / 32, out]` | codes, a [BitStream] down each column |
/// | `qzeros` | I32 | `[groups, out * b / 32]` | zeros, a bit stream along each row |
/// | `scales` | F16 | `[groups, out]` | |
/// | `g_idx` | I32 | `[in]` | group of each input |
///
/// Version 1 stores `zero - 1`, version 2 the zero itself. Readers of version 1 add the one without wrapping, so it
/// can hold zeros from 1 to `2^b`, and never 0.
public final class GptqLayout implements PackedLayout {
    /// How zeros are stored.
    public enum Version {
        /// One less than they are; what most tools read and write.
        V1("gptq", 1),
        /// As they are.
        V2("gptq_v2", 0);

        private final String format;
        private final int lowestZero;

        Version(String format, int lowestZero) {
            this.format = format;
            this.lowestZero = lowestZero;
        }

        /// As `checkpoint_format` spells it.
        public String format() {
            return format;
        }

        /// Smallest zero that can be stored: what is added to a stored zero.
        public int lowestZero() {
            return lowestZero;
        }
    }

    private static final System.Logger LOG = System.getLogger("dev.halftone.core.layout");
    static final String SECTION_FILE = "quantize_config.json";
    private static final String FORMAT = "GPTQ";

    /// Loaders take inputs and outputs only in such multiples.
    private static final int MULTIPLE = 32;

    /// Outputs handled together, so that both the words read along a row and the codes written down a row stay in
    /// cache.
    private static final int TILE = 64;

    private final GptqSettings settings;
    private final AtomicBoolean mislabelled = new AtomicBoolean();

    private GptqLayout(GptqSettings settings) {
        this.settings = settings;
    }

    /// For writing: version 1, every linear in `scheme`.
    public static GptqLayout v1(QuantizationScheme scheme) {
        return writing(Version.V1, scheme, false);
    }

    /// For writing: version 2, every linear in `scheme`.
    public static GptqLayout v2(QuantizationScheme scheme) {
        return writing(Version.V2, scheme, false);
    }

    /// For writing every linear in `scheme`.
    ///
    /// @param actOrder columns may be grouped in another order than they are stored
    static GptqLayout writing(Version version, QuantizationScheme scheme, boolean actOrder) {
        return new GptqLayout(GptqSettings.of(version, scheme, actOrder));
    }

    /// For reading a checkpoint with these settings.
    static GptqLayout of(GptqSettings settings) {
        return new GptqLayout(settings);
    }

    public Version version() {
        return settings.version();
    }

    @Override
    public String name() {
        return version().format();
    }

    @Override
    public String description() {
        return settings.description();
    }

    @Override
    public Optional<String> sectionFile() {
        return Optional.of(SECTION_FILE);
    }

    @Override
    public void requireStorable(String linear, int outputs, int inputs, QuantizationScheme scheme) {
        if (!GptqSettings.BITS.contains(scheme.bits())) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "the GPTQ format cannot hold " + scheme.bits() + "-bit codes",
                    "it holds " + GptqSettings.BITS,
                    "choose one of these");
        }
        if (inputs % MULTIPLE != 0 || outputs % MULTIPLE != 0) {
            throw new HalftoneException(
                    Kind.USAGE,
                    linear + " does not fit the GPTQ format",
                    "it has " + inputs + " inputs and " + outputs + " outputs, both must be multiples of " + MULTIPLE,
                    "leave this linear in floating point");
        }
        PackedTensors.requireDivisible(linear, inputs, scheme.groupSize(), MULTIPLE);
        if (scheme.scaleType() != DType.F16) {
            throw new IllegalArgumentException("the GPTQ format stores scales as F16, not " + scheme.scaleType());
        }
        if (!scheme.symmetric() && scheme.lowestZero() < version().lowestZero()) {
            throw new IllegalArgumentException(name() + " cannot store a zero point of " + scheme.lowestZero());
        }
    }

    @Override
    public List<TensorSpec> specs(String linear, int outputs, int inputs, QuantizationScheme scheme) {
        requireStorable(linear, outputs, inputs, scheme);
        int groups = scheme.groups(inputs);
        int bits = scheme.bits();
        return List.of(
                new TensorSpec(linear + ".qweight", DType.I32, Shape.of(BitStream.words(inputs, bits), outputs)),
                new TensorSpec(linear + ".qzeros", DType.I32, Shape.of(groups, BitStream.words(outputs, bits))),
                new TensorSpec(linear + ".scales", DType.F16, Shape.of(groups, outputs)),
                new TensorSpec(linear + ".g_idx", DType.I32, Shape.of(inputs)));
    }

    @Override
    public List<Tensor> pack(String linear, QuantizedWeight weight, Arena arena) {
        List<TensorSpec> specs = specs(linear, weight.outputs(), weight.inputs(), weight.scheme());
        if (weight.groupOfColumn() != null && !settings.actOrder()) {
            throw new IllegalArgumentException(
                    linear + ": columns are out of order, which loaders overlook in a file that says desc_act false");
        }
        PackedTensors.requireCodes(linear, weight);
        PackedTensors.requireZeros(linear, weight, version().lowestZero(), name());
        PackedTensors.requireScales(linear, weight);
        return List.of(
                PackedTensors.ints(specs.get(0), packCodes(weight), arena),
                PackedTensors.ints(specs.get(1), packZeros(weight), arena),
                PackedTensors.floats(
                        specs.get(2),
                        PackedTensors.transpose(weight.scales(), weight.outputs(), weight.groups()),
                        arena),
                PackedTensors.ints(
                        specs.get(3),
                        IntStream.range(0, weight.inputs()).map(weight::group).toArray(),
                        arena));
    }

    private static int[] packCodes(QuantizedWeight weight) {
        int outputs = weight.outputs();
        int inputs = weight.inputs();
        int bits = weight.scheme().bits();
        byte[] codes = weight.codes();
        int[] words = new int[Math.multiplyExact(BitStream.words(inputs, bits), outputs)];
        for (int begin = 0; begin < outputs; begin += TILE) {
            int end = Math.min(begin + TILE, outputs);
            for (int i = 0; i < inputs; i++) {
                for (int o = begin; o < end; o++) {
                    BitStream.set(words, o, outputs, i, bits, codes[o * inputs + i] & 0xFF);
                }
            }
        }
        return words;
    }

    private int[] packZeros(QuantizedWeight weight) {
        int outputs = weight.outputs();
        int groups = weight.groups();
        int bits = weight.scheme().bits();
        int row = BitStream.words(outputs, bits);
        int[] words = new int[Math.multiplyExact(groups, row)];
        for (int o = 0; o < outputs; o++) {
            for (int g = 0; g < groups; g++) {
                int stored = weight.zeros()[o * groups + g] - version().lowestZero();
                BitStream.set(words, g * row, 1, o, bits, stored);
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
        if (settings.dynamic().excludes(linear)) {
            throw PackedTensors.fault(
                    checkpoint, checkpoint.tensor(qweight), "is packed, but a dynamic rule excludes it", null);
        }
        return true;
    }

    @Override
    public StoredWeight stored(String linear, Checkpoint checkpoint) {
        GptqSettings own = settings.of(linear, checkpoint.directory());
        int bits = own.bits();
        Tensor qweight = PackedTensors.matrix(checkpoint, linear + ".qweight", DType.I32, FORMAT);
        int outputs = PackedTensors.size(checkpoint, qweight, 1);
        int inputs = inputs(checkpoint, qweight, bits);
        PackedTensors.requireAddressable(checkpoint, qweight, outputs, inputs);
        int groupSize = own.groupSize() > inputs ? QuantizationScheme.PER_CHANNEL : own.groupSize();
        int groups = PackedTensors.groups(checkpoint, qweight, inputs, groupSize);

        Tensor scaleTensor = PackedTensors.scales(checkpoint, linear + ".scales", DType.F16, Shape.of(groups, outputs));
        int[] stored = storedZeros(checkpoint, linear, groups, outputs, bits);
        boolean symmetric = own.symmetric() && isMiddle(stored, bits);
        int[] zeros;
        if (symmetric) {
            warnIfMislabelled(checkpoint, stored[0], bits);
            zeros = new int[stored.length];
            Arrays.fill(zeros, 1 << bits - 1);
        } else {
            // Without wrap: 15 means 16 in a version 1 file.
            zeros = Arrays.stream(stored)
                    .map(zero -> zero + version().lowestZero())
                    .toArray();
        }
        QuantizationScheme scheme = new QuantizationScheme(
                bits, groupSize, symmetric, scaleTensor.type(), version().lowestZero());
        return new StoredWeight(
                scheme,
                outputs,
                inputs,
                (first, count, codes) -> read(qweight, inputs, bits, first, count, codes),
                PackedTensors.transpose(scaleTensor.toFloats(), groups, outputs),
                zeros,
                groupOfColumn(checkpoint, linear, inputs, groups, own.actOrder()),
                ActivationScheme.NONE);
    }

    /// Outputs are columns of the file: a band of them is copied, then each is followed down.
    private static void read(Tensor qweight, int inputs, int bits, int first, int count, byte[] codes) {
        int rows = (int) qweight.shape().size(0);
        int outputs = (int) qweight.shape().size(1);
        int[] band = new int[rows * Math.min(TILE, count)];
        for (int begin = 0; begin < count; begin += TILE) {
            int width = Math.min(TILE, count - begin);
            for (int row = 0; row < rows; row++) {
                qweight.copyTo((long) row * outputs + first + begin, width, band, row * width);
            }
            for (int o = 0; o < width; o++) {
                BitStream.get(band, o, width, bits, codes, (begin + o) * inputs, inputs);
            }
        }
    }

    private static int inputs(Checkpoint checkpoint, Tensor qweight, int bits) {
        long codeBits = Math.multiplyExact(qweight.shape().size(0), Integer.SIZE);
        if (codeBits % bits != 0 || codeBits / bits > Integer.MAX_VALUE) {
            throw PackedTensors.fault(
                    checkpoint,
                    qweight,
                    "its rows do not hold whole " + bits + "-bit codes",
                    "found " + qweight.shape());
        }
        return (int) (codeBits / bits);
    }

    /// Zeros as the file holds them, `[outputs, groups]`.
    private static int[] storedZeros(Checkpoint checkpoint, String linear, int groups, int outputs, int bits) {
        Shape shape = Shape.of(groups, BitStream.wordsTouched(outputs, bits));
        Tensor qzeros = PackedTensors.zeros(checkpoint, checkpoint.tensor(linear + ".qzeros"), shape);
        int[] words = qzeros.toInts();
        int row = words.length / groups;
        int[] stored = new int[Math.multiplyExact(outputs, groups)];
        for (int o = 0; o < outputs; o++) {
            for (int g = 0; g < groups; g++) {
                stored[o * groups + g] = BitStream.get(words, g * row, 1, o, bits);
            }
        }
        return stored;
    }

    /// True if all zeros are the middle code, as version 1 or version 2 stores it.
    private static boolean isMiddle(int[] stored, int bits) {
        if (stored.length == 0) {
            return true;
        }
        int middle = 1 << bits - 1;
        int first = stored[0];
        return (first == middle || first == middle - 1) && Arrays.stream(stored).allMatch(zero -> zero == first);
    }

    /// Some tools label one version and write the other. In a symmetric file the zeros tell which.
    private void warnIfMislabelled(Checkpoint checkpoint, int stored, int bits) {
        int labelled = (1 << bits - 1) - version().lowestZero();
        if (stored != labelled && mislabelled.compareAndSet(false, true)) {
            LOG.log(
                    Level.WARNING,
                    "''{0}'' calls itself {1} but stores zeros of the other version ({2}, expected {3}); read as"
                            + " stored",
                    checkpoint.directory(),
                    name(),
                    stored,
                    labelled);
        }
    }

    /// Group of each column, or null when they are in order.
    private static int[] groupOfColumn(Checkpoint checkpoint, String linear, int inputs, int groups, boolean actOrder) {
        String name = linear + ".g_idx";
        return checkpoint.has(name) || actOrder ? PackedTensors.groupOfColumn(checkpoint, name, inputs, groups) : null;
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
        Map<String, QuantizationScheme> others = new LinkedHashMap<>(exceptions);
        if (head != null && !head.equals(scheme)) {
            others.put(HEAD, head);
        }
        ObjectNode section = JsonNodeFactory.instance.objectNode();
        section.put("bits", scheme.bits());
        section.put("group_size", scheme.groupSize());
        section.put("desc_act", settings.actOrder());
        section.put("sym", scheme.symmetric());
        section.put(HEAD, head != null);
        // Older and newer readers look for one spelling each.
        section.put("quant_method", "gptq");
        section.put("method", "gptq");
        section.put("checkpoint_format", name());
        section.put("format", name());
        section.put("pack_dtype", "int32");
        DynamicRules.write(dense, others, section);
        section.set("meta", PackedTensors.meta(tool, meta));
        return section;
    }
}

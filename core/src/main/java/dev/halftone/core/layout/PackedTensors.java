package dev.halftone.core.layout;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.FiniteCheck;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.QuantizedWeight;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/// What all packed formats ask of tensors that they read, and of weights that they write.
final class PackedTensors {
    private static final ObjectMapper JSON = new ObjectMapper();

    private PackedTensors() {}

    /// A matrix of `type` with at least one element and sizes that fit an int.
    ///
    /// @param format as messages call it
    static Tensor matrix(Checkpoint checkpoint, String name, DType type, String format) {
        Tensor tensor = checkpoint.tensor(name);
        if (tensor.type() != type || tensor.shape().rank() != 2 || tensor.elements() == 0) {
            throw fault(
                    checkpoint,
                    tensor,
                    "not packed as " + format + " packs",
                    "expected " + (type.name().startsWith("I") ? "an " : "a ") + type + " matrix, found "
                            + found(tensor));
        }
        return tensor;
    }

    /// @throws MalformedCheckpointException if a packed linear is there in floating point too
    static void requireNotDense(String linear, Checkpoint checkpoint) {
        String dense = linear + ".weight";
        if (checkpoint.has(dense)) {
            throw new MalformedCheckpointException(
                    checkpoint.file(dense), linear, "is there both packed and in floating point", null, null);
        }
    }

    static int size(Checkpoint checkpoint, Tensor tensor, int axis) {
        long size = tensor.shape().size(axis);
        if (size > Integer.MAX_VALUE) {
            throw fault(checkpoint, tensor, "matrix is too large", "found " + tensor.shape());
        }
        return (int) size;
    }

    /// @param tensor that the sizes come from
    static void requireAddressable(Checkpoint checkpoint, Tensor tensor, long outputs, long inputs) {
        if (outputs > Integer.MAX_VALUE / Math.max(inputs, 1)) {
            throw fault(checkpoint, tensor, "matrix is too large", "found " + outputs + " by " + inputs);
        }
    }

    /// Groups of `inputs` columns as `tensor` holds them.
    static int groups(Checkpoint checkpoint, Tensor tensor, int inputs, int groupSize) {
        if (groupSize == QuantizationScheme.PER_CHANNEL) {
            return 1;
        }
        if (inputs % groupSize != 0) {
            throw fault(checkpoint, tensor, inputs + " inputs are no multiple of group size " + groupSize, null);
        }
        return inputs / groupSize;
    }

    /// Finite scales of a type that a [QuantizationScheme] knows.
    static Tensor scales(Checkpoint checkpoint, String name, DType usual, Shape shape) {
        Tensor scales = checkpoint.tensor(name);
        boolean known = scales.type() == DType.F16 || scales.type() == DType.BF16 || scales.type() == DType.F32;
        if (!known || !scales.shape().equals(shape)) {
            throw fault(
                    checkpoint,
                    scales,
                    "scales do not fit the weight",
                    "expected " + usual + " " + shape + ", found " + found(scales));
        }
        FiniteCheck.require(checkpoint.file(name), scales);
        return scales;
    }

    /// Words of zeros.
    static Tensor zeros(Checkpoint checkpoint, Tensor zeros, Shape shape) {
        if (zeros.type() != DType.I32 || !zeros.shape().equals(shape)) {
            throw fault(
                    checkpoint,
                    zeros,
                    "zeros do not fit the weight",
                    "expected I32 " + shape + ", found " + found(zeros));
        }
        return zeros;
    }

    /// Group of each column, or null when they are in order.
    static int[] groupOfColumn(Checkpoint checkpoint, String name, int inputs, int groups) {
        Tensor tensor = checkpoint.tensor(name);
        if (tensor.type() != DType.I32 || !tensor.shape().equals(Shape.of(inputs))) {
            throw fault(
                    checkpoint,
                    tensor,
                    "group index does not fit the weight",
                    "expected I32 [" + inputs + "], found " + found(tensor));
        }
        int[] group = tensor.toInts();
        boolean inOrder = true;
        for (int i = 0; i < inputs; i++) {
            if (group[i] < 0 || group[i] >= groups) {
                throw fault(
                        checkpoint,
                        tensor,
                        "group index out of range",
                        "input " + i + " has group " + group[i] + " of " + groups);
            }
            inOrder &= group[i] == i / (inputs / groups);
        }
        return inOrder ? null : group;
    }

    static String found(Tensor tensor) {
        return tensor.type() + " " + tensor.shape();
    }

    static MalformedCheckpointException fault(Checkpoint checkpoint, Tensor tensor, String problem, String detail) {
        return new MalformedCheckpointException(
                checkpoint.file(tensor.name()),
                tensor.name(),
                problem,
                detail,
                "check that config.json and weights are of the same model");
    }

    /// @param step group sizes to propose are multiples of this
    /// @throws HalftoneException of kind USAGE if the group size does not divide `inputs`
    static void requireDivisible(String linear, int inputs, int groupSize, int step) {
        if (groupSize == QuantizationScheme.PER_CHANNEL || inputs % groupSize == 0) {
            return;
        }
        List<Integer> fitting = IntStream.rangeClosed(1, inputs / step)
                .map(i -> i * step)
                .filter(size -> inputs % size == 0)
                .boxed()
                .toList();
        String list = fitting.stream().limit(12).map(size -> size + ", ").collect(Collectors.joining());
        throw new HalftoneException(
                Kind.USAGE,
                linear + ": " + inputs + " inputs are no multiple of group size " + groupSize,
                "group sizes that work: "
                        + (fitting.isEmpty() ? "" : list.substring(0, list.length() - 2))
                        + (fitting.size() > 12 ? ", ..." : "") + (fitting.isEmpty() ? "" : " and ") + "-1",
                "use group size "
                        + fitting.stream()
                                .filter(size -> size <= groupSize)
                                .reduce((small, large) -> large)
                                .orElse(QuantizationScheme.PER_CHANNEL));
    }

    /// @throws IllegalArgumentException if a code is too large, and would spill into its neighbour
    static void requireCodes(String linear, QuantizedWeight weight) {
        int maximum = weight.scheme().maximum();
        for (byte code : weight.codes()) {
            if ((code & 0xFF) > maximum) {
                throw new IllegalArgumentException(linear + ": code " + (code & 0xFF) + " exceeds " + maximum);
            }
        }
    }

    /// @param lowest zero that the format can hold; it can hold as many as there are codes
    /// @throws IllegalArgumentException if it cannot hold a zero
    static void requireZeros(String linear, QuantizedWeight weight, int lowest, String format) {
        for (int zero : weight.zeros()) {
            if (zero < lowest || zero - lowest > weight.scheme().maximum()) {
                throw new IllegalArgumentException(linear + ": " + format + " cannot store a zero of " + zero);
            }
        }
    }

    /// @throws IllegalArgumentException if a scale would change by being stored
    static void requireScales(String linear, QuantizedWeight weight) {
        for (float scale : weight.scales()) {
            if (!Float.isFinite(scale) || weight.scheme().scaleType().round(scale) != scale) {
                throw new IllegalArgumentException(linear + ": scale " + scale + " is no "
                        + weight.scheme().scaleType());
            }
        }
    }

    static Tensor ints(TensorSpec spec, int[] values, Arena arena) {
        return Tensor.ofInts(spec.name(), spec.shape(), values, arena);
    }

    static Tensor floats(TensorSpec spec, float[] values, Arena arena) {
        return Tensor.rounded(spec.name(), spec.type(), spec.shape(), values, arena);
    }

    /// The `meta` section of GPTQ and AWQ configurations.
    static ObjectNode meta(String tool, Map<String, ?> meta) {
        ObjectNode facts = JsonNodeFactory.instance.objectNode();
        facts.putArray("quantizer").add(tool);
        new TreeMap<>(meta).forEach((key, value) -> facts.set(key, JSON.valueToTree(value)));
        return facts;
    }

    /// @param values `[rows, columns]`
    /// @return `[columns, rows]`
    static float[] transpose(float[] values, int rows, int columns) {
        float[] transposed = new float[values.length];
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < columns; c++) {
                transposed[c * rows + r] = values[r * columns + c];
            }
        }
        return transposed;
    }
}

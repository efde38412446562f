package dev.halftone.core.quantize;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.LittleEndian;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Collections;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.Map;

/// The float weights of one block with the divisors of its sites folded in. Until [#divide] is called they are the
/// checkpoint's own.
///
/// A norm's weight is stored in the checkpoint's type, so dividing it rounds. The columns behind it are multiplied by
/// what the division really came to, and so nothing is lost.
final class FoldedBlock implements AutoCloseable {
    private static final String VALUE = "self_attn.v_proj";
    private static final String UP = "mlp.up_proj";

    private final Checkpoint checkpoint;
    private final LinearWeights weights;
    private final LlamaConfig config;
    private final String prefix;
    private final Map<InputSite, float[]> columns = new EnumMap<>(InputSite.class); // factors of the columns, [width]
    private final Map<String, float[]> rows = new LinkedHashMap<>(); // linear -> divisors of its rows
    private final Map<String, Tensor> replaced = new LinkedHashMap<>();
    private final Arena arena = Arena.ofShared();

    FoldedBlock(Checkpoint checkpoint, LinearWeights weights, LlamaConfig config, int layer) {
        this.checkpoint = checkpoint;
        this.weights = weights;
        this.config = config;
        prefix = DecoderBlock.prefix(layer);
    }

    /// Divides the inputs of a site once more.
    ///
    /// @param divisors `[fold.producers()]`
    /// @return what the inputs are divided by after rounding, `[fold.width()]`
    /// @throws IllegalArgumentException if a divisor is not positive and finite
    float[] divide(Fold fold, float[] divisors) {
        for (float divisor : divisors) {
            if (!(divisor > 0 && divisor < Float.POSITIVE_INFINITY)) {
                throw new IllegalArgumentException(prefix + fold.site() + " is to be divided by " + divisor);
            }
        }
        float[] factors = fold.spread(
                switch (fold.site()) {
                    case ATTENTION_INPUT -> divideNorm("input_layernorm", divisors);
                    case MLP_INPUT -> divideNorm("post_attention_layernorm", divisors);
                    case ATTENTION_OUTPUT -> divideRows(VALUE, divisors);
                    case MLP_OUTPUT -> divideRows(UP, divisors);
                });
        columns.merge(fold.site(), factors, FoldedBlock::product);
        return factors;
    }

    private float[] divideNorm(String name, float[] divisors) {
        Tensor norm = tensor(prefix + name + ".weight");
        float[] values = norm.toFloats();
        float[] real = new float[divisors.length];
        for (int i = 0; i < real.length; i++) {
            float divided = norm.type().round(values[i] / divisors[i]);
            boolean lost = divided == 0 || Float.isInfinite(divided);
            real[i] = lost ? 1 : values[i] / divided;
            values[i] = lost ? values[i] : divided;
        }
        replace(norm, values);
        return real;
    }

    private float[] divideRows(String linear, float[] divisors) {
        rows.merge(linear, divisors.clone(), FoldedBlock::product);
        if (checkpoint.has(prefix + linear + ".bias")) {
            Tensor bias = tensor(prefix + linear + ".bias");
            float[] values = bias.toFloats();
            for (int i = 0; i < values.length; i++) {
                values[i] /= divisors[i];
            }
            replace(bias, values);
        }
        return divisors;
    }

    private Tensor tensor(String name) {
        Tensor tensor = replaced.get(name);
        return tensor == null ? checkpoint.tensor(name) : tensor;
    }

    private void replace(Tensor tensor, float[] values) {
        replaced.put(tensor.name(), Tensor.rounded(tensor.name(), tensor.type(), tensor.shape(), values, arena));
    }

    private static float[] product(float[] a, float[] b) {
        float[] product = new float[a.length];
        for (int i = 0; i < product.length; i++) {
            product[i] = a[i] * b[i];
        }
        return product;
    }

    /// What the inputs of `site` are divided by, `[width]`; null if they are not.
    float[] divisors(InputSite site) {
        return columns.get(site);
    }

    /// Norms and biases that differ from the checkpoint's, by full name; live as long as this object.
    Map<String, Tensor> replaced() {
        return Collections.unmodifiableMap(replaced);
    }

    /// Whether anything is folded into the weight of `linear`, one of a site's names.
    boolean changes(String linear) {
        return columns.containsKey(InputSite.of(linear)) || rows.containsKey(linear);
    }

    /// The folded weight of `linear` as the checkpoint would store it: rounded to the type that it has there. In memory
    /// of `into` if anything was folded into it.
    Tensor stored(String linear, Arena into) {
        Tensor original = checkpoint.tensor(prefix + linear + ".weight");
        return changes(linear)
                ? Tensor.rounded(
                        original.name(),
                        original.type(),
                        original.shape(),
                        weight(linear, into).restore(),
                        into)
                : original;
    }

    /// The folded weight of `linear`, one of a site's names: the checkpoint's own if nothing was folded into it,
    /// otherwise a float32 copy in memory of `arena`.
    Weight weight(String linear, Arena into) {
        Weight weight = weights.weight(prefix + linear);
        float[] factors = columns.get(InputSite.of(linear));
        float[] divisors = rows.get(linear);
        if (factors == null && divisors == null) {
            return weight;
        }
        int inputs = weight.inputs();
        Shape shape = Shape.of(weight.outputs(), inputs);
        MemorySegment data = into.allocate(Math.multiplyExact(shape.elements(), DType.F32.bytes()), 64);
        float[] values = new float[inputs];
        for (int row = 0; row < weight.outputs(); row++) {
            weight.restoreRow(row, values, 0);
            float divisor = divisors == null ? 1 : divisors[row];
            for (int i = 0; i < inputs; i++) {
                values[i] = (factors == null ? values[i] : values[i] * factors[i]) / divisor;
            }
            long offset = (long) row * inputs * DType.F32.bytes();
            MemorySegment.copy(values, 0, data, LittleEndian.FLOAT, offset, inputs);
        }
        return new DenseWeight(new Tensor(prefix + linear + ".weight", DType.F32, shape, data));
    }

    @Override
    public void close() {
        arena.close();
    }
}

package dev.halftone.core.model;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.compute.AttentionShape;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Linear;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.Weight;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.Map;

/// One block of the decoder: attention and a gated activation, each behind a norm and added to what came in.
///
/// ```
/// hidden += o(attention(rope(q(x)), rope(k(x)), v(x)))   with x = norm1(hidden)
/// hidden += down(silu(gate(x)) * up(x))                  with x = norm2(hidden)
/// ```
///
/// [#forward] is the five steps in order. Each step takes the input of one [InputSite] and leaves the input of the
/// next in `next`, so that quantization, which runs them one by one, sees exactly what inference computes. The rows of
/// all matrices are the tokens of a [Batch].
public final class DecoderBlock implements AutoCloseable {
    private final Backend backend;
    private final LlamaConfig config;
    private final int layer;
    private final WeightLoader loader;
    private final AttentionShape shape;
    private final float epsilon;
    private final Map<String, Linear> linears = new HashMap<>();
    private final Map<InputSite, Linear[]> linearsOfSites = new EnumMap<>(InputSite.class); // made as they are needed
    private final Map<String, Matrix> norms = new HashMap<>();

    private DecoderBlock(LlamaConfig config, int layer, WeightLoader loader) {
        this.backend = loader.backend();
        this.config = config;
        this.layer = layer;
        this.loader = loader;
        this.shape = config.attention(layer);
        this.epsilon = config.normEpsilon();
    }

    /// Binds the weights of `layer`, one after another.
    ///
    /// @throws MalformedCheckpointException if a tensor is missing or does not fit the configuration
    public static DecoderBlock load(
            LlamaConfig config, int layer, LinearWeights weights, Checkpoint checkpoint, Backend backend) {
        DecoderBlock block = new DecoderBlock(config, layer, new WeightLoader(weights, checkpoint, backend));
        try {
            for (InputSite site : InputSite.values()) {
                for (String name : site.linears()) {
                    block.bind(name, weights.stored(prefix(layer) + name));
                }
            }
            block.loadNorms();
        } catch (RuntimeException e) {
            block.close();
            throw e;
        }
        return block;
    }

    /// The norms of `layer` alone, for who brings the weights with [#bind]. A step may be taken as soon as the linears
    /// that it uses are there.
    ///
    /// @param replaced norms and biases to take instead of the checkpoint's, by full name; must live as long as
    ///                 linears are bound
    /// @throws MalformedCheckpointException if a tensor is missing or does not fit the configuration
    public static DecoderBlock withoutLinears(
            LlamaConfig config,
            int layer,
            LinearWeights weights,
            Checkpoint checkpoint,
            Backend backend,
            Map<String, Tensor> replaced) {
        DecoderBlock block = new DecoderBlock(config, layer, new WeightLoader(weights, checkpoint, backend, replaced));
        try {
            block.loadNorms();
        } catch (RuntimeException e) {
            block.close();
            throw e;
        }
        return block;
    }

    /// Makes `weight`, with the checkpoint's bias, the linear of this name; one that was there is closed.
    ///
    /// @throws MalformedCheckpointException if weight or bias do not fit the configuration
    public void bind(String name, Weight weight) {
        InputSite site = InputSite.of(name);
        Linear linear = loader.bind(
                prefix(layer) + name,
                weight,
                site.outputs(name, config),
                site.width(config),
                config.biased().contains(site));
        Linear old = put(name, linear);
        if (old != null) {
            old.close();
        }
    }

    private void loadNorms() {
        loadNorm("input_layernorm", config.hidden());
        loadNorm("post_attention_layernorm", config.hidden());
        if (config.headNorms()) {
            loadNorm("self_attn.q_norm", config.headSize());
            loadNorm("self_attn.k_norm", config.headSize());
        }
    }

    private void loadNorm(String name, int width) {
        norms.put(name, loader.vector(prefix(layer) + name + ".weight", width));
    }

    /// What the names of a layer's tensors begin with, such as `model.layers.3.`
    public static String prefix(int layer) {
        return "model.layers." + layer + ".";
    }

    /// The linear of this name inside a block, one of [InputSite#linears].
    public Linear linear(String name) {
        Linear linear = linears.get(name);
        if (linear == null) {
            throw new IllegalArgumentException("the block has no linear '" + name + "'");
        }
        return linear;
    }

    /// Those that read the input of `site`, in its order.
    private Linear[] linears(InputSite site) {
        Linear[] found = linearsOfSites.get(site);
        if (found == null) {
            found = site.linears().stream().map(this::linear).toArray(Linear[]::new);
            linearsOfSites.put(site, found);
        }
        return found;
    }

    private Linear put(String name, Linear linear) {
        linearsOfSites.remove(InputSite.of(name));
        return linears.put(name, linear);
    }

    /// Puts `linear` in the place of another, which is closed.
    public void replace(String name, Linear linear) {
        Linear old = linear(name);
        if (linear.inputs() != old.inputs() || linear.outputs() != old.outputs()) {
            throw new IllegalArgumentException(name + " is [" + old.outputs() + ", " + old.inputs()
                    + "], its replacement [" + linear.outputs() + ", " + linear.inputs() + "]");
        }
        put(name, linear);
        old.close();
    }

    /// `next = norm1(hidden)`, the input of q, k and v.
    public void enter(Matrix hidden, Matrix next) {
        backend.rmsNorm(hidden, norms.get("input_layernorm"), epsilon, next);
    }

    /// Projects, turns by `angles` and attends; `next` becomes the input of o.
    ///
    /// @param angles     prepared for `batch`
    /// @param cacheLayer where in `cache` this block's keys and values are
    public void attend(
            Matrix input,
            Batch batch,
            RotaryAngles angles,
            KvCache cache,
            int cacheLayer,
            Workspace workspace,
            Matrix next) {
        Matrix queries = workspace.queries(input.rows());
        Matrix keys = workspace.keys(input.rows());
        Matrix values = workspace.values(input.rows());
        backend.multiplyAll(linears(InputSite.ATTENTION_INPUT), input, workspace.projections(input.rows()));
        Matrix queryNorm = norms.get("self_attn.q_norm");
        if (queryNorm != null) {
            backend.rmsNorm(queries, queryNorm, epsilon, queries);
            backend.rmsNorm(keys, norms.get("self_attn.k_norm"), epsilon, keys);
        }
        backend.rope(queries, shape.headSize(), angles.cosines(), angles.sines());
        backend.rope(keys, shape.headSize(), angles.cosines(), angles.sines());
        backend.attention(queries, keys, values, shape, batch, cache, cacheLayer, next);
    }

    /// `hidden += o(input)`, then `next = norm2(hidden)`, the input of gate and up.
    public void closeAttention(Matrix input, Matrix hidden, Workspace workspace, Matrix next) {
        addAttention(input, hidden, workspace);
        enterMlp(hidden, next);
    }

    /// `hidden += o(input)`.
    public void addAttention(Matrix input, Matrix hidden, Workspace workspace) {
        addProjected("self_attn.o_proj", input, hidden, workspace);
    }

    /// `next = norm2(hidden)`, the input of gate and up.
    public void enterMlp(Matrix hidden, Matrix next) {
        backend.rmsNorm(hidden, norms.get("post_attention_layernorm"), epsilon, next);
    }

    /// `next = silu(gate(input)) * up(input)`, the input of down.
    public void activate(Matrix input, Workspace workspace, Matrix next) {
        backend.multiplyAll(linears(InputSite.MLP_INPUT), input, workspace.gateAndUp(next));
        backend.gatedActivation(next, workspace.up(input.rows()), next);
    }

    /// `hidden += down(input)`.
    public void closeMlp(Matrix input, Matrix hidden, Workspace workspace) {
        addProjected("mlp.down_proj", input, hidden, workspace);
    }

    private void addProjected(String name, Matrix input, Matrix hidden, Workspace workspace) {
        Matrix projected = workspace.projected(input.rows());
        linear(name).multiply(input, projected);
        backend.add(projected, hidden);
    }

    /// The whole block, in place.
    public void forward(
            Matrix hidden, Batch batch, RotaryAngles angles, KvCache cache, int cacheLayer, Workspace workspace) {
        int rows = hidden.rows();
        Matrix normed = workspace.normed(rows);
        Matrix attended = workspace.attended(rows);
        Matrix activated = workspace.activated(rows);
        enter(hidden, normed);
        attend(normed, batch, angles, cache, cacheLayer, workspace, attended);
        closeAttention(attended, hidden, workspace, normed);
        activate(normed, workspace, activated);
        closeMlp(activated, hidden, workspace);
    }

    /// Bytes that the bound linears and norms occupy.
    public long bytes() {
        long bytes = 0;
        for (Linear linear : linears.values()) {
            bytes += linear.bytes();
        }
        for (Matrix norm : norms.values()) {
            bytes += 4L * norm.columns();
        }
        return bytes;
    }

    @Override
    public void close() {
        linears.values().forEach(Linear::close);
        norms.values().forEach(Matrix::close);
        linears.clear();
        linearsOfSites.clear();
        norms.clear();
    }
}

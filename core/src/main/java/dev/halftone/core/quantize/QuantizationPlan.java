package dev.halftone.core.quantize;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.CheckpointWriter;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.QuantizationScheme;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// All that a run knows before it begins. Making one is checking that the run can succeed.
///
/// @param model        name of the source directory
/// @param config       of the model
/// @param recipe       how it is to be quantized
/// @param calibration  what the method will be shown, or null if it needs nothing
/// @param linears      in the order of work: the embeddings first, if they are quantized, then block by block, and
///                     inside a block in the order in which data flow; the head last, if it is quantized
/// @param dense        full names of the linears of the blocks that stay in floating point, in the same order
/// @param specs        of every tensor of the output
/// @param shardBytes   of tensors in one file of the output at most
/// @param parameters   numbers in the source
/// @param sourceBytes  of all tensors in the source
/// @param writtenBytes of all tensors in the output
/// @param packedBytes  of them, those that hold the quantized weights
/// @param memory       that the run will need
public record QuantizationPlan(
        String model,
        LlamaConfig config,
        Recipe recipe,
        Calibration.Facts calibration,
        List<LinearTask> linears,
        List<String> dense,
        List<TensorSpec> specs,
        long shardBytes,
        long parameters,
        long sourceBytes,
        long writtenBytes,
        long packedBytes,
        MemoryEstimate memory) {
    public QuantizationPlan {
        linears = List.copyOf(linears);
        dense = List.copyOf(dense);
        specs = List.copyOf(specs);
    }

    /// Weights that will be quantized.
    public long quantizedParameters() {
        return linears.stream().mapToLong(LinearTask::parameters).sum();
    }

    /// Stored bits per quantized weight, scales and zeros included.
    public double bitsPerWeight() {
        return 8.0 * packedBytes / quantizedParameters();
    }

    /// Of the weight files of the output.
    public long fileBytes() {
        return CheckpointWriter.fileBytes(specs, shardBytes);
    }

    /// Most that a run keeps beside the model, for a later run to go on with: the hidden states of all samples, and
    /// while they take the place of the ones before, both.
    public long progressBytes() {
        int runs = recipe.needsFloatTwin() ? 2 : 1;
        return calibration == null ? 0 : 2L * runs * CalibrationSamples.savedBytes(config, calibration);
    }

    /// The linears of `layer`.
    List<LinearTask> linears(int layer) {
        return linears.stream().filter(linear -> linear.layer() == layer).toList();
    }

    /// The linears of `layer` that read the input of `site`.
    List<LinearTask> linears(int layer, InputSite site) {
        return linears.stream()
                .filter(linear -> linear.layer() == layer && linear.site() == site)
                .toList();
    }

    /// Plans to quantize `checkpoint`.
    ///
    /// @param calibration may be null if the method needs none
    /// @throws HalftoneException if the model is quantized already, of an unknown kind or incomplete, if scheme or
    ///                           layout do not fit one of its linears, or the calibration does not fit the model
    static QuantizationPlan of(Checkpoint checkpoint, Recipe recipe, Calibration calibration, long shardBytes)
            throws IOException {
        LinearWeights weights = LinearWeights.of(checkpoint);
        requireDense(checkpoint, weights);
        LlamaConfig config = LlamaConfig.of(
                checkpoint.config(), checkpoint.json("generation_config.json").orElse(null));
        List<LinearTask> linears = new ArrayList<>();
        List<String> dense = new ArrayList<>();
        requireMatches(recipe.overrides(), config);
        for (int layer = 0; layer < config.layers(); layer++) {
            for (InputSite site : InputSite.values()) {
                addTasks(layer, site, config, recipe, linears, dense);
            }
        }
        if (linears.isEmpty()) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "nothing is left to quantize",
                    "the overrides leave every linear in floating point",
                    "fewer overrides");
        }
        Map<String, QuantizationScheme> tables = recipe.tableSchemes();
        if (tables.containsKey(Llama.HEAD)) {
            linears.add(LinearTask.head(config, tables.get(Llama.HEAD)));
        }
        if (tables.containsKey(Llama.EMBEDDING)) {
            requireHeadOfItsOwn(config, tables);
            linears.addFirst(LinearTask.embedding(config, tables.get(Llama.EMBEDDING)));
        }
        for (LinearTask linear : linears) {
            requireShape(checkpoint, linear.source(config), linear);
        }
        for (LinearTask linear : linears) {
            requireDivisible(linear, linears);
        }
        // Whether the format can say all this, before any work.
        section(recipe, linears, dense, "", Map.of());
        Calibration shown = recipe.needsCalibration() ? calibration : null;
        if (shown != null) {
            requireFitting(shown, config);
        }
        Map<String, List<TensorSpec>> packed = new LinkedHashMap<>();
        for (LinearTask linear : linears) {
            packed.put(
                    linear.name() + ".weight",
                    recipe.layoutOf(linear).specs(linear.name(), linear.outputs(), linear.inputs(), linear.scheme()));
        }
        List<TensorSpec> specs = new ArrayList<>();
        for (Tensor tensor : checkpoint.tensors().values()) {
            List<TensorSpec> replaced = packed.get(tensor.name());
            if (replaced == null) {
                specs.add(TensorSpec.of(tensor));
            } else {
                specs.addAll(replaced);
            }
        }
        // Of all linears only a tied head has nothing to replace.
        packed.forEach((weight, parts) -> {
            if (!checkpoint.has(weight)) {
                specs.addAll(parts);
            }
        });
        long sourceBytes = checkpoint.tensors().values().stream()
                .mapToLong(tensor -> tensor.data().byteSize())
                .sum();
        long writtenBytes = specs.stream().mapToLong(TensorSpec::bytes).sum();
        Calibration.Facts facts = shown == null ? null : shown.facts();
        return new QuantizationPlan(
                checkpoint.directory().toRealPath().getFileName().toString(),
                config,
                recipe,
                facts,
                linears,
                dense,
                specs,
                shardBytes,
                checkpoint.tensors().values().stream()
                        .mapToLong(Tensor::elements)
                        .sum(),
                sourceBytes,
                writtenBytes,
                packed.values().stream()
                        .flatMap(List::stream)
                        .mapToLong(TensorSpec::bytes)
                        .sum(),
                MemoryEstimate.of(
                        config,
                        linears,
                        recipe,
                        facts,
                        sourceBytes,
                        checkpoint.tensors().values().stream()
                                .mapToLong(tensor -> tensor.data().byteSize())
                                .max()
                                .orElseThrow(),
                        Runtime.getRuntime().totalMemory(),
                        Runtime.getRuntime().maxMemory(),
                        tokenizerBytes(checkpoint)));
    }

    private static long tokenizerBytes(Checkpoint checkpoint) throws IOException {
        Path file = checkpoint.directory().resolve("tokenizer.json");
        return Files.isRegularFile(file) ? Files.size(file) : 0;
    }

    private static void requireDense(Checkpoint checkpoint, LinearWeights weights) {
        if (weights.layout().isPresent()) {
            throw new HalftoneException(
                    Kind.INPUT,
                    "'" + checkpoint.directory() + "' is already quantized",
                    "it is " + weights.description().orElseThrow() + "; quantizing again would lose quality",
                    "start from the original checkpoint");
        }
    }

    /// What config.json says of the quantization.
    ///
    /// @param tool as `name:version`
    /// @param meta how the codes were found
    ObjectNode section(String tool, Map<String, ?> meta) {
        return section(recipe, linears, dense, tool, meta);
    }

    private static ObjectNode section(
            Recipe recipe, List<LinearTask> linears, List<String> dense, String tool, Map<String, ?> meta) {
        Map<String, QuantizationScheme> exceptions = new LinkedHashMap<>();
        for (LinearTask linear : linears) {
            if (linear.isOfBlock() && !linear.scheme().equals(recipe.scheme())) {
                exceptions.put(linear.name(), linear.scheme());
            }
        }
        return recipe.layout().config(recipe.scheme(), tool, meta, dense, exceptions, recipe.tableSchemes());
    }

    /// The linears of the blocks.
    List<LinearTask> ofBlocks() {
        return linears.stream().filter(LinearTask::isOfBlock).toList();
    }

    /// Head and embeddings, as far as they are quantized.
    List<LinearTask> tables() {
        return linears.stream().filter(linear -> !linear.isOfBlock()).toList();
    }

    /// The head, if it is quantized.
    Optional<LinearTask> head() {
        return linears.stream().filter(LinearTask::isHead).findFirst();
    }

    /// The table of embeddings, if it is quantized.
    Optional<LinearTask> embedding() {
        return linears.stream().filter(LinearTask::isEmbedding).findFirst();
    }

    /// The linears of one site. Runtimes stack them into one product, and so they must be stored alike.
    private static void addTasks(
            int layer,
            InputSite site,
            LlamaConfig config,
            Recipe recipe,
            List<LinearTask> linears,
            List<String> dense) {
        String first = DecoderBlock.prefix(layer) + site.linears().getFirst();
        Optional<QuantizationScheme> scheme = recipe.schemeOf(first);
        for (String linear : site.linears()) {
            String name = DecoderBlock.prefix(layer) + linear;
            Optional<QuantizationScheme> own = recipe.schemeOf(name);
            if (!own.equals(scheme)) {
                throw new HalftoneException(
                        Kind.USAGE,
                        "'" + first + "' and '" + name + "' read the same input and would be stored differently",
                        words(scheme) + " and " + words(own) + "; runtimes stack them into one matrix",
                        "an override that matches " + String.join(", ", site.linears()) + " alike");
            }
            own.ifPresentOrElse(
                    found -> linears.add(new LinearTask(
                            layer, site, linear, site.outputs(linear, config), site.width(config), found)),
                    () -> dense.add(name));
        }
    }

    private static void requireHeadOfItsOwn(LlamaConfig config, Map<String, QuantizationScheme> tables) {
        if (config.tiedEmbeddings() && !tables.containsKey(Llama.HEAD)) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "the head of this model is its embedding table",
                    "once the table is " + tables.get(Llama.EMBEDDING) + ", readers need a head beside it",
                    "round the head as well, with --head-bits 8");
        }
    }

    private static String words(Optional<QuantizationScheme> scheme) {
        return scheme.map(QuantizationScheme::toString).orElse("floating point");
    }

    private static void requireMatches(List<SchemeOverride> overrides, LlamaConfig config) {
        for (SchemeOverride override : overrides) {
            boolean matches = IntStream.range(0, config.layers())
                    .mapToObj(DecoderBlock::prefix)
                    .flatMap(prefix -> Stream.of(InputSite.values())
                            .flatMap(site -> site.linears().stream())
                            .map(linear -> prefix + linear))
                    .anyMatch(override::matches);
            if (!matches) {
                throw new HalftoneException(
                        Kind.USAGE,
                        "override '" + override + "' matches no linear of this model",
                        "its linears have names such as " + DecoderBlock.prefix(0) + "self_attn.q_proj and "
                                + DecoderBlock.prefix(config.layers() - 1) + "mlp.down_proj",
                        "another regular expression");
            }
        }
    }

    private static void requireShape(Checkpoint checkpoint, String source, LinearTask linear) {
        Tensor tensor = checkpoint.tensor(source);
        Shape expected = Shape.of(linear.outputs(), linear.inputs());
        if (!tensor.shape().equals(expected) || !tensor.type().isFloating()) {
            throw new MalformedCheckpointException(
                    checkpoint.file(tensor.name()),
                    tensor.name(),
                    "does not fit config.json",
                    "found " + tensor.type() + " " + tensor.shape() + ", expected floating point " + expected,
                    "check that config.json and the weight files are of the same model");
        }
    }

    private static void requireDivisible(LinearTask linear, List<LinearTask> linears) {
        int groupSize = linear.scheme().groupSize();
        if (groupSize != QuantizationScheme.PER_CHANNEL && linear.inputs() % groupSize != 0) {
            int common = linears.stream().mapToInt(LinearTask::inputs).reduce(0, QuantizationPlan::greatestDivisor);
            // Smaller groups store more scale than code.
            List<Integer> fitting = IntStream.rangeClosed(16, common)
                    .filter(size -> size % 16 == 0 && common % size == 0)
                    .boxed()
                    .toList();
            int nearest = fitting.stream()
                    .filter(size -> size <= groupSize)
                    .reduce((small, large) -> large)
                    .orElse(QuantizationScheme.PER_CHANNEL);
            throw new HalftoneException(
                    Kind.USAGE,
                    linear.name() + ": " + linear.inputs() + " inputs are no multiple of group size " + groupSize,
                    "group sizes that fit every linear of this model: "
                            + fitting.stream().map(size -> size + ", ").collect(Collectors.joining())
                            + "-1 (per channel)",
                    "group size " + nearest);
        }
    }

    private static int greatestDivisor(int a, int b) {
        return b == 0 ? a : greatestDivisor(b, a % b);
    }

    private static void requireFitting(Calibration calibration, LlamaConfig config) {
        if (calibration.facts().length() > config.context()) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "calibration windows are longer than the model's context",
                    calibration.facts().length() + " tokens, the model was made for " + config.context(),
                    "windows of at most " + config.context() + " tokens");
        }
        for (int[] window : calibration.windows()) {
            for (int token : window) {
                if (token < 0 || token >= config.vocabulary()) {
                    throw new HalftoneException(
                            Kind.INPUT,
                            "calibration token " + token + " is outside the model's vocabulary",
                            "the vocabulary has " + config.vocabulary() + " tokens",
                            "the tokenizer of this very model");
                }
            }
        }
    }
}

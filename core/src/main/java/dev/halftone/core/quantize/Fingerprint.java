package dev.halftone.core.quantize;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.MalformedCheckpointException;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.tensor.Tensor;
import java.io.IOException;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.BooleanSupplier;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/// All that the bytes of an output depend on. Two runs with equal fingerprints compute the same bytes, so one may go
/// on where the other stopped.
///
/// The model is known by every byte of its tensors, not by dates or samples of it: each run reads all of them anyway,
/// to find a broken number before it costs hours, and hashing on the way takes a second or two per gigabyte and thread.
/// Names of files and folders do not count: a model may be moved, or split into other files.
///
/// @param parts by the words in which a difference is told
record Fingerprint(SortedMap<String, String> parts) {
    private static final Pattern HASH = Pattern.compile("[0-9a-f]{64}");
    private static final ObjectMapper JSON = new ObjectMapper();

    /// Reads every number of the model.
    ///
    /// @param stopped asked between tensors; the result means nothing then
    /// @throws MalformedCheckpointException if one of them is not finite
    static Fingerprint of(
            Checkpoint checkpoint,
            QuantizationPlan plan,
            Calibration calibration,
            Backend backend,
            BooleanSupplier stopped)
            throws IOException {
        Recipe recipe = plan.recipe();
        SortedMap<String, String> parts = new TreeMap<>();
        parts.put("model weights", weights(checkpoint, backend, stopped));
        parts.put(
                "model config", new Sha256().add(checkpoint.config().toString()).text());
        Optional<ObjectNode> generation = checkpoint.json("generation_config.json");
        parts.put(
                "generation config",
                new Sha256()
                        .add(generation.map(ObjectNode::toString).orElse(""))
                        .text());
        parts.put("method", recipe.method());
        recipe.settings().forEach((name, value) -> parts.put(name, value.toString()));
        parts.put("scheme", recipe.scheme().toString());
        Sha256 single = new Sha256();
        for (LinearTask linear : plan.linears()) {
            single.add(linear.name()).add(linear.scheme().toString());
        }
        plan.dense().forEach(single::add);
        parts.put("schemes of single linears", single.text());
        parts.put("type of scales", recipe.scheme().scaleType().toString());
        parts.put("lowest zero point", Integer.toString(recipe.scheme().lowestZero()));
        parts.put("bytes in a file", Long.toString(plan.shardBytes()));
        parts.put("layout", recipe.layout().name() + " " + recipe.layout().description());
        if (plan.calibration() != null) {
            Sha256 tokens = new Sha256();
            calibration.windows().forEach(tokens::add);
            parts.put("calibration text", plan.calibration().textSha256());
            parts.put("calibration tokens", tokens.text());
            parts.put(
                    "calibration windows",
                    plan.calibration().samples() + " of " + plan.calibration().length());
        }
        parts.put("arithmetic", backend.arithmetic());
        parts.put("version", QuantizationRun.TOOL);
        return new Fingerprint(parts);
    }

    private static String weights(Checkpoint checkpoint, Backend backend, BooleanSupplier stopped) {
        List<Tensor> tensors = List.copyOf(checkpoint.tensors().values());
        MalformedCheckpointException[] faults = new MalformedCheckpointException[tensors.size()];
        byte[][] digests = new byte[tensors.size()][];
        backend.forRanges(faults.length, (from, to) -> {
            for (int i = from; i < to && !stopped.getAsBoolean(); i++) {
                Tensor tensor = tensors.get(i);
                try {
                    checkpoint.requireFinite(tensor.name());
                    digests[i] = new Sha256()
                            .add(tensor.name())
                            .add(tensor.type() + " " + tensor.shape())
                            .add(tensor.data())
                            .bytes();
                    // Its pages have been read, and would count until all are.
                    checkpoint.release(tensor.name());
                } catch (MalformedCheckpointException e) {
                    faults[i] = e;
                }
            }
        });
        for (MalformedCheckpointException fault : faults) {
            if (fault != null) {
                throw fault;
            }
        }
        Sha256 all = new Sha256();
        for (byte[] digest : digests) {
            if (digest != null) {
                all.add(digest);
            }
        }
        return all.text();
    }

    ObjectNode json() {
        ObjectNode tree = JSON.createObjectNode();
        parts.forEach(tree::put);
        return tree;
    }

    /// What is not as it was, in words; empty if all is.
    ///
    /// @param other what [#json] gave
    String differences(JsonNode other) {
        SortedSet<String> names = new TreeSet<>(parts.keySet());
        other.fieldNames().forEachRemaining(names::add);
        return names.stream()
                .filter(name ->
                        !Objects.equals(parts.get(name), other.path(name).textValue()))
                .map(name -> {
                    String before = other.path(name).asText("none");
                    String now = parts.getOrDefault(name, "none");
                    // A hash tells nobody anything.
                    return HASH.matcher(before + now).find()
                            ? "other " + name
                            : name + " was " + before + ", is now " + now;
                })
                .collect(Collectors.joining("; "));
    }
}

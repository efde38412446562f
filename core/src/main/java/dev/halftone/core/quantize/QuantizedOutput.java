package dev.halftone.core.quantize;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.CheckpointWriter;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.QuantizedWeight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Stream;

/// The output of a run: packed linears as they are done, then everything else, then a look at what was really written.
final class QuantizedOutput implements AutoCloseable {
    private static final long SHARD_BYTES = 5_000_000_000L;
    private static final String REPORT = "halftone.json";
    private static final Set<String> REWRITTEN = Set.of("config.json", "quantize_config.json", REPORT);
    /// Other forms of the weights, which would contradict the ones written.
    private static final List<String> WEIGHTS = List.of(
            ".safetensors", ".index.json", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".gguf", ".onnx", ".h5", ".msgpack");

    private static final ObjectMapper JSON = new ObjectMapper();

    private final QuantizationPlan plan;
    private final Checkpoint source;
    private final CheckpointWriter writer;
    private final Map<String, Tensor> replaced = new LinkedHashMap<>(); // norms and biases that a transform changed
    private final Map<String, byte[]> digests = new LinkedHashMap<>(); // linear -> RestoredDigest

    /// @throws HalftoneException if the directory is taken or the disk too small
    QuantizedOutput(Path directory, QuantizationPlan plan, Checkpoint source) throws IOException {
        this.plan = plan;
        this.source = source;
        writer = CheckpointWriter.create(directory, plan.specs(), SHARD_BYTES);
    }

    /// Packs and writes the weight of a linear, and remembers what it restores to.
    void write(LinearTask linear, QuantizedWeight weight) throws IOException {
        digests.put(linear.name(), RestoredDigest.of(weight));
        try (Arena arena = Arena.ofConfined()) {
            for (Tensor tensor : plan.recipe().layout().pack(linear.name(), weight, arena)) {
                writer.write(tensor);
            }
        }
    }

    /// Will write a copy of `tensor` in the place of the source's tensor of this name.
    void replace(Tensor tensor) {
        MemorySegment copy = MemorySegment.ofArray(tensor.data().toArray(ValueLayout.JAVA_BYTE));
        replaced.put(tensor.name(), new Tensor(tensor.name(), tensor.type(), tensor.shape(), copy));
    }

    /// Writes all tensors that are no quantized weight.
    void copyTensors() throws IOException {
        for (Tensor tensor : source.tensors().values()) {
            if (!isQuantized(tensor)) {
                writer.write(replaced.getOrDefault(tensor.name(), tensor));
            }
        }
    }

    private boolean isQuantized(Tensor tensor) {
        String name = tensor.name();
        return name.endsWith(".weight") && digests.containsKey(name.substring(0, name.length() - ".weight".length()));
    }

    /// Writes the configuration with its quantization section, the report, and copies the tokenizer and whatever else
    /// lies in the source directory and holds no weights.
    void writeFiles(String tool, QuantizationReport report) throws IOException {
        Recipe recipe = plan.recipe();
        SortedMap<String, Object> meta = new TreeMap<>(recipe.settings());
        meta.put("algorithm", recipe.method());
        if (plan.calibration() != null) {
            meta.put("true_sequential", true);
            meta.put("calibration_windows", plan.calibration().samples());
            meta.put("calibration_length", plan.calibration().length());
            meta.put("calibration_sha256", plan.calibration().textSha256());
        }
        ObjectNode section = recipe.layout().config(recipe.scheme(), tool, meta, List.of());
        ObjectNode config = source.config();
        config.set("quantization_config", section);
        writer.writeJson("config.json", config);
        Optional<String> sectionFile = recipe.layout().sectionFile();
        if (sectionFile.isPresent()) {
            writer.writeJson(sectionFile.get(), section);
        }
        writer.writeJson(REPORT, reproducible(report));
        List<Path> files;
        try (Stream<Path> listed = Files.list(source.directory())) {
            files = listed.filter(Files::isRegularFile)
                    .filter(file -> isCopied(file.getFileName().toString()))
                    .sorted()
                    .toList();
        }
        for (Path file : files) {
            writer.copyFile(file);
        }
    }

    private static boolean isCopied(String file) {
        return !file.startsWith(".")
                && !REWRITTEN.contains(file)
                && WEIGHTS.stream().noneMatch(file::endsWith);
    }

    /// What two runs with the same input have in common: no times, and nothing of the machine.
    private static ObjectNode reproducible(QuantizationReport report) {
        ObjectNode tree = JSON.valueToTree(report);
        tree.remove(List.of("seconds", "backend", "verified"));
        tree.path("linears").forEach(linear -> ((ObjectNode) linear).remove("seconds"));
        return tree;
    }

    /// Opens the written files where they were staged, before anybody else can see them, and compares: every packed
    /// linear must restore to the very numbers that were computed, every other tensor must equal its source or what
    /// a transform made of it.
    ///
    /// @return linears compared
    /// @throws HalftoneException of kind RESOURCES naming the first that differs; nothing is published then
    int verify(Backend backend) throws IOException {
        try (Checkpoint written = Checkpoint.open(writer.seal())) {
            for (Tensor tensor : source.tensors().values()) {
                Tensor meant = replaced.getOrDefault(tensor.name(), tensor);
                if (!isQuantized(tensor)
                        && meant.data().mismatch(written.tensor(tensor.name()).data()) >= 0) {
                    throw differs(tensor.name());
                }
            }
            LinearWeights weights = LinearWeights.of(written);
            List<String> linears = List.copyOf(digests.keySet());
            boolean[] equal = new boolean[linears.size()];
            backend.forRanges(equal.length, (from, to) -> {
                for (int i = from; i < to; i++) {
                    byte[] found = RestoredDigest.of(weights.weight(linears.get(i)));
                    equal[i] = Arrays.equals(found, digests.get(linears.get(i)));
                }
            });
            for (int i = 0; i < equal.length; i++) {
                if (!equal[i]) {
                    throw differs(linears.get(i));
                }
            }
            return equal.length;
        }
    }

    private static HalftoneException differs(String tensor) {
        return new HalftoneException(
                Kind.RESOURCES,
                "'" + tensor + "' was read back with other numbers than were written",
                "nothing was published",
                "check the disk and the memory of this machine, and run again");
    }

    /// Moves the output into its place.
    void publish() throws IOException {
        writer.publish();
    }

    @Override
    public void close() {
        writer.close();
    }
}

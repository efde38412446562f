package dev.halftone.core.quantize;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.CheckpointWriter;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.QuantizedWeight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
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
    private static final Set<String> REWRITTEN = Set.of("config.json", "quantize_config.json", QuantizationReport.FILE);
    /// Other forms of the weights, which would contradict the ones written.
    private static final List<String> WEIGHTS = List.of(
            ".safetensors", ".index.json", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".gguf", ".onnx", ".h5", ".msgpack");

    /// Hidden states up to so many bytes are kept after every block.
    private static final long CHEAP_TO_KEEP = 16L << 20;

    /// Larger ones when a run has done so many times as long something else as it took to keep them the last time.
    private static final long WORTH_KEEPING = 25;

    private static final ObjectMapper JSON = new ObjectMapper();

    private final QuantizationPlan plan;
    private final Checkpoint source;
    private final CheckpointWriter writer;
    private final boolean kept;
    private final Map<String, byte[]> digests = new LinkedHashMap<>(); // linear -> RestoredDigest
    private final Map<String, byte[]> replaced = new LinkedHashMap<>(); // what a transform changed -> hash of its data
    private JsonNode saved = JSON.createObjectNode(); // what [#state] made in the run that this one goes on with
    private Fingerprint fingerprint;
    private double secondsBefore;
    private long keptAt; // by System.nanoTime
    private long keeping; // nanoseconds that it took

    /// @throws HalftoneException if the directory is taken or the disk too small
    QuantizedOutput(Path directory, QuantizationPlan plan, Checkpoint source, OutputOptions options)
            throws IOException {
        this.plan = plan;
        this.source = source;
        kept = options.resume() != Resume.NEVER;
        long beside = kept ? plan.progressBytes() : 0;
        writer = options.resume() == Resume.AUTO
                ? CheckpointWriter.resumable(directory, plan.specs(), plan.shardBytes(), beside, options.disk())
                : CheckpointWriter.createAfresh(directory, plan.specs(), plan.shardBytes(), beside, options.disk());
    }

    /// To be called before anything is written: takes up what an interrupted run left.
    ///
    /// @param now what the numbers of this run depend on
    /// @throws HalftoneException if the other run would have computed something else; its work is left alone
    Resumption begin(Fingerprint now) throws IOException {
        fingerprint = now;
        Optional<ObjectNode> found = writer.saved();
        if (found.isEmpty()) {
            return Resumption.NOTHING;
        }
        saved = found.get();
        String differences = now.differences(saved.path("fingerprint"));
        if (!differences.isEmpty()) {
            throw new HalftoneException(
                    Kind.OUTPUT_TAKEN,
                    "an interrupted run for this output, " + blocksSaved() + " of "
                            + plan.config().layers() + " blocks done, was another one",
                    differences,
                    "the same command as then, to go on; --fresh, to discard what it did; or another output");
        }
        writer.resume();
        read("digests", digests);
        read("replaced", replaced);
        secondsBefore = saved.path("seconds").asDouble();
        List<LinearReport> linears = new ArrayList<>();
        for (JsonNode linear : saved.path("linears")) {
            linears.add(JSON.treeToValue(linear, LinearReport.class));
        }
        return new Resumption(blocksSaved(), linears, secondsBefore);
    }

    private int blocksSaved() {
        return saved.path("blocks").asInt();
    }

    private void read(String field, Map<String, byte[]> hashes) {
        for (Map.Entry<String, JsonNode> hash : saved.path(field).properties()) {
            hashes.put(hash.getKey(), HexFormat.of().parseHex(hash.getValue().asText()));
        }
    }

    /// Gives samples their hidden states back, as they were where the interrupted run stopped.
    ///
    /// @param borders by the names under which [#keep] was given them
    void restore(Map<String, CalibrationSamples> borders) throws IOException {
        try (Arena arena = Arena.ofShared()) {
            Map<String, Tensor> tensors = writer.savedTensors(arena);
            for (Map.Entry<String, CalibrationSamples> border : borders.entrySet()) {
                long checksum = border.getValue().restore(border.getKey(), tensors);
                if (checksum != saved.path("checksums").path(border.getKey()).asLong()) {
                    throw new HalftoneException(
                            Kind.RESOURCES,
                            "the hidden states that an interrupted run kept are not what it wrote",
                            "in '" + writer.progress().orElseThrow() + "'",
                            "check the disk, and start over with --fresh");
                }
            }
        }
    }

    /// Makes what was written so far last, so that a later run can go on with the block after it; unless it was so
    /// lately
    /// that this would cost more than repeating what was done since.
    ///
    /// @param blocks  that are done
    /// @param linears reports on them
    /// @param borders samples that stand before the next block, by name; none if nobody needs them any more
    /// @param seconds of this run until now
    /// @return where it is kept; empty if nothing is to be, or not yet
    Optional<Path> keep(
            int blocks, List<LinearReport> linears, SortedMap<String, CalibrationSamples> borders, double seconds)
            throws IOException {
        List<TensorSpec> specs = new ArrayList<>();
        borders.forEach((name, samples) -> specs.addAll(samples.specs(name)));
        long begin = System.nanoTime();
        long bytes = specs.stream().mapToLong(TensorSpec::bytes).sum();
        if (!kept || !isWorthKeeping(bytes, begin - keptAt, keeping)) {
            return Optional.empty();
        }
        ObjectNode state = JSON.createObjectNode();
        state.set("fingerprint", fingerprint.json());
        state.put("blocks", blocks);
        state.put("seconds", secondsBefore + seconds);
        state.set("linears", JSON.valueToTree(linears));
        write(digests, state.putObject("digests"));
        write(replaced, state.putObject("replaced"));
        ObjectNode checksums = state.putObject("checksums");
        writer.commit(state, specs, file -> {
            for (Map.Entry<String, CalibrationSamples> border : borders.entrySet()) {
                checksums.put(border.getKey(), border.getValue().save(border.getKey(), file));
            }
        });
        keptAt = System.nanoTime();
        keeping = keptAt - begin;
        return writer.progress();
    }

    /// @param bytes that would be written
    /// @param since nanoseconds since the last time, or anything before the first
    /// @param took  nanoseconds that the last time took; 0 before the first
    static boolean isWorthKeeping(long bytes, long since, long took) {
        return bytes <= CHEAP_TO_KEEP || since >= WORTH_KEEPING * took;
    }

    private static void write(Map<String, byte[]> hashes, ObjectNode tree) {
        hashes.forEach((name, hash) -> tree.put(name, HexFormat.of().formatHex(hash)));
    }

    /// Seconds that earlier runs spent on what this one goes on with.
    double secondsBefore() {
        return secondsBefore;
    }

    /// Packs and writes the weight of a linear, and remembers what it restores to.
    void write(LinearTask linear, QuantizedWeight weight) throws IOException {
        digests.put(linear.name(), RestoredDigest.of(weight));
        try (Arena arena = Arena.ofConfined()) {
            for (Tensor tensor : plan.recipe().layoutOf(linear).pack(linear.name(), weight, arena)) {
                writer.write(tensor);
            }
        }
    }

    /// Writes `tensor` in the place of the source's tensor of this name, and remembers it.
    void replace(Tensor tensor) throws IOException {
        replaced.put(tensor.name(), new Sha256().add(tensor.data()).bytes());
        writer.write(tensor);
    }

    /// Writes all tensors that are no quantized weight.
    void copyTensors() throws IOException {
        for (Tensor tensor : source.tensors().values()) {
            if (!isQuantized(tensor) && !replaced.containsKey(tensor.name())) {
                writer.write(tensor);
                releaseSource();
            }
        }
    }

    /// All of it after each tensor that is copied: a small one brings a large page with it.
    private void releaseSource() {
        source.release("");
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
        // The section says itself what is otherwise.
        meta.remove(Recipe.OVERRIDES);
        meta.keySet().removeAll(Recipe.TABLE_BITS.values());
        meta.put("algorithm", recipe.method());
        if (plan.calibration() != null) {
            meta.put("true_sequential", true);
            meta.put("calibration_windows", plan.calibration().samples());
            meta.put("calibration_length", plan.calibration().length());
            meta.put("calibration_sha256", plan.calibration().textSha256());
        }
        ObjectNode section = plan.section(tool, meta);
        ObjectNode config = source.config();
        config.set("quantization_config", section);
        if (plan.head().isPresent()) {
            // The head is a matrix of its own now.
            config.put(LlamaConfig.TIED, false);
        }
        writer.writeJson("config.json", config);
        Optional<String> sectionFile = recipe.layout().sectionFile();
        if (sectionFile.isPresent()) {
            writer.writeJson(sectionFile.get(), section);
        }
        writer.writeJson(QuantizationReport.FILE, reproducible(report));
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

    /// As [#compareWritten]; if something differs, what was written is not to be gone on with.
    int verify(Backend backend) throws IOException {
        try {
            return compareWritten(backend);
        } catch (HalftoneException e) {
            writer.discard();
            throw e;
        }
    }

    /// Opens the written files where they were staged, before anybody else can see them, and compares: every packed
    /// linear must restore to the very numbers that were computed, every other tensor must equal its source or what
    /// a transform made of it.
    ///
    /// @return linears compared
    /// @throws HalftoneException of kind RESOURCES naming the first that differs; nothing is published then
    private int compareWritten(Backend backend) throws IOException {
        try (Checkpoint written = Checkpoint.open(writer.seal())) {
            for (Tensor tensor : source.tensors().values()) {
                if (!isQuantized(tensor) && !holds(written.tensor(tensor.name()), tensor)) {
                    throw differs(tensor.name());
                }
                releaseSource();
                written.release("");
            }
            LinearWeights weights = LinearWeights.of(written);
            List<String> linears = List.copyOf(digests.keySet());
            boolean[] equal = new boolean[linears.size()];
            backend.forRanges(equal.length, (from, to) -> {
                for (int i = from; i < to; i++) {
                    byte[] found = RestoredDigest.of(weights.weight(linears.get(i)));
                    equal[i] = Arrays.equals(found, digests.get(linears.get(i)));
                    written.release(linears.get(i));
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

    /// Whether a tensor that is no quantized weight was written as it was meant.
    private boolean holds(Tensor written, Tensor tensor) {
        byte[] expected = replaced.get(tensor.name());
        return expected == null
                ? tensor.data().mismatch(written.data()) < 0
                : Arrays.equals(expected, new Sha256().add(written.data()).bytes());
    }

    private static HalftoneException differs(String tensor) {
        return new HalftoneException(
                Kind.RESOURCES,
                "'" + tensor + "' was read back with other numbers than were written",
                "nothing was published",
                "check the disk and the memory of this machine, and run again");
    }

    /// Leaves nothing of this run, nor anything to go on with.
    void discard() throws IOException {
        writer.discard();
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

package dev.halftone.gptq;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.halftone.core.checkpoint.SafetensorsFile;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.quantize.InputStatistics;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.testing.Shared;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.StreamSupport;

/// One case of `gptq-cases`: solved one column at a time in float64, far from every tie.
record GoldenCase(JsonNode facts, Map<String, Tensor> tensors) {
    /// All cases; the tensors live as long as the process.
    static List<GoldenCase> all() throws IOException {
        Path folder = Shared.root().resolve("gptq/src/test/resources/golden");
        JsonNode facts =
                new ObjectMapper().readTree(folder.resolve("gptq-cases.json").toFile());
        Map<String, Tensor> tensors = SafetensorsFile.map(folder.resolve("gptq-cases.safetensors"), Arena.global())
                .tensors();
        return StreamSupport.stream(facts.spliterator(), false)
                .map(one -> new GoldenCase(one, tensors))
                .toList();
    }

    String name() {
        return facts.get("name").asText();
    }

    Tensor tensor(String part) {
        return tensors.get(name() + "." + part);
    }

    Weight weight() {
        return new DenseWeight(tensor("weight"));
    }

    QuantizationScheme scheme() {
        return QuantizationScheme.gptq(
                facts.get("bits").asInt(),
                facts.get("group_size").asInt(),
                facts.get("symmetric").asBoolean());
    }

    GptqOptions options() {
        ColumnOrder order = switch (facts.get("order").asText()) {
            case "natural" -> ColumnOrder.NATURAL;
            case "static" -> ColumnOrder.ACTIVATION;
            case "group-aware" -> ColumnOrder.GROUP_AWARE;
            default -> throw new IllegalStateException("order of " + facts);
        };
        return new GptqOptions(facts.get("damping").asDouble(), order);
    }

    /// Whether the last group is shorter than the others, which no scheme of ours allows.
    boolean ragged() {
        return facts.get("group_size").asInt() > 0
                && facts.get("in").asInt() % facts.get("group_size").asInt() != 0;
    }

    InputStatistics statistics(Backend backend) {
        int inputs = facts.get("in").asInt();
        Matrix moments = backend.allocate(inputs, inputs);
        backend.copyIn(tensor("moments").toFloats(), 0, moments);
        return InputStatistics.ofMoments(moments, 512, backend);
    }

    @Override
    public String toString() {
        return name();
    }
}

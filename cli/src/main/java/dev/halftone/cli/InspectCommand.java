package dev.halftone.cli;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@picocli.CommandLine.Command(
        name = "inspect",
        description = "Tells what a model folder holds, without loading weights.",
        sortOptions = false)
final class InspectCommand implements Command {
    @Parameters(paramLabel = "MODEL", description = "Folder of the model.")
    Path model;

    @Option(names = "--tensors", description = "List every tensor as well.")
    boolean tensors;

    @Override
    public int run(Console console, Interruption interruption) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(model)) {
            LlamaConfig config = ModelFacts.config(checkpoint);
            LinearWeights weights = LinearWeights.of(checkpoint);
            List<String> packed = Stream.of(Llama.EMBEDDING, Llama.HEAD)
                    .filter(weights::isPacked)
                    .toList();
            ModelFacts facts =
                    ModelFacts.of(config, packed, checkpoint.tensors().values());
            String quantization = weights.description().orElse(null);
            String tables = packed.contains(Llama.EMBEDDING) ? ", embedding quantized" : "";
            if (packed.contains(Llama.HEAD)) {
                tables += ", head quantized";
            } else if (config.tiedEmbeddings()) {
                tables += ", head tied to the embedding";
            }
            describe(checkpoint, config, facts, quantization, tables, console);
            if (tensors) {
                for (Tensor tensor : checkpoint.tensors().values()) {
                    describe(tensor, console);
                }
            }
            report(checkpoint, config, facts, quantization, console);
        }
        return 0;
    }

    private boolean has(String file) {
        return Files.isRegularFile(model.resolve(file));
    }

    /// Whether chat turns can be written: the template is a file of its own, or a part of the tokenizer's settings.
    private boolean hasChatTemplate(Checkpoint checkpoint) throws IOException {
        return has("chat_template.jinja")
                || checkpoint
                        .json("tokenizer_config.json")
                        .map(tree -> tree.hasNonNull("chat_template"))
                        .orElse(false);
    }

    private void describe(
            Checkpoint checkpoint,
            LlamaConfig config,
            ModelFacts facts,
            String quantization,
            String tables,
            Console console)
            throws IOException {
        field(
                console,
                "model",
                config.family().architecture() + ", " + config.layers() + " layers, hidden " + config.hidden()
                        + ", intermediate " + config.intermediate());
        field(
                console,
                "attention",
                config.heads() + " heads of " + config.headSize() + " over " + config.kvHeads()
                        + " of keys and values");
        field(
                console,
                "parameters",
                Figures.count(facts.parameters()) + ", " + Figures.count(facts.linearParameters()) + " of them in "
                        + facts.linears() + " linears");
        String types = facts.types().entrySet().stream()
                .map(entry -> entry.getKey() + " " + Figures.bytes(entry.getValue()))
                .collect(Collectors.joining(", "));
        int files = checkpoint.files().size();
        field(
                console,
                "weights",
                Figures.bytes(facts.totalBytes()) + " in " + files + (files == 1 ? " file (" : " files (") + types
                        + ")");
        field(console, "quantization", quantization == null ? "none" : Printable.line(quantization));
        field(
                console,
                "bits",
                Figures.format(
                        "%.2f per weight of the linears, %.2f overall", facts.bitsPerWeight(), facts.bitsOverall()));
        field(console, "vocabulary", config.vocabulary() + tables);
        field(console, "context", config.context() + " tokens");
        field(console, "tokenizer", has("tokenizer.json") ? "yes" : "no tokenizer.json");
        field(console, "chat template", hasChatTemplate(checkpoint) ? "yes" : "no");
    }

    private static void field(Console console, String name, String value) {
        console.result(Figures.format("%-14s %s", name, value));
    }

    private static void describe(Tensor tensor, Console console) {
        long bytes = tensor.data().byteSize();
        console.result(Figures.format(
                "%-4s %-16s %10s  %s",
                tensor.type(), tensor.shape(), Figures.bytes(bytes), Printable.line(tensor.name())));
        console.event("tensor", fields -> {
            fields.put("name", tensor.name()).put("type", tensor.type().name()).put("bytes", bytes);
            var shape = fields.putArray("shape");
            for (int i = 0; i < tensor.shape().rank(); i++) {
                shape.add(tensor.shape().size(i));
            }
        });
    }

    private void report(
            Checkpoint checkpoint, LlamaConfig config, ModelFacts facts, String quantization, Console console)
            throws IOException {
        boolean chat = hasChatTemplate(checkpoint);
        console.event("done", fields -> {
            fields.put("model", model.toString())
                    .put("architecture", config.family().architecture())
                    .put("layers", config.layers())
                    .put("hidden", config.hidden())
                    .put("vocabulary", config.vocabulary())
                    .put("context", config.context())
                    .put("parameters", facts.parameters())
                    .put("linears", facts.linears())
                    .put("linear_parameters", facts.linearParameters())
                    .put("bytes", facts.totalBytes())
                    .put("linear_bytes", facts.linearBytes())
                    .put("bits_per_weight", facts.bitsPerWeight())
                    .put("quantization", quantization)
                    .put("tokenizer", has("tokenizer.json"))
                    .put("chat_template", chat);
            var types = fields.putObject("types");
            facts.types().forEach((type, bytes) -> types.put(type.name(), bytes));
        });
    }
}

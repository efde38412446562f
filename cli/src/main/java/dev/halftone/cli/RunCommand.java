package dev.halftone.cli;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.model.ChatMessage;
import dev.halftone.core.model.ChatTemplate;
import dev.halftone.core.model.Generation;
import dev.halftone.core.model.Sampler;
import dev.halftone.core.model.SamplingOptions;
import dev.halftone.core.model.StreamingDecoder;
import dev.halftone.core.model.Tokenizer;
import dev.halftone.core.tensor.DType;
import dev.halftone.runtime.cpu.ProductMode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.concurrent.ThreadLocalRandom;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@picocli.CommandLine.Command(
        name = "run",
        description = {
            "Lets a model, float or quantized, answer. A model with a chat template is given the",
            "prompt as the user's turn; one without, or with --raw, continues it as a text."
        },
        sortOptions = false)
final class RunCommand implements Command {
    /// Tokens of a prompt that are computed at a time.
    private static final int CHUNK = 512;

    @Parameters(paramLabel = "MODEL", description = "Folder of the model.")
    Path model;

    @Option(names = "--prompt", paramLabel = "TEXT", required = true, description = "What to answer or continue.")
    String prompt;

    @Option(names = "--chat", description = "Insist on a chat turn: an error without a template.")
    boolean chat;

    @Option(names = "--system", paramLabel = "TEXT", description = "System message of the chat; implies --chat.")
    String system;

    @Option(names = "--raw", description = "Continue the prompt as it stands.")
    boolean raw;

    @Option(names = "--max-tokens", paramLabel = "N", description = "Tokens to write at most. Default: 256.")
    int maximumTokens = 256;

    @Option(names = "--temperature", paramLabel = "T", description = "0: always the likeliest. Default: 0.8.")
    double temperature = 0.8;

    @Option(names = "--top-k", paramLabel = "N", description = "Among the N likeliest; 0: all. Default: 40.")
    int topK = 40;

    @Option(names = "--top-p", paramLabel = "P", description = "Among those that sum to P. Default: 0.95.")
    double topP = 0.95;

    @Option(names = "--min-p", paramLabel = "P", description = "At least P of the likeliest's. Default: 0.05.")
    double minP = 0.05;

    @Option(names = "--seed", paramLabel = "N", description = "Equal seeds answer equally. Default: by chance.")
    Long seed;

    @Option(
            names = "--matmul",
            paramLabel = "NAME",
            description = "How to compute the prompt; see doctor. Default: auto.")
    String matmul;

    @Option(
            names = "--cache",
            paramLabel = "NAME",
            description = "Keys and values are kept as f32, or as f16 in half the memory. Default: f32.")
    String cache;

    @Override
    public int run(Console console, Interruption interruption) throws IOException {
        requireConsistent();
        DType cached = Cached.numbers(cache);
        long usedSeed = seed == null ? ThreadLocalRandom.current().nextInt(Integer.MAX_VALUE) : seed;
        SamplingOptions options = new SamplingOptions(temperature, topK, topP, minP, usedSeed);
        Optional<ChatTemplate> template = raw ? Optional.empty() : ChatTemplate.of(model);
        if (template.isEmpty() && (chat || system != null)) {
            throw new HalftoneException(
                    Kind.INPUT,
                    "'" + model + "' has no chat template",
                    "neither chat_template.jinja nor tokenizer_config.json holds one",
                    "without --chat and --system, to continue the prompt as a text");
        }
        try (LoadedModel loaded = LoadedModel.open(model, console, matmul, ProductMode.AUTO)) {
            Tokenizer tokenizer = loaded.tokenizer();
            int[] tokens = template.isPresent()
                    ? tokenizer.encode(template.get().render(messages(), true))
                    : tokenizer.encodeWithBos(prompt);
            if (tokens.length == 0) {
                throw Usage.fault("the prompt is empty", "--prompt with some text");
            }
            answer(loaded, tokens, options, cached, console, interruption);
        }
        return 0;
    }

    private void requireConsistent() {
        if (raw && (chat || system != null)) {
            throw Usage.fault("--raw excludes --chat and --system", "one of them");
        }
        if (maximumTokens < 1) {
            throw Usage.fault("--max-tokens must be at least 1, found " + maximumTokens, null);
        }
    }

    private List<ChatMessage> messages() {
        List<ChatMessage> messages = new ArrayList<>();
        if (system != null) {
            messages.add(ChatMessage.system(system));
        }
        messages.add(ChatMessage.user(prompt));
        return messages;
    }

    private void answer(
            LoadedModel loaded,
            int[] tokens,
            SamplingOptions options,
            DType cached,
            Console console,
            Interruption interruption) {
        Sampler sampler = new Sampler(options, loaded.llama().config().vocabulary());
        Tokenizer tokenizer = loaded.tokenizer();
        int context = loaded.llama().config().context();
        int capacity = (int) Math.min(context, (long) tokens.length + maximumTokens);
        StringBuilder text = new StringBuilder();
        int count = 0;
        long first = 0;
        try (Generation generation = new Generation(loaded.llama(), capacity, CHUNK, tokenizer.endTokens(), cached)) {
            long start = System.nanoTime();
            generation.start(tokens, maximumTokens);
            long prefilled = System.nanoTime();
            StreamingDecoder decoder = tokenizer.streamingDecoder(tokens);
            for (int token = generation.step(sampler); token >= 0; token = generation.step(sampler)) {
                interruption.check();
                if (count++ == 0) {
                    first = System.nanoTime();
                }
                say(decoder.push(token), text, console);
                if (console.abandoned()) {
                    return;
                }
            }
            say(decoder.flush(), text, console);
            console.stream(System.lineSeparator());
            console.detail("seed " + options.seed());
            if (count > 0) {
                reportFirst(start, first, console);
            }
            report(
                    generation,
                    tokens.length,
                    count,
                    prefilled - start,
                    System.nanoTime() - prefilled,
                    text,
                    console,
                    Backends.products(loaded.backend()));
        }
    }

    private static void say(String piece, StringBuilder text, Console console) {
        if (piece.isEmpty()) {
            return;
        }
        text.append(piece);
        // A file gets the very text; a terminal would obey control characters in it.
        console.stream(console.environment().terminalOut() ? Printable.text(piece) : piece);
        console.event("text", fields -> fields.put("text", piece));
    }

    /// @param prompt when the prompt's tokens were there
    /// @param first  when the first token of the answer was
    private static void reportFirst(long prompt, long first, Console console) {
        double afterPrompt = (first - prompt) / 1e9;
        double ago = (System.nanoTime() - first) / 1e9;
        OptionalDouble sinceStart = Machine.sinceStart();
        String afterStart = sinceStart.isPresent()
                ? Figures.format(", %.2f s after the start", sinceStart.getAsDouble() - ago)
                : "";
        console.detail(Figures.format("first token %.2f s after the prompt", afterPrompt) + afterStart);
        console.event("first", fields -> {
            fields.put("seconds_after_prompt", afterPrompt);
            sinceStart.ifPresent(seconds -> fields.put("seconds_after_start", seconds - ago));
        });
    }

    private void report(
            Generation generation,
            int promptTokens,
            int tokens,
            long prefill,
            long decode,
            StringBuilder text,
            Console console,
            String products) {
        double prefillSeconds = prefill / 1e9;
        double seconds = decode / 1e9;
        String end = switch (generation.end()) {
            case END_TOKEN -> "stop";
            case TOKEN_LIMIT -> "length";
            case CONTEXT -> "context";
        };
        if (generation.end() == Generation.End.CONTEXT) {
            console.note("note: stopped at the model's context of " + generation.position() + " tokens");
        }
        console.detail(Figures.format(
                "prompt %d tokens in %s (%.1f tokens/s) · answer %d tokens in %s (%.1f tokens/s) · end: %s",
                promptTokens,
                Figures.duration(prefillSeconds),
                promptTokens / prefillSeconds,
                tokens,
                Figures.duration(seconds),
                tokens / seconds,
                end));
        if (products != null) {
            console.detail("prompt multiplied by " + products);
        }
        console.event(
                "done",
                fields -> fields.put("text", text.toString())
                        .put("matmul", products)
                        .put("finish_reason", end)
                        .put("prompt_tokens", promptTokens)
                        .put("tokens", tokens)
                        .put("prompt_seconds", prefillSeconds)
                        .put("seconds", seconds)
                        .put("tokens_per_second", tokens / seconds));
    }
}

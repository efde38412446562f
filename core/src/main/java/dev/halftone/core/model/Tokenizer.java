package dev.halftone.core.model;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/// Text to tokens and back, as the model's own `tokenizer.json` says. Nothing is cut, padded or added in secret.
///
/// **What begins a text.** If tokenizer_config.json says `add_bos_token`, that decides, and the token is its
/// `bos_token`. Otherwise it is whatever token the post-processor of tokenizer.json puts first, if any. [#encode]
/// never adds it, [#encodeWithBos] does.
///
/// **What ends one.** The `eos_token_id` of config.json and of generation_config.json, and the `eos_token` of
/// tokenizer_config.json, together.
///
/// The arithmetic is native code that is unpacked to `DJL_CACHE_DIR`, by default `~/.djl.ai`, on first use. Encoding
/// and decoding may go on in several threads.
public final class Tokenizer implements AutoCloseable {
    static final String FILE = "tokenizer.json";
    static final String CONFIG = "tokenizer_config.json";

    static {
        // The library would otherwise report its use, and fetch another build of itself where it finds a GPU.
        for (Map.Entry<String, String> setting : Map.of(
                        "DJL_OFFLINE",
                        "true",
                        "ai.djl.offline",
                        "true",
                        "OPT_OUT_TRACKING",
                        "true",
                        "RUST_FLAVOR",
                        "cpu")
                .entrySet()) {
            if (System.getProperty(setting.getKey()) == null) {
                System.setProperty(setting.getKey(), setting.getValue());
            }
        }
    }

    private final HuggingFaceTokenizer tokenizer;
    private final int bos;
    private final Set<Integer> endTokens;

    private Tokenizer(HuggingFaceTokenizer tokenizer, Path directory) throws IOException {
        this.tokenizer = tokenizer;
        ObjectNode config = JsonFile.readIfPresent(directory.resolve(CONFIG));
        this.bos = beginning(config);
        this.endTokens = Collections.unmodifiableSet(ends(directory, config));
    }

    /// Reads the tokenizer of a model directory.
    ///
    /// @throws HalftoneException of kind INPUT if tokenizer.json is missing or broken, of kind RESOURCES if the
    ///     native library cannot be unpacked
    public static Tokenizer of(Path directory) throws IOException {
        Path file = directory.resolve(FILE);
        if (!Files.isRegularFile(file)) {
            boolean sentencePiece = Files.exists(directory.resolve("tokenizer.model"));
            throw new HalftoneException(
                    Kind.INPUT,
                    "'" + file + "' is missing",
                    sentencePiece ? "found tokenizer.model, which is another format" : null,
                    sentencePiece
                            ? "convert it: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR) in transformers"
                            : "copy tokenizer.json from where the model came from");
        }
        HuggingFaceTokenizer tokenizer = open(file);
        try {
            return new Tokenizer(tokenizer, directory);
        } catch (IOException | RuntimeException e) {
            tokenizer.close();
            throw e;
        }
    }

    private static HuggingFaceTokenizer open(Path file) throws IOException {
        // Given a stream instead of the path, the library does not apply tokenizer_config.json on top.
        try (InputStream in = Files.newInputStream(file)) {
            return HuggingFaceTokenizer.newInstance(
                    in, Map.of("addSpecialTokens", "false", "truncation", "false", "padding", "false"));
        } catch (LinkageError e) {
            throw new HalftoneException(
                    Kind.RESOURCES,
                    "the native library of the tokenizer cannot be loaded",
                    rootMessage(e),
                    "set DJL_CACHE_DIR to a directory that can be written",
                    e);
        } catch (RuntimeException e) {
            throw new HalftoneException(
                    Kind.INPUT,
                    "'" + file + "' is not a tokenizer",
                    rootMessage(e),
                    "copy tokenizer.json again from where the model came from",
                    e);
        }
    }

    private static String rootMessage(Throwable error) {
        Throwable root = error;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        return String.valueOf(root.getMessage());
    }

    private int beginning(ObjectNode config) {
        JsonNode added = config.path("add_bos_token");
        if (added.isBoolean()) {
            if (!added.booleanValue()) {
                return -1;
            }
            int token = named(config, "bos_token");
            if (token < 0) {
                throw new HalftoneException(
                        Kind.INPUT,
                        CONFIG + ": add_bos_token is true, but bos_token is no token of " + FILE,
                        "found " + config.path("bos_token"),
                        "copy both files again from where the model came from");
            }
            return token;
        }
        long[] bare = tokenizer.encode("a", false, false).getIds();
        long[] dressed = tokenizer.encode("a", true, false).getIds();
        return dressed.length > bare.length && dressed[0] != bare[0] ? Math.toIntExact(dressed[0]) : -1;
    }

    private Set<Integer> ends(Path directory, ObjectNode config) throws IOException {
        Set<Integer> ends = new TreeSet<>();
        for (String file : new String[] {"config.json", "generation_config.json"}) {
            ObjectNode node = JsonFile.readIfPresent(directory.resolve(file));
            ends.addAll(JsonFields.of(file, node).tokenIds("eos_token_id", Integer.MAX_VALUE));
        }
        int named = named(config, "eos_token");
        if (named >= 0) {
            ends.add(named);
        }
        return ends;
    }

    /// The id of a token that the configuration gives as text, or -1.
    private int named(ObjectNode config, String key) {
        String text = specialToken(config, key);
        return text == null ? -1 : token(text);
    }

    /// A special token of tokenizer_config.json: plain, or as an object with its `content`; null if there is none.
    static String specialToken(ObjectNode config, String key) {
        JsonNode node = config.path(key);
        JsonNode text = node.isObject() ? node.path("content") : node;
        return text.isTextual() ? text.textValue() : null;
    }

    /// The id of the token that is written exactly `text`, or -1 if no token is.
    public int token(String text) {
        int[] ids = encode(text);
        return ids.length == 1 && decode(ids, false).equals(text) ? ids[0] : -1;
    }

    /// The tokens of `text`; special tokens written in it become those tokens. A long text is encoded as a whole, so
    /// that no seam shows.
    public int[] encode(String text) {
        return toInts(tokenizer.encode(wellFormed(text), false, false).getIds());
    }

    /// The same behind the token that begins a text, if this model has one.
    public int[] encodeWithBos(String text) {
        int[] ids = encode(text);
        if (bos < 0) {
            return ids;
        }
        int[] begun = new int[ids.length + 1];
        begun[0] = bos;
        System.arraycopy(ids, 0, begun, 1, ids.length);
        return begun;
    }

    /// A surrogate without its partner has no UTF-8 form and would not survive the way into native code.
    private static String wellFormed(String text) {
        for (int i = 0; i < text.length(); i++) {
            if (Character.isSurrogate(text.charAt(i))) {
                return text.codePoints()
                        .map(point -> point >= 0xD800 && point <= 0xDFFF ? 0xFFFD : point)
                        .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
                        .toString();
            }
        }
        return text;
    }

    private static int[] toInts(long[] ids) {
        int[] ints = new int[ids.length];
        for (int i = 0; i < ids.length; i++) {
            ints[i] = Math.toIntExact(ids[i]);
        }
        return ints;
    }

    /// The text of `ids`; bytes that are no UTF-8 become U+FFFD.
    ///
    /// @param skipSpecial whether special tokens leave no trace
    public String decode(int[] ids, boolean skipSpecial) {
        return decode(ids, 0, ids.length, skipSpecial);
    }

    String decode(int[] ids, int from, int to, boolean skipSpecial) {
        return tokenizer.decode(Arrays.stream(ids, from, to).asLongStream().toArray(), skipSpecial);
    }

    /// The token that begins a text of this model, or -1 if none does.
    public int bos() {
        return bos;
    }

    /// Tokens after which nothing follows; may be empty.
    public Set<Integer> endTokens() {
        return endTokens;
    }

    /// Text of tokens that come one at a time, without special tokens, as the beginning of a text.
    public StreamingDecoder streamingDecoder() {
        return streamingDecoder(new int[0]);
    }

    /// The same as the continuation of `before`, whose text is not repeated: a tokenizer may drop the space before
    /// the first word of a text.
    public StreamingDecoder streamingDecoder(int[] before) {
        return new StreamingDecoder(this, before);
    }

    @Override
    public void close() {
        tokenizer.close();
    }
}

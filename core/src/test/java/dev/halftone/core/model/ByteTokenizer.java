package dev.halftone.core.model;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/// A tokenizer.json made for tests: every byte is the token of its number, `<s>` is 256 and `</s>` is 257, both
/// special.
final class ByteTokenizer {
    private ByteTokenizer() {}

    static Path write(Path directory, ObjectNode json) throws IOException {
        Files.writeString(directory.resolve("tokenizer.json"), json.toString());
        return directory;
    }

    static ObjectNode json() {
        ObjectNode json = new ObjectMapper().createObjectNode();
        json.put("version", "1.0").putNull("truncation").putNull("padding");
        ArrayNode added = json.putArray("added_tokens");
        addSpecial(added, 256, "<s>");
        addSpecial(added, 257, "</s>");
        json.putNull("normalizer");
        byteLevel(json.putObject("pre_tokenizer"));
        json.putNull("post_processor");
        byteLevel(json.putObject("decoder"));
        ObjectNode model = json.putObject("model");
        model.put("type", "BPE").putNull("dropout").putNull("unk_token");
        model.putNull("continuing_subword_prefix").putNull("end_of_word_suffix");
        model.put("fuse_unk", false).put("byte_fallback", false);
        ObjectNode vocabulary = model.putObject("vocab");
        int stranger = 256;
        for (int b = 0; b < 256; b++) {
            // The printable bytes stand for themselves, the others for the characters from 256 on.
            boolean printable = b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE;
            vocabulary.put(String.valueOf((char) (printable ? b : stranger++)), b);
        }
        model.putArray("merges");
        return json;
    }

    /// The same with a post-processor that puts `<s>` first.
    static ObjectNode jsonThatBeginsTexts() {
        ObjectNode json = json();
        ObjectNode processor = json.putObject("post_processor");
        processor.put("type", "TemplateProcessing");
        ArrayNode single = processor.putArray("single");
        single.addObject().putObject("SpecialToken").put("id", "<s>").put("type_id", 0);
        single.addObject().putObject("Sequence").put("id", "A").put("type_id", 0);
        ArrayNode pair = processor.putArray("pair");
        pair.addObject().putObject("Sequence").put("id", "A").put("type_id", 0);
        pair.addObject().putObject("Sequence").put("id", "B").put("type_id", 1);
        ObjectNode special = processor.putObject("special_tokens").putObject("<s>");
        special.put("id", "<s>").putArray("ids").add(256);
        special.putArray("tokens").add("<s>");
        return json;
    }

    /// In the manner of Llama 2: pieces of words behind a mark for the space, bytes as a last resort, and the first
    /// space dropped. `</s>` is 0, byte b is b + 1, then the mark, letters and the words below.
    static ObjectNode jsonWithByteFallback() {
        ObjectNode json = json();
        addSpecial(json.putArray("added_tokens"), 0, "</s>");
        json.putNull("pre_tokenizer");
        ObjectNode normalizer = json.putObject("normalizer");
        normalizer.put("type", "Sequence");
        ArrayNode normalizers = normalizer.putArray("normalizers");
        normalizers.addObject().put("type", "Prepend").put("prepend", "▁");
        ObjectNode spaces = normalizers.addObject().put("type", "Replace").put("content", "▁");
        spaces.putObject("pattern").put("String", " ");
        ObjectNode decoder = json.putObject("decoder");
        decoder.put("type", "Sequence");
        ArrayNode decoders = decoder.putArray("decoders");
        ObjectNode marks = decoders.addObject().put("type", "Replace").put("content", " ");
        marks.putObject("pattern").put("String", "▁");
        decoders.addObject().put("type", "ByteFallback");
        decoders.addObject().put("type", "Fuse");
        decoders.addObject()
                .put("type", "Strip")
                .put("content", " ")
                .put("start", 1)
                .put("stop", 0);
        ObjectNode model = (ObjectNode) json.get("model");
        model.put("byte_fallback", true).put("unk_token", "</s>");
        ObjectNode vocabulary = model.putObject("vocab");
        vocabulary.put("</s>", 0);
        for (int b = 0; b < 256; b++) {
            vocabulary.put(String.format("<0x%02X>", b), b + 1);
        }
        int next = 257;
        for (String piece : new String[] {"▁", "a", "b", "c", "ab", "▁ab", "▁c"}) {
            vocabulary.put(piece, next++);
        }
        model.putArray("merges").add("a b").add("▁ ab").add("▁ c");
        return json;
    }

    private static void byteLevel(ObjectNode node) {
        node.put("type", "ByteLevel").put("add_prefix_space", false);
        node.put("trim_offsets", true).put("use_regex", false);
    }

    private static void addSpecial(ArrayNode added, int id, String content) {
        ObjectNode token = added.addObject();
        token.put("id", id).put("content", content).put("special", true);
        token.put("single_word", false).put("lstrip", false);
        token.put("rstrip", false).put("normalized", false);
    }
}

package dev.halftone.core.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/// Texts, and what the original tokenizers make of them.
record TokenizerGolden(String text, int[] ids, String decoded, String decodedWithoutSpecial) {
    static JsonNode tree(String resource) {
        try (InputStream in = TokenizerGolden.class.getResourceAsStream("/golden/" + resource)) {
            return new ObjectMapper().readTree(in);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static List<TokenizerGolden> read(String resource) {
        List<TokenizerGolden> cases = new ArrayList<>();
        for (JsonNode node : tree(resource).get("cases")) {
            cases.add(new TokenizerGolden(
                    node.get("text").textValue(),
                    ints(node.get("ids")),
                    node.get("decoded").textValue(),
                    node.get("decoded_without_special").textValue()));
        }
        return cases;
    }

    static int[] ints(JsonNode array) {
        return IntStream.range(0, array.size())
                .map(i -> array.get(i).intValue())
                .toArray();
    }
}
